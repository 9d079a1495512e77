"""Findings of the chest that no other check draws, and what only looks like one.

One module for each organ holds ``DRAWINGS`` and ``CONFOUNDING``: kind → what draws it, over what
sizes and contrasts. `networks.phantoms.chest_labels` says which label a kind carries.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.chest_labels import labels_of_kind
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions.brush import Judge, Patch, measured, tune
from networks.phantoms.lesions.chest import (
    abdomen,
    air,
    airway,
    heart,
    interstitium,
    lung,
    mediastinum,
    pleura,
    skeleton,
)
from networks.phantoms.lesions.chest.places import Drawing
from networks.phantoms.scene import Scene

_MODULES = (lung, air, interstitium, airway, pleura, heart, mediastinum, skeleton, abdomen)

DRAWINGS: dict[str, Drawing] = {
    kind: drawing for module in _MODULES for kind, drawing in module.DRAWINGS.items()
}
"""Finding → how it is drawn."""

CONFOUNDING: dict[str, Drawing] = {
    kind: drawing
    for module in _MODULES
    for kind, drawing in getattr(module, "CONFOUNDING", {}).items()
}
"""What a negative may hold → how it is drawn."""

KINDS = tuple(DRAWINGS)

CONFOUNDERS = tuple(CONFOUNDING)


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Draw one finding of the chest; its label is in ``extra["label"]``.

    Raises
    ------
    NoPlaceError
        When the patient has no place for it in view.
    ValueError
        For an unknown kind.

    Notes
    -----
    What is large and dense is easy however it is asked for: the difficulty that was measured is
    in the lesion.
    """
    if kind not in DRAWINGS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    draw, size, strength = DRAWINGS[kind]
    found = tune(
        lambda wanted: draw(scene, wanted, rng),
        rng,
        judge,
        difficulty,
        size=size,
        strength=strength,
    )
    return [
        _lesion(
            found.patch, kind, is_finding=True, difficulty=found.difficulty, dprime=found.dprime
        )
    ]


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Draw what a negative of the chest may hold.

    Raises
    ------
    NoPlaceError
        When the patient has no place for it in view.
    ValueError
        For an unknown kind.
    """
    if kind not in CONFOUNDING:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    draw, size, _ = CONFOUNDING[kind]
    patch = draw(scene, float(np.exp(rng.uniform(*np.log(size)))), rng)
    dprime = measured(judge, patch.grid, patch.delta_hu) if judge else None
    return [_lesion(patch, kind, is_finding=False, difficulty=None, dprime=dprime)]


def _lesion(
    patch: Patch, kind: str, *, is_finding: bool, difficulty: str | None, dprime: float | None
) -> Lesion:
    if is_finding:
        patch.extra["label"] = labels_of_kind("chest", kind)[0]
    return patch.lesion(
        check="chest", kind=kind, is_finding=is_finding, difficulty=difficulty, dprime=dprime
    )
