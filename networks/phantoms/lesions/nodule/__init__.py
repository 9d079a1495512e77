"""Plant pulmonary nodules: solid, part-solid, ground-glass and calcified, 3 to 30 mm.

A nodule's edge against aerated lung is so steep that an ideal observer sees nearly every one
(d′ ≫ 12); what hides it from a reader is its size and, for ground glass, its faintness.
So its difficulty is the harder of two classes: that of d′ and that of `conspicuity`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from networks.phantoms.lesion import DIFFICULTIES, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Judge, difficulty_of
from networks.phantoms.lesions.nodule.drawing import draw_nodule
from networks.phantoms.lesions.nodule.mimics import MIMICS
from networks.phantoms.lobes import lobe_of
from networks.phantoms.scene import Scene

KINDS = ("solid_nodule", "part_solid_nodule", "ground_glass_nodule", "calcified_nodule")

CONFOUNDERS = tuple(MIMICS)

TRIES = 20
"""Drawings of one nodule before the last is taken with the difficulty it has."""

WIDTH_MM = (2.8, 30.2)
"""Least and largest mean diameter as measured; a nodule is at most 30 mm wide, else a mass."""


def conspicuity(kind: str, diameter_mm: float, glass_contrast_hu: float | None = None) -> str:
    """Return how hard a nodule is to see for its size and faintness.

    Solid and calcified: 8 mm, at which Lung-RADS 4A begins, is easy, below 5 mm is hard.
    Ground glass is a step harder, and so is one that adds less than 190 HU (medium) or 130 (hard).
    """
    if kind in ("solid_nodule", "calcified_nodule"):
        return "easy" if diameter_mm >= 8 else "medium" if diameter_mm >= 5 else "hard"
    if kind == "part_solid_nodule":
        return "easy" if diameter_mm >= 12.5 else "medium" if diameter_mm >= 8 else "hard"
    contrast = np.inf if glass_contrast_hu is None else glass_contrast_hu
    if diameter_mm < 6.5 or contrast < 130:
        return "hard"
    return "medium" if diameter_mm < 10.5 or contrast < 190 else "easy"


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Plant one nodule.

    Parameters
    ----------
    scene : Scene
        The patient; not changed.
    rng : Generator
        Draws place, size, shape and texture.
    kind : str
        One of `KINDS`.
    difficulty : str
        What is asked for; what was reached is in the lesion.
    judge : Judge
        d′ on the scan that will be made.

    Returns
    -------
    list of Lesion
        One, with ``long_axis_mm``, ``short_axis_mm``, ``mean_diameter_mm``, ``lobe``, ``type``,
        ``attachment``, ``margin`` and, for a part-solid nodule, ``solid_part_mm`` in its truth.
        Its mask is the nodule without its spicules and vessels.

    Raises
    ------
    NoPlaceError
        When there is no room in the lungs.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    found: Lesion | None = None
    for _ in range(TRIES):
        patch = draw_nodule(scene, rng, kind, difficulty)
        if patch is None:
            continue
        if not WIDTH_MM[0] <= patch.extra["mean_diameter_mm"] <= WIDTH_MM[1]:
            continue
        dprime = float(judge(patch.grid, patch.delta_hu))
        lesion = patch.lesion(check="nodule", kind=kind, is_finding=True)
        seen = conspicuity(kind, patch.extra["mean_diameter_mm"], lesion.extra["glass_contrast_hu"])
        measured = max(difficulty_of(dprime), seen, key=DIFFICULTIES.index)
        found = replace(
            lesion, difficulty=measured, dprime=dprime,
            diameter_mm=float(lesion.extra["mean_diameter_mm"]),
        )  # fmt: skip
        if measured == difficulty:
            break
    if found is None:
        raise NoPlaceError(f"there is no room for a {kind} in the lungs")
    return [found]


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Draw what looks like a nodule and is none: one of `CONFOUNDERS`.

    Raises
    ------
    NoPlaceError
        When there is no room for it.
    """
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    for _ in range(TRIES):
        patch = MIMICS[kind](scene, rng)
        if patch is not None and patch.mask.any():
            break
    else:
        raise NoPlaceError(f"there is no room for a {kind} in the lungs")
    dprime = None if judge is None else float(judge(patch.grid, patch.delta_hu))
    middle = np.mean(np.argwhere(patch.mask), axis=0) * patch.grid.spacing_mm
    patch.site = lobe_of(scene, np.asarray(patch.grid.origin_mm) + middle)
    return [patch.lesion(check="nodule", kind=kind, is_finding=False, dprime=dprime)]
