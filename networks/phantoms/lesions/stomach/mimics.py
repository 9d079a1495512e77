"""What a healthy stomach shows that looks like a thickened wall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.lattice import aligned, aligned_around
from networks.phantoms.lesions.stomach.cancer import TEXTURE_SD_HU
from networks.phantoms.lesions.stomach.wall import LUMEN, Point, Stomach, Wall, grid_around
from networks.phantoms.tissue import Tissue

COLLAPSED_MM = (8.0, 15.0)
"""Wall of a collapsed part (pipelines.md §6.3)."""

FOOD_ML = 15.0
"""Least lumen that shows food."""


def _finish(stomach: Stomach, patch: Patch, kind: str, coat: tuple[FloatArray, FloatArray],
            place: Point,
            rng: np.random.Generator, **extra: object) -> list[Lesion]:  # fmt: skip
    """Lay normal wall and tell the truth about it."""
    normal = float(stomach.scene.table.mean[Tissue.STOMACH_WALL])
    patch.lay(coat[0], normal + np.float32(TEXTURE_SD_HU) * cloud(patch.grid, rng, 2.5))
    patch.mask = coat[1] > 0.5
    patch.site, patch.extra = f"stomach_{stomach.region_at(place)}", dict(extra)
    return [patch.lesion(check="stomach", kind=kind, is_finding=False)]


def _sleeve(stomach: Stomach, middle: float, length_mm: float) -> tuple[Wall, FloatArray]:
    """Open a patch over a length of the stomach; return its wall and a window along it."""
    line = stomach.line
    part = np.abs(line.arc_mm - middle * line.length_mm) <= 0.5 * length_mm + 8
    margin = float(line.radius_mm[part].max()) + 10
    low, high = line.points_mm[part].min(axis=0) - margin, line.points_mm[part].max(axis=0) + margin
    wall = Wall(stomach, Patch(stomach.scene, aligned(stomach.scene, low, high, 1.3)))
    arc, _ = line.on(wall.patch.grid, (wall.outer_mm < 6) & (wall.lumen_mm > -18))
    away = np.abs(arc - middle * line.length_mm) - 0.5 * length_mm
    return wall, (np.clip(-away / 9, 0, 1) * (arc >= 0)).astype(np.float32)


def collapsed_wall(stomach: Stomach, rng: np.random.Generator) -> list[Lesion]:
    """Thicken the wall all around and evenly, with soft folds, at the HU of normal wall."""
    middle = float(rng.uniform(0.2, 0.75))
    wall, window = _sleeve(stomach, middle, float(rng.uniform(30, 80)))
    extra = max(float(rng.uniform(*COLLAPSED_MM)) - wall.thickness_mm, 2.5)
    folds = 1 + 0.22 * cloud(wall.patch.grid, rng, 6.0)
    coat = wall.coat((extra * window * folds).astype(np.float32), 0.0,
                          np.clip(window / 0.15, 0, 1))  # fmt: skip
    place = stomach.line.points_mm[stomach.line.index(middle)]
    return _finish(stomach, wall.patch, "collapsed_wall", coat, place, rng,
                   thickness_mm=round(wall.thickness_mm + extra, 1))  # fmt: skip


def antral_contraction(stomach: Stomach, rng: np.random.Generator) -> list[Lesion]:
    """Close the antrum by a short ring, as a wave of peristalsis does."""
    middle = float(rng.uniform(0.76, 0.93))
    wall, window = _sleeve(stomach, middle, float(rng.uniform(12, 28)))
    wave = 0.5 - 0.5 * np.cos(np.pi * window)
    deep = float(rng.uniform(5, 13))
    coat = wall.coat((deep * wave).astype(np.float32), 0.0, np.clip(window / 0.1, 0, 1))
    place = stomach.line.points_mm[stomach.line.index(middle)]
    return _finish(stomach, wall.patch, "antral_contraction", coat, place, rng)


def junction(stomach: Stomach, rng: np.random.Generator) -> list[Lesion]:
    """Heap up the wall where the oesophagus enters."""
    seed = stomach.seed(rng, "cardia")
    length = float(rng.uniform(18, 34))
    grid = grid_around(stomach.scene, seed, 0.5 * length + 12)
    wall = Wall(stomach, Patch(stomach.scene, grid))
    tangent = stomach.line.tangent(0)
    along, across, facing = wall.plane(seed, tangent)
    rho2 = (along**2 + across**2) / (0.5 * length) ** 2
    profile = np.clip(1 - rho2, 0, 1) * np.clip((facing + 0.3) / 0.5, 0, 1)
    height = float(rng.uniform(4, 10))
    coat = wall.coat((0.8 * height * profile).astype(np.float32),
                          (0.3 * height * profile).astype(np.float32),
                          np.clip(profile / 0.15, 0, 1))  # fmt: skip
    return _finish(stomach, wall.patch, "gastro_oesophageal_junction", coat, seed, rng)


def food(stomach: Stomach, rng: np.random.Generator) -> list[Lesion]:
    """Leave a clump of food with bubbles of gas where it sinks to."""
    scene = stomach.scene
    lumen = scene.tissue(*LUMEN)
    if np.count_nonzero(lumen) * scene.spacing_mm**3 < FOOD_ML * 1000:
        raise NoPlaceError("the stomach is too empty for food")
    voxels = np.argwhere(lumen)
    low = voxels[voxels[:, 1] >= np.quantile(voxels[:, 1], 0.6)]
    centre = scene.origin_mm + scene.spacing_mm * low[int(rng.integers(len(low)))]
    radii = rng.uniform(9, 26) * np.exp(rng.normal(0, 0.2, 3))
    patch = Patch(scene, aligned_around(scene, centre, float(radii.max()) + 8, 1.0))
    inside = np.clip(2 * patch.share(*LUMEN), 0, 1)
    distance = ball(patch.grid, centre, radii) + 2.5 * cloud(patch.grid, rng, 7.0)
    clump = patch.inside(distance, 1.5) * inside
    mixed = rng.uniform(15, 65) + rng.uniform(12, 30) * cloud(patch.grid, rng, 4.0)
    patch.lay(clump, mixed.astype(np.float32))
    bubbles = np.clip((cloud(patch.grid, rng, 2.5) - rng.uniform(1.5, 2.3)) / 0.4, 0, 1)
    patch.lay((clump * bubbles).astype(np.float32), float(rng.uniform(-800, -350)), own=False)
    patch.mask = clump > 0.5
    patch.site = f"stomach_{stomach.region_at(centre)}"
    return [patch.lesion(check="stomach", kind="food_residue", is_finding=False)]


def folds(stomach: Stomach, rng: np.random.Generator) -> list[Lesion]:
    """Raise a few folds that run along the body."""
    seed = stomach.seed(rng, "body")
    length = float(rng.uniform(30, 60))
    grid = grid_around(stomach.scene, seed, 0.5 * length + 10)
    wall = Wall(stomach, Patch(stomach.scene, grid))
    tangent = stomach.line.tangent(stomach.line.index(stomach.line.fraction_of(seed)))
    along, across, facing = wall.plane(seed, tangent)
    bent = across + 2.5 * cloud(grid, rng, 14.0)
    ridges = np.clip(np.cos(2 * np.pi * bent / rng.uniform(9, 15)), 0, 1) ** 2
    rho2 = (along**2 + across**2) / (0.5 * length) ** 2
    profile = np.clip(1.3 * (1 - rho2), 0, 1) * np.clip((facing + 0.2) / 0.4, 0, 1)
    height = float(rng.uniform(4, 9))
    coat = wall.coat((height * ridges * profile).astype(np.float32), 0.0,
                          np.clip(profile / 0.15, 0, 1))  # fmt: skip
    return _finish(stomach, wall.patch, "benign_fold", coat, seed, rng)


MIMICS: dict[str, Callable[[Stomach, np.random.Generator], list[Lesion]]] = {
    "collapsed_wall": collapsed_wall,
    "antral_contraction": antral_contraction,
    "gastro_oesophageal_junction": junction,
    "food_residue": food,
    "benign_fold": folds,
}
"""Confounder → what draws it."""
