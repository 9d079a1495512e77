"""Plant thickening of the stomach's wall, and what looks like it (pipelines.md §1.1, §6.3).

A finding is two lesions. The first is the contrast of the thickened wall against normal wall, by
which its difficulty is measured, since a collapsed stomach is as thick; its mask is the wall beyond
what was there. The second, ``extra["sign"] == "thickening"``, puts wall where lumen and fat were;
the d′ of both together is ``dprime_with_thickening``.
"""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import Judged
from networks.phantoms.lesions.stomach.cancer import plant_diffuse, plant_focal
from networks.phantoms.lesions.stomach.mimics import MIMICS
from networks.phantoms.lesions.stomach.wall import Stomach
from networks.phantoms.scene import Scene

KINDS = ("gastric_cancer", "gastric_cancer_diffuse")
CONFOUNDERS = tuple(MIMICS)


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judged,
) -> list[Lesion]:
    """Plant one finding.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    difficulty : str
        What is asked for; the lesions say what was measured.
    judge : callable
        d′ of a patch on the scan that will be made.

    Returns
    -------
    list of Lesion
        The wall's contrast, then the thickening.

    Raises
    ------
    NoPlaceError
        When the stomach is out of view or its wall has no room to grow.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    stomach = Stomach.of(scene)
    if kind == "gastric_cancer":
        return plant_focal(stomach, rng, difficulty, judge)
    return plant_diffuse(stomach, rng, difficulty, judge)


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judged | None = None
) -> list[Lesion]:
    """Plant one of `CONFOUNDERS`; `NoPlaceError` when there is no room."""
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    return MIMICS[kind](Stomach.of(scene), rng)
