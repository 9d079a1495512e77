"""Plant acute aortic syndromes: dissection, intramural haematoma and rupture, on native CT.

What is soft and faint decides: a flap adds 3 to 20 HU to the blood, a haematoma is 50 to 75 HU
(pipelines.md §6.3). The difficulty of a finding is that of its soft parts together; displaced
calcium, which is dense but lies at the wall of healthy aortas too, does not make it easier.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.aorta.acute import FINDINGS
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.aorta.mimics import MIMICS
from networks.phantoms.lesions.brush import Judge, Patch, difficulty_of
from networks.phantoms.scene import Scene

__all__ = ["CONFOUNDERS", "KINDS", "confound", "plant"]

KINDS = tuple(FINDINGS)

CONFOUNDERS = tuple(MIMICS)


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Plant one acute aortic syndrome.

    Parameters
    ----------
    scene : Scene
        The patient; not changed.
    rng : Generator
        Draws place, extent, shape and HU.
    kind : str
        One of `KINDS`.
    difficulty : str
        What is asked for; what was reached is in the lesions.
    judge : Judge
        d′ on the scan that will be made.

    Returns
    -------
    list of Lesion
        Pieces of one finding, painted side by side, each with its ``part`` (flap, haematoma,
        displaced_calcium, pericardial_blood, aneurysm, leak) and the finding's ``stanford_type``,
        ``extent_mm``, ``max_diameter_mm`` and ``finding_dprime``. The difficulty is the finding's,
        d′ the piece's own.

    Raises
    ------
    NoPlaceError
        When too little of the aorta is in view.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    course = AortaCourse(scene)
    parts, truth, soft = FINDINGS[kind](course, rng, difficulty, judge)
    lesions = []
    for patch in parts:
        if not patch.mask.any():
            continue
        patch.extra = truth | patch.extra | {"finding_dprime": round(soft, 2)}
        patch.site = _site(course, patch)
        lesion = patch.lesion(check="aorta", kind=kind, is_finding=True)
        dprime = float(judge(lesion.grid, lesion.delta_hu))
        lesions.append(replace(lesion, difficulty=difficulty_of(soft), dprime=dprime))
    if not lesions:
        raise NoPlaceError(f"nothing of {kind} was left in the aorta")
    return lesions


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Draw what looks like an acute aorta and is none: one of `CONFOUNDERS`.

    Raises
    ------
    NoPlaceError
        When there is no room for it.
    """
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    course = AortaCourse(scene)
    lesions = []
    for patch in MIMICS[kind](course, rng):
        if not patch.mask.any():
            continue
        patch.site = _site(course, patch)
        lesion = patch.lesion(check="aorta", kind=kind, is_finding=False)
        if judge is not None:
            lesion = replace(lesion, dprime=float(judge(lesion.grid, lesion.delta_hu)))
        lesions.append(lesion)
    if not lesions:
        raise NoPlaceError(f"there is no room for {kind}")
    return lesions


def _site(course: AortaCourse, patch: Patch) -> str:
    """Name the part of the aorta nearest to a patch."""
    if patch.extra.get("part") == "pericardial_blood":
        return "pericardium"
    voxels = np.argwhere(patch.mask)
    place = np.asarray(patch.grid.origin_mm) + voxels.mean(axis=0) * patch.grid.spacing_mm
    index = int(np.linalg.norm(course.points_mm - place, axis=1).argmin())
    if course.top and index < 0.75 * course.top:
        return "ascending_aorta"
    if course.top and 2 * index < course.subclavian_mm + 8:
        return "aortic_arch"
    diaphragm = 0.5 * (course.subclavian_mm + course.length_mm)
    return "descending_aorta" if 2 * index < diaphragm else "abdominal_aorta"
