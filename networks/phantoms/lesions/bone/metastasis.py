"""Metastases: blastic, lytic with a break of the cortex, mixed."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.bone.sites import VERTEBRA, Site, in_bone
from networks.phantoms.lesions.brush import (
    InvisibleError,
    Judge,
    Patch,
    Tuned,
    ball,
    cloud,
    frame_along,
    tune,
)
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

BLASTIC_HU = (220.0, 800.0)
"""Mean HU of a blastic metastasis (pipelines.md §6.3)."""

LYTIC_HU = (20.0, 80.0)
"""HU of the soft tissue in a lytic metastasis (pipelines.md §6.3)."""

DIAMETER_MM = {
    "blastic_metastasis": (4.0, 32.0),
    "lytic_metastasis": (4.5, 36.0),
    "mixed_metastasis": (6.0, 36.0),
}
"""Smallest and largest diameter by kind (our choice)."""

BREAK_SHARE = {"easy": 0.9, "medium": 0.4, "hard": 0.15}
"""How often a lytic metastasis has come through the cortex; early ones lie in the marrow."""

SITES_TRIED = 4

CELL_MM = 0.8
"""Voxels of a lesion in bone."""


def marrow_hu(scene: Scene, site: Site) -> float:
    """Return the mean HU of the marrow at a site."""
    tissue = Tissue.VERTEBRA_MARROW if site.tissues == VERTEBRA else Tissue.BONE_MARROW
    return float(scene.table.mean[tissue])


def at(patch: Patch, site: Site) -> Patch:
    """Note where a patch is."""
    patch.site = site.name
    patch.extra["site_kind"] = site.kind
    return patch


def bony(patch: Patch, site: Site) -> FloatArray:
    """Return the share of bone, 0 to 1, its edge sharper than the anatomy's voxels."""
    share = patch.share(*site.tissues)
    return np.clip((share - 0.3) / 0.35, 0, 1).astype(np.float32)


def shape(patch: Patch, site: Site, diameter_mm: float, rng: np.random.Generator) -> FloatArray:
    """Return the distance to an irregular lump, longer along the bone, mm."""
    radius = 0.5 * diameter_mm
    longer = 1.0 if site.vertebra else float(rng.uniform(1.0, 1.7))
    radii = radius * np.array([longer, *rng.uniform(0.75, 1.1, 2)])
    lump = ball(patch.grid, site.point_mm, radii, frame_along(site.direction, rng))
    lump += 0.24 * radius * cloud(patch.grid, rng, max(0.8 * radius, 2.5))
    lump += 0.1 * radius * cloud(patch.grid, rng, 2.2)
    return lump


