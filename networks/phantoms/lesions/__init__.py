"""The planters: one module a check, each drawing what that check looks for.

Every planter module has ``KINDS``, ``CONFOUNDERS``, ``plant`` and ``confound``. They are imported
when first asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

import numpy as np

from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.scene import Scene


class NoPlaceError(ValueError):
    """The patient has no room for what was to be planted."""


class Judged(Protocol):
    """Gives the detectability of a patch of HU on the scan that will be made."""

    def __call__(self, grid: FineGrid, delta_hu: FloatArray) -> float:
        """Return d′ of an ideal observer."""


class Planter(Protocol):
    """What every module of this package offers."""

    KINDS: tuple[str, ...]
    """Findings."""

    CONFOUNDERS: tuple[str, ...]
    """What a negative may hold."""

    def plant(
        self, scene: Scene, rng: np.random.Generator, kind: str, *, difficulty: str, judge: Judged
    ) -> list[Lesion]:
        """Return the lesions that make up one finding; `NoPlaceError` where there is no room."""

    def confound(
        self, scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judged | None
    ) -> list[Lesion]:
        """Return what looks like a finding and is none."""


CHECKS = ("pancreas", "stomach", "liver", "bone", "aorta", "nodule", "calcium", "chest")
"""The checks, in the order in which findings are planted."""


class _Planters(Mapping[str, Planter]):
    """Check → its planter module, imported at first use."""

    def __getitem__(self, check: str) -> Planter:
        if check not in self:
            raise KeyError(check)
        module: Planter = import_module(f"{__name__}.{check}")  # type: ignore[assignment]
        return module

    def __contains__(self, check: object) -> bool:
        if check not in CHECKS:
            return False
        spec = find_spec(f"{__name__}.{check}")
        return spec is not None and hasattr(import_module(f"{__name__}.{check}"), "CONFOUNDERS")

    def __iter__(self) -> Iterator[str]:
        return (check for check in CHECKS if check in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


PLANTERS: Mapping[str, Planter] = _Planters()
"""Check → its planter."""


def check_of(kind: str) -> str:
    """Return the check that a kind belongs to: one that finds it before one it confounds.

    Raises
    ------
    KeyError
        When no planter draws it.
    """
    for names in ("KINDS", "CONFOUNDERS"):
        for check, planter in PLANTERS.items():
            if kind in getattr(planter, names):
                return check
    raise KeyError(kind)
