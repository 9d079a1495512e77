"""Plant fat into the liver as a change of its HU."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.findings import STEATOSIS_CUTS_PERCENT
from networks.phantoms.hu import LIVER_HU_PER_PERCENT, liver_hu
from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.lesions.brush import ball, cloud
from networks.phantoms.lesions.liver.organ import Liver, Point, diffuse
from networks.phantoms.paint import EDGE_BLUR_VOXELS
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

PDFF_PERCENT = {
    1: (STEATOSIS_CUTS_PERCENT[0], STEATOSIS_CUTS_PERCENT[1]),
    2: (STEATOSIS_CUTS_PERCENT[1], STEATOSIS_CUTS_PERCENT[2]),
    3: (STEATOSIS_CUTS_PERCENT[2], 38.0),
}
"""Proton density fat fraction of S1 to S3 (pipelines.md §6.3; the highest chosen)."""

SPARED_CHANCE = 0.2
"""Livers with a spared part beside the gallbladder (chosen)."""


def plant_steatosis(liver: Liver, rng: np.random.Generator, grade: int) -> list[Lesion]:
    """Bring the liver to a fat fraction of a grade from 1 to 3, at 120 kVp.

    The patch lies on the anatomy's own voxels, so that the result is what painting with that
    fraction would give. It has no difficulty: any observer sees 10 HU in a litre, and what makes
    grading hard is the scanner's bias and the spread between patients.
    """
    pdff = float(rng.uniform(*PDFF_PERCENT[grade]))
    grid, share = _own_voxels(liver)
    delta = share * np.float32(liver_hu(pdff) - liver.hu)
    extra: dict[str, object] = {"pdff_percent": round(pdff, 1), "grade": f"S{grade}"}
    if rng.random() < SPARED_CHANCE:
        delta *= 1 - np.float32(rng.uniform(0.5, 0.9)) * _spared(liver, grid, rng)
        extra["spared"] = True
    return [diffuse(f"steatosis_s{grade}", grid, delta, np.zeros(grid.shape, bool), extra=extra)]


def fat_percent(hu: float) -> float:
    """Return the fat fraction of a liver of given HU at 120 kVp, %."""
    return (hu - liver_hu(0.0)) / LIVER_HU_PER_PERCENT


def fossa(scene: Scene, liver: Liver) -> Point:
    """Return the point of the liver next to the gallbladder, or in front of the porta."""
    bladder = np.argwhere(scene.tissue(Tissue.GALLBLADDER))
    middle = (
        scene.origin_mm + scene.spacing_mm * bladder.mean(axis=0)
        if len(bladder)
        else scene.origin_mm + scene.spacing_mm * np.argwhere(liver.mask).mean(axis=0)
    )
    inside = liver.surface.places(-30, -6)
    point: Point = inside[int(np.linalg.norm(inside - middle, axis=1).argmin())]
    return point


def _own_voxels(liver: Liver) -> tuple[FineGrid, FloatArray]:
    """Return the box of the liver on the anatomy's grid, and its share as painted."""
    scene = liver.scene
    box = ndimage.find_objects(liver.mask.astype(np.uint8))[0]
    part = tuple(
        slice(max(s.start - 2, 0), min(s.stop + 2, n))
        for s, n in zip(box, liver.mask.shape, strict=True)
    )
    inside = (scene.anatomy.labels[part] == Tissue.LIVER).astype(np.float32)
    share = ndimage.gaussian_filter(inside, EDGE_BLUR_VOXELS, mode="nearest", truncate=3.0)
    z, y, x = (scene.origin_mm + scene.spacing_mm * np.array([s.start for s in part])).tolist()
    s, r, c = inside.shape
    return FineGrid((z, y, x), scene.spacing_mm, (s, r, c)), share


def _spared(liver: Liver, grid: FineGrid, rng: np.random.Generator) -> FloatArray:
    """Return how far fat spares the tissue beside the gallbladder, 0 to 1."""
    centre = fossa(liver.scene, liver)
    distance = ball(grid, centre, rng.uniform(10, 24) * np.exp(rng.normal(0, 0.25, 3)))
    distance = distance + 3 * cloud(grid, rng, 12.0)
    return np.clip(0.5 - distance / 8, 0, 1).astype(np.float32)
