"""Plant what begins in the ducts: intraductal papillary mucinous neoplasm, chronic pancreatitis."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Judge, Patch, Tuned, tube, tune
from networks.phantoms.lesions.lattice import aligned_around
from networks.phantoms.lesions.pancreas import signs
from networks.phantoms.lesions.pancreas.gland import Gland
from networks.phantoms.lesions.pancreas.recipes import sizes
from networks.phantoms.lesions.pancreas.shape import Cluster
from networks.phantoms.tissue import Tissue

IPMN_TYPES = {"branch_duct": 0.6, "main_duct": 0.2, "mixed": 0.2}
"""Type → how often (chosen; branch-duct disease is the most frequent in screening)."""

BRANCH_MM = (7.0, 42.0)
MAIN_DUCT_MM = (4.0, 15.0)
"""Diameters: of the cluster of cysts, and of the main duct."""

IPMN_HU = (5.0, 15.0)
"""pipelines.md §6.3 leaves the cysts open; mucin measures like water."""

IPMN_SITES = {"uncinate": 0.3, "head": 0.3, "neck": 0.1, "body": 0.15, "tail": 0.15}

CHRONIC_DUCT_MM = (2.5, 9.0)
STONES = {"easy": (12, 45), "medium": (4, 20), "hard": (0, 5)}
STONE_MM = {"easy": (0.8, 2.2), "medium": (0.6, 1.6), "hard": (0.5, 1.0)}
WASTING = {"easy": (0.3, 0.6), "medium": (0.15, 0.5), "hard": (0.1, 0.3)}
"""Of chronic pancreatitis by difficulty: calcifications, their radius, share that wasted away
(chosen)."""


class DrawnDuct(Patch):
    """A patch that remembers how much of each voxel is duct or cyst."""

    taken: FloatArray
    cysts: Cluster | None = None


def plant_ipmn(
    gland: Gland, rng: np.random.Generator, difficulty: str, judge: Judge
) -> list[Lesion]:
    """Plant cysts of the branch ducts, a wide main duct, or both; the first lesion is the mass."""
    names, chances = list(IPMN_TYPES), list(IPMN_TYPES.values())
    variant = str(rng.choice(names, p=chances))
    fluid = float(rng.uniform(*IPMN_HU))
    if variant == "main_duct":
        start = float(rng.uniform(0.12, 0.55)) * gland.line.length_mm
        site = gland.site_at(start / gland.line.length_mm)
        beads = float(rng.uniform(0.05, 0.35))

        def draw(size_mm: float) -> DrawnDuct:
            return _bore(gland, rng, size_mm, start, fluid, taper=0.3, beads=beads)
    else:
        spot = gland.spot(rng, IPMN_SITES, radius_mm=9.0, outward=0.8)
        start, site = spot.arc_mm, spot.site

        def draw(size_mm: float) -> DrawnDuct:
            return _grapes(gland, rng, spot.centre_mm, size_mm, fluid)

    size = MAIN_DUCT_MM if variant == "main_duct" else BRANCH_MM
    tuned = tune(draw, rng, judge, difficulty, size=sizes(size, difficulty), strength=(0.75, 1.0))
    duct_mm = {
        "main_duct": tuned.size,
        "mixed": float(rng.uniform(5, 10)),
        "branch_duct": float(rng.uniform(0, 4.5)),
    }[variant]
    report = signs.Report("ipmn", site, difficulty=tuned.difficulty)
    lesions, patch = _with_contour(gland, report, tuned, rng, judge, duct_mm, variant=variant)
    if patch.cysts is not None and duct_mm >= 2.5:
        grid = signs.beyond(gland, start)
        course = signs.duct_course(gland, rng, from_arc_mm=start, duct_mm=duct_mm, beads=0.2)
        duct = Patch(gland.scene, grid)
        inside = duct.inside(tube(grid, *course)) * signs.kept_by(patch.cysts, grid)
        duct.lay(inside * signs.parenchyma_and_fat(duct), fluid)
        if duct.mask.any():
            lesions.append(report.lesion(duct, "duct", duct_mm=round(duct_mm, 1)))
    elif patch.cysts is None and rng.random() < 0.6:
        lesions += _wasted(gland, patch, report, rng, start, float(rng.uniform(0.1, 0.4)))[0]
    return lesions


def plant_chronic_pancreatitis(
    gland: Gland, rng: np.random.Generator, difficulty: str, judge: Judge
) -> list[Lesion]:
    """Plant a beaded duct, wasting and calcifications; the first lesion is the duct."""
    start = float(rng.uniform(0.08, 0.25)) * gland.line.length_mm
    fluid = float(rng.uniform(*signs.DUCT_HU))
    beads = float(rng.uniform(0.4, 0.7))

    def draw(size_mm: float) -> DrawnDuct:
        return _bore(gland, rng, size_mm, start, fluid, taper=0.25, beads=beads)

    tuned = tune(draw, rng, judge, difficulty, size=CHRONIC_DUCT_MM, strength=(0.6, 1.0))
    level = tuned.difficulty
    report = signs.Report("chronic_pancreatitis", "pancreas", difficulty=level)
    lesions, patch = _with_contour(gland, report, tuned, rng, judge, tuned.size)
    share = float(rng.uniform(*WASTING[level]))
    wasted, left = _wasted(gland, patch, report, rng, 0.5 * start, share)
    lesions += wasted
    count = int(rng.integers(STONES[level][0], STONES[level][1] + 1))
    if count and (left > 0.5).any():
        stones = signs.calcification(patch, left, rng, count=count, radius_mm=STONE_MM[level])
        lesions.append(report.lesion(stones, "calcification", count=count))
    return lesions


def _bore(
    gland: Gland,
    rng: np.random.Generator,
    duct_mm: float,
    start_mm: float,
    fluid_hu: float,
    *,
    taper: float,
    beads: float,
) -> DrawnDuct:
    """Paint the contrast of a wide main duct from a point to the tail."""
    patch = DrawnDuct(gland.scene, signs.beyond(gland, max(start_mm - 12, 0)))
    course = signs.duct_course(
        gland, rng, from_arc_mm=start_mm, duct_mm=duct_mm, taper=taper, beads=beads
    )
    patch.taken = patch.inside(tube(patch.grid, *course)) * signs.parenchyma_and_fat(patch)
    return _painted(patch, patch.taken, gland, fluid_hu)


def _grapes(
    gland: Gland,
    rng: np.random.Generator,
    centre_mm: npt.NDArray[np.float64],
    size_mm: float,
    fluid_hu: float,
) -> DrawnDuct:
    """Paint the contrast of a cluster of cysts with thin septa."""
    cysts = Cluster.draw(rng, centre_mm, size_mm)
    middle = cysts.centres_mm.mean(axis=0)
    patch = DrawnDuct(gland.scene, aligned_around(gland.scene, middle, cysts.reach_mm + 3, 0.8))
    patch.cysts = cysts
    distance = cysts.distance(patch.grid)
    patch.taken = patch.inside(distance, 1.2) * signs.parenchyma_and_fat(patch)
    septa = np.clip(1 - cysts.between(patch.grid) / 0.7, 0, 1) * (distance < -0.5)
    return _painted(patch, patch.taken * (1 - 0.6 * septa), gland, fluid_hu)


def _painted(patch: DrawnDuct, fluid: FloatArray, gland: Gland, fluid_hu: float) -> DrawnDuct:
    patch.hu = patch.base + fluid * np.float32(fluid_hu - gland.lobule_hu)
    patch.mask = patch.taken > 0.5
    if not patch.mask.any():
        raise NoPlaceError("the pancreas is hemmed in")
    return patch


def _with_contour(
    gland: Gland,
    report: signs.Report,
    tuned: Tuned,
    rng: np.random.Generator,
    judge: Judge,
    duct_mm: float,
    **extra: Any,
) -> tuple[list[Lesion], DrawnDuct]:
    """Return the mass and its contour, and the patch of the mass."""
    patch = tuned.patch
    assert isinstance(patch, DrawnDuct)
    outline = signs.contour(patch, patch.taken, rng, gland.lobule_hu)
    both = judge(patch.grid, patch.delta_hu + outline.delta_hu)
    mass = report.lesion(
        patch, dprime=tuned.dprime, dprime_with_contour=round(both, 2), duct_mm=round(duct_mm, 1),
        **extra,
    )  # fmt: skip
    return [mass, report.lesion(outline, "contour")], patch


def _wasted(
    gland: Gland,
    patch: DrawnDuct,
    report: signs.Report,
    rng: np.random.Generator,
    start_mm: float,
    share: float,
) -> tuple[list[Lesion], FloatArray]:
    """Waste the gland about a duct; return the sign and how much of each voxel is left of it."""
    thinned = signs.waste(
        gland, patch.grid, rng, from_arc_mm=start_mm, atrophy=share, core_mm=3.0,
        kept=1 - patch.taken,
    )  # fmt: skip
    left = patch.share(Tissue.PANCREAS) * (np.abs(thinned.delta_hu) < 15)
    if not thinned.mask.any():
        return [], left
    return [report.lesion(thinned, "atrophy", atrophy_share=round(share, 2))], left