def blastic(scene: Scene, site: Site, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint dense, cloudy bone that fades into the marrow."""
    patch = Patch.around(scene, site.point_mm, diameter_mm * 1.05 + 4, CELL_MM)
    level = shape(patch, site, diameter_mm, rng)
    dense = float(rng.uniform(420, 620)) * (1 + 0.16 * cloud(patch.grid, rng, 3.0))
    patch.raise_to(
        patch.inside(level, soft_mm=float(rng.uniform(1.5, 4.0))) * bony(patch, site),
        dense.astype(np.float32),
    )
    patch.mask = (level < 0) & (bony(patch, site) > 0.5)
    return at(patch, site)


def lytic(
    scene: Scene,
    site: Site,
    diameter_mm: float,
    rng: np.random.Generator,
    *,
    through: bool = True,
) -> Patch:
    """Paint soft tissue in place of bone, and through the cortex a little beyond."""
    outwards = _outwards(site, diameter_mm, rng) if through else site
    patch = Patch.around(scene, outwards.point_mm, diameter_mm * 1.05 + 4, CELL_MM)
    level = shape(patch, outwards, diameter_mm, rng)
    soft = float(rng.uniform(35, 55)) + 8 * cloud(patch.grid, rng, 2.5)
    inside = patch.inside(level, soft_mm=float(rng.uniform(0.8, 2.0)))
    bone = bony(patch, outwards)
    near = np.clip(2.2 * patch.share(*outwards.tissues), 0, 1).astype(np.float32)
    patch.lay(inside * bone, soft)
    if through:
        # beyond the cortex only fat gives way, and only a few mm of it
        beyond = np.maximum(near, patch.inside(level + 0.35 * diameter_mm))
        patch.raise_to(inside * beyond, soft)
    else:
        beyond = np.zeros_like(bone)
    if rng.random() < 0.4:
        # trabeculae that are left
        spared = (cloud(patch.grid, rng, 2.5) > 1.5) & (level < -1.5) & (bone > 0.8)
        patch.lay(0.5 * spared.astype(np.float32), 220.0, own=False)
    patch.mask = (level < 0) & ((bone > 0.5) | (beyond > 0.6))
    return at(patch, site)


def mixed(scene: Scene, site: Site, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint soft tissue and dense bone side by side."""
    patch = Patch.around(scene, site.point_mm, diameter_mm * 1.05 + 4, CELL_MM)
    level = shape(patch, site, diameter_mm, rng)
    bone = bony(patch, site)
    inside = patch.inside(level, soft_mm=1.8) * bone
    mottle = cloud(patch.grid, rng, float(np.clip(0.22 * diameter_mm, 2.4, 4.5)))
    mottle += 0.7 * cloud(patch.grid, rng, max(0.6 * diameter_mm, 3.0))
    dense = np.clip((mottle - float(rng.uniform(-0.3, 0.3))) / 0.7 + 0.5, 0, 1)
    bright = float(rng.uniform(420, 640)) * (1 + 0.12 * cloud(patch.grid, rng, 2.5))
    soft = float(rng.uniform(30, 60))
    patch.lay(inside, (soft + (bright - soft) * dense).astype(np.float32))
    patch.mask = (level < 0) & (bone > 0.5)
    return at(patch, site)


def _outwards(site: Site, diameter_mm: float, rng: np.random.Generator) -> Site:
    """Move a place towards the surface of its bone, so that a lesion breaks the cortex."""
    body = site.vertebra
    if body is None:
        return site
    way = rng.standard_normal(3) * (0.25, 1.0, 1.0)
    # the pedicles and the back of the body are the usual place
    way[1] = abs(way[1]) if rng.random() < 0.65 else -abs(way[1])
    way /= np.sqrt(((way / (1, body.half_mm[1], body.half_mm[2])) ** 2)[1:].sum()) + 1e-6
    length = float(np.linalg.norm(way))
    share = max(length - 0.33 * diameter_mm, 0.3 * length) / length
    up = float(rng.uniform(-0.4, 0.4)) * body.half_mm[0]
    point = body.centre_mm + share * (way * (0, 1, 1)) @ body.frame + up * body.frame[0]
    return Site(site.kind, site.name, point, site.direction, site.tissues, body)


def _strength(kind: str, marrow: float) -> tuple[float, float]:
    """Return how far the contrast may be scaled so that the HU stay within their range."""
    if kind == "blastic_metastasis":
        low = (max(BLASTIC_HU[0], marrow + 40) - marrow) / (520 - marrow)
        return low, (BLASTIC_HU[1] - marrow) / (620 - marrow)
    if kind == "lytic_metastasis" and marrow > 100:
        return float(np.clip((LYTIC_HU[1] - marrow) / (45 - marrow), 0.6, 0.95)), 1.0
    return 0.4, 1.0


def metastasis(
    scene: Scene, rng: np.random.Generator, kind: str, *, difficulty: str, judge: Judge
) -> Tuned:
    """Draw a metastasis somewhere in the bones in view.

    Marrow of other density makes the same lesion harder or easier: up to `SITES_TRIED` places are
    tried for the difficulty that is asked for, and the nearest is taken.
    """
    best: Tuned | None = None
    for _ in range(SITES_TRIED):
        try:
            found = _metastasis_at(in_bone(scene, rng), rng, scene, kind, difficulty, judge)
        except InvisibleError:
            continue
        if best is None or abs(np.log(found.dprime / 9)) < abs(np.log(best.dprime / 9)):
            best = found
        if found.difficulty == difficulty:
            return found
    if best is None:
        raise NoPlaceError("no bone in view would show it")
    return best


def _metastasis_at(
    site: Site, rng: np.random.Generator, scene: Scene, kind: str, difficulty: str, judge: Judge
) -> Tuned:
    through = bool(rng.random() < BREAK_SHARE[difficulty])

    def draw(diameter_mm: float) -> Patch:
        if kind == "lytic_metastasis":
            return lytic(scene, site, diameter_mm, rng, through=through)
        return (blastic if kind == "blastic_metastasis" else mixed)(scene, site, diameter_mm, rng)

    found = tune(
        draw,
        rng,
        judge,
        difficulty,
        size=DIAMETER_MM[kind],
        strength=_strength(kind, marrow_hu(scene, site)),
    )
    if kind == "lytic_metastasis":
        found.patch.extra["cortical_break"] = through
    return found
