"""What livers without diffuse disease show: cysts, haemangiomas, fat spared, odd outlines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from networks.phantoms.hu import LIVER_HU_AT_ZERO_FAT
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.lattice import aligned, aligned_around
from networks.phantoms.lesions.liver.organ import LIVER, Liver, Point
from networks.phantoms.lesions.liver.steatosis import fossa
from networks.phantoms.scene import occupancy
from networks.phantoms.tissue import Tissue

FATTY_BELOW_HU = 48.0
"""A liver below this shows spared parts as brighter; above it, fat as darker (chosen)."""

ROOM = (
    Tissue.VISCERAL_FAT,
    Tissue.MESENTERIC_VESSEL,
    Tissue.BOWEL_WALL,
    Tissue.BOWEL_FLUID,
    Tissue.BOWEL_GAS,
    Tissue.STOOL,
)
"""What a tongue of the liver pushes aside."""


def _lesion(patch: Patch, kind: str, site: str = "liver") -> Lesion:
    patch.site = site
    return patch.lesion(check="liver", kind=kind, is_finding=False)


def cyst(liver: Liver, rng: np.random.Generator) -> list[Lesion]:
    """Plant one to three round cysts of water."""
    lesions = []
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        radius = float(np.exp(rng.uniform(np.log(3), np.log(24))))
        centre = liver.inner_point(rng, 0.6 * radius)
        patch = Patch(liver.scene, aligned_around(liver.scene, centre, 1.3 * radius + 3, 1.0))
        distance = ball(patch.grid, centre, radius * np.exp(rng.normal(0, 0.08, 3)))
        patch.lay(patch.inside(distance) * patch.share(*LIVER), float(rng.uniform(2, 14)))
        lesions.append(_lesion(patch, "liver_cyst"))
    return lesions


def haemangioma(liver: Liver, rng: np.random.Generator) -> list[Lesion]:
    """Plant a lobulated lesion as dense as blood."""
    radius = float(np.exp(rng.uniform(np.log(6), np.log(32))))
    centre = liver.inner_point(rng, 0.5 * radius)
    patch = Patch(liver.scene, aligned_around(liver.scene, centre, 1.5 * radius + 4, 1.2))
    distance = ball(patch.grid, centre, radius * np.exp(rng.normal(0, 0.15, 3)))
    distance = distance + 0.16 * radius * cloud(patch.grid, rng, 0.7 * radius)
    blood = float(liver.scene.table.mean[Tissue.LIVER_VESSEL]) + rng.uniform(-4, 3)
    share = patch.inside(distance, 1.5) * patch.share(*LIVER)
    patch.lay(share, blood + 3 * cloud(patch.grid, rng, 2.5))
    return [_lesion(patch, "haemangioma")]


def focal_fat(liver: Liver, rng: np.random.Generator) -> list[Lesion]:
    """Spare a part of a fatty liver beside the gallbladder, or let fat into one of a lean liver."""
    centre = fossa(liver.scene, liver)
    radii = rng.uniform(8, 22) * np.exp(rng.normal(0, 0.3, 3))
    patch = Patch(
        liver.scene, aligned_around(liver.scene, centre, 1.3 * float(radii.max()) + 10, 1.5)
    )
    distance = ball(patch.grid, centre, radii) + 3 * cloud(patch.grid, rng, 9.0)
    share = np.clip(0.5 - distance / 6, 0, 1).astype(np.float32) * patch.share(Tissue.LIVER)
    change = (
        rng.uniform(0.4, 0.95) * (LIVER_HU_AT_ZERO_FAT - 5 - liver.hu)
        if liver.hu < FATTY_BELOW_HU
        else -rng.uniform(8, 22)
    )
    patch.hu += share * np.float32(change)
    patch.mask = share > 0.5
    return [_lesion(patch, "focal_fatty_sparing")]


def riedel_lobe(liver: Liver, rng: np.random.Generator) -> list[Lesion]:
    """Let a tongue of the right lobe hang down along the abdominal wall."""
    scene = liver.scene
    inner = liver.surface.places(-999, 0)
    right = inner[inner[:, 2] < np.quantile(inner[:, 2], 0.35)]
    tip = right[right[:, 0] <= np.quantile(right[:, 0], 0.03)].mean(axis=0)
    long, deep, thick = rng.uniform(26, 48), rng.uniform(16, 28), rng.uniform(9, 15)
    centre = tip + np.array([-0.55 * long, 0.0, -2.0])
    reach = np.array([long, deep, thick]) + 8
    patch = Patch(scene, aligned(scene, centre - reach, centre + reach, 1.2))
    room = patch.share(*LIVER, *ROOM)
    distance = ball(patch.grid, centre, (long, deep, thick)) + 1.5 * cloud(patch.grid, rng, 20.0)
    before = patch.share(*LIVER)
    share = patch.inside(distance, 1.5) * room
    patch.lay(share, liver.hu + float(scene.table.sd[Tissue.LIVER]) * cloud(patch.grid, rng, 1.6))
    patch.mask = (share > 0.5) & (before < 0.5)
    return [_lesion(patch, "riedel_lobe", "right_lobe")]


def slips(liver: Liver, rng: np.random.Generator) -> list[Lesion]:
    """Press folds of the diaphragm into the dome."""
    scene = liver.scene
    shell = liver.surface.places(-1.5 * scene.spacing_mm, 0)
    dome = shell[shell[:, 0] > np.quantile(shell[:, 0], 0.6)]
    lesions = []
    for _ in range(int(rng.integers(2, 5))):
        foot: Point = dome[int(rng.integers(len(dome)))]
        lesions += _slip(liver, foot, rng)
    if not lesions:
        raise NoPlaceError("the dome of the liver is out of view")
    return lesions


def _slip(liver: Liver, foot: Point, rng: np.random.Generator) -> list[Lesion]:
    """Press one fold into the liver from a point of its surface."""
    scene = liver.scene
    deep, wide, long = rng.uniform(7, 18), rng.uniform(1.2, 2.4), rng.uniform(18, 40)
    patch = Patch(scene, aligned_around(scene, foot, long, 1.0))
    normal = np.array([rng.normal(0, 0.15), rng.normal(0, 0.45), 1.0])
    normal /= np.linalg.norm(normal)
    z, y, x = patch.grid.offsets(foot)
    across = normal[0] * z + normal[1] * y + normal[2] * x + 1.5 * cloud(patch.grid, rng, 18.0)
    away = np.sqrt(z * z + y * y + x * x)
    below = -liver.surface.on(patch.grid)
    shallow = deep * np.clip(1 - (away / (0.95 * long)) ** 2, 0, 1)
    thin = wide * np.clip(1 - below / np.maximum(shallow, 1), 0, 1) ** 0.5
    share = occupancy(np.abs(across) - thin, 1.5) * (below < shallow) * patch.share(*LIVER)
    share *= (below > -2).astype(np.float32)
    filling = 0.6 * float(scene.table.mean[Tissue.VISCERAL_FAT]) + 0.4 * float(
        scene.table.mean[Tissue.DIAPHRAGM]
    )
    patch.lay(share.astype(np.float32), filling)
    return [_lesion(patch, "diaphragmatic_slips", "dome")] if patch.mask.any() else []


MIMICS: dict[str, Callable[[Liver, np.random.Generator], list[Lesion]]] = {
    "liver_cyst": cyst,
    "haemangioma": haemangioma,
    "focal_fatty_sparing": focal_fat,
    "riedel_lobe": riedel_lobe,
    "diaphragmatic_slips": slips,
}
"""Confounder → what draws it."""
