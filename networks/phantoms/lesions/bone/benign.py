"""What is benign in bone, and what only looks like a lesion."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.bone.metastasis import CELL_MM, at, bony, marrow_hu
from networks.phantoms.lesions.bone.sites import (
    VERTEBRA,
    Site,
    Vertebra,
    in_bone,
    in_vertebra,
    vertebrae,
)
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

ISLAND_HU = (850.0, 1250.0)
"""Above 800 HU (pipelines.md §6.3)."""

DIAMETER_MM = {
    "bone_island": (3.5, 14.0),
    "haemangioma": (7.0, 26.0),
    "schmorl_node": (5.0, 14.0),
    "endplate_sclerosis": (9.0, 34.0),
    "basivertebral_vein": (5.0, 10.0),
    "costochondral_calcification": (6.0, 18.0),
}
"""Smallest and largest diameter by kind (our choice)."""


def body_axes(patch: Patch, body: Vertebra) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the height, the way back and the way left from a vertebra's centre, mm."""
    z, y, x = patch.grid.offsets(body.centre_mm)
    up, back, left = (
        (row[0] * z + row[1] * y + row[2] * x).astype(np.float32) for row in body.frame
    )
    return up, back, left


def bone_island(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a dense focus whose border radiates into the trabeculae."""
    site = in_bone(scene, rng)
    radius = 0.5 * diameter_mm
    spacing = 0.6
    patch = Patch.around(scene, site.point_mm, radius * 1.9 + 3, spacing)
    along = float(rng.uniform(1.1, 1.6))
    frame = frame_along(site.direction, rng)
    level = ball(patch.grid, site.point_mm, radius * np.array([along, 0.9, 0.9]), frame)
    spikes = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(9, 16))):
        way = rng.standard_normal(3) @ np.diag([1.5, 1, 1]) @ frame
        way /= np.linalg.norm(way)
        root = site.point_mm + 0.6 * radius * way
        tip = site.point_mm + radius * float(rng.uniform(1.2, 1.65)) * way
        np.minimum(spikes, tube(patch.grid, [root, tip], [0.28 * radius, 0.3]), out=spikes)
    level = np.minimum(level, spikes)
    bone = bony(patch, site)
    dense = float(rng.uniform(*ISLAND_HU)) + 40 * cloud(patch.grid, rng, 2.0)
    patch.raise_to(patch.inside(level) * bone, dense)
    patch.mask = (level < 0) & (bone > 0.5)
    return at(patch, site)


def haemangioma(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint fat crossed by thick vertical trabeculae: dots in the axial plane."""
    site = in_vertebra(scene, rng, spread=0.3)
    body = site.vertebra
    assert body is not None
    wide = min(diameter_mm, 1.8 * body.half_mm[1])
    patch = Patch.around(scene, site.point_mm, 0.62 * wide + 4, 0.6)
    tall = min(0.5 * wide, body.half_mm[0] - 1.0)
    level = ball(patch.grid, site.point_mm, [tall, 0.5 * wide, 0.5 * wide], body.frame)
    level += 0.06 * wide * cloud(patch.grid, rng, 0.4 * wide)
    bone = bony(patch, site)
    patch.lay(patch.inside(level, 1.2) * bone, float(rng.uniform(-45, 25)))
    _, back, left = body_axes(patch, body)
    pitch = float(rng.uniform(3.4, 4.6))
    thick = float(rng.uniform(0.55, 0.85))
    reach = np.arange(-16, 17) * pitch
    columns = np.full(patch.grid.shape, 99.0, np.float32)
    middle = (site.point_mm - body.centre_mm) @ body.frame.T
    for a in reach[np.abs(reach) < 0.6 * wide]:
        for b in reach[np.abs(reach) < 0.6 * wide]:
            da, db = rng.uniform(-0.45, 0.45, 2) * pitch
            if rng.random() < 0.2:
                continue
            radius = thick * float(rng.uniform(0.6, 1.7))
            away = np.sqrt((back - middle[1] - a - da) ** 2 + (left - middle[2] - b - db) ** 2)
            np.minimum(columns, away - radius, out=columns)
    bright = float(rng.uniform(330, 480))
    patch.lay(patch.inside(columns) * patch.inside(level) * bone, bright, own=False)
    patch.mask = (level < 0) & (bone > 0.5)
    return at(patch, site)


def schmorl_node(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a dent of disc in an endplate, with a dense rim."""
    site = in_vertebra(scene, rng)
    body = site.vertebra
    assert body is not None
    end = float(rng.choice([-1.0, 1.0]))
    aside = rng.uniform(-0.4, 0.4, 2) * np.array(body.half_mm[1:])
    deep = min(float(rng.uniform(0.55, 0.85)) * diameter_mm, 1.1 * body.half_mm[0])
    mouth = body.centre_mm + np.array([end * (body.half_mm[0] + 0.5), *aside]) @ body.frame
    patch = Patch.around(scene, mouth, diameter_mm + 5, CELL_MM)
    level = ball(patch.grid, mouth, [deep, 0.5 * diameter_mm, 0.55 * diameter_mm], body.frame)
    level += 0.08 * diameter_mm * cloud(patch.grid, rng, 0.5 * diameter_mm)
    up, _, _ = body_axes(patch, body)
    of_body = patch.inside(end * up - body.half_mm[0] - 0.8)
    rim_mm = float(rng.uniform(1.4, 2.6))
    bone = bony(patch, site)
    rim = patch.inside(level - rim_mm, 1.2) * (end * up < body.half_mm[0] - 0.5)
    patch.raise_to(rim * bone, float(rng.uniform(340, 560)))
    disc = float(scene.table.mean[Tissue.DISC]) + float(rng.uniform(-15, 10))
    patch.lay(patch.inside(level) * of_body, disc)
    patch.mask = (level < rim_mm) & (bone > 0.4)
    name = "superior" if end > 0 else "inferior"
    patch.extra["endplate"] = name
    return at(patch, site)


def endplate_sclerosis(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint dense bands along both endplates of one disc, often with a bony spur in front."""
    bodies = vertebrae(scene)
    pairs = [(a, b) for a, b in pairwise(bodies) if a.level[0] != "C"]
    if not pairs:
        raise NoPlaceError("no two whole vertebrae are in view")
    # degeneration is commonest low in the spine
    weight = np.array([2.5 if a.level[0] == "L" else 1.0 for a, _ in pairs])
    below, above = pairs[int(rng.choice(len(pairs), p=weight / weight.sum()))]
    gap = 0.5 * (below.centre_mm + above.centre_mm)
    ahead = float(rng.uniform(0.1, 0.5)) * (1 if rng.random() < 0.75 else -1)
    aside = float(rng.uniform(-0.35, 0.35))
    reach = [below.disc_mm + 16, below.half_mm[1] + 10, below.half_mm[2] + 8]
    patch = Patch.around(scene, gap, reach, CELL_MM)
    bone = bony(patch, Site("vertebra", "", gap, below.frame[0], VERTEBRA))
    bright = float(rng.uniform(320, 560))
    lumps = cloud(patch.grid, rng, 5.0)
    focus = gap + np.array([0, -ahead * below.half_mm[1], aside * below.half_mm[2]]) @ below.frame
    for body, end in ((below, 1.0), (above, -1.0)):
        if end < 0 and rng.random() < 0.25:
            continue
        up, _, _ = body_axes(patch, body)
        depth = body.half_mm[0] - end * up
        thick = float(rng.uniform(2.5, 6.5))
        flat = ball(patch.grid, focus, [99, 0.5 * diameter_mm, 0.6 * diameter_mm], body.frame)
        fall = np.clip(1 - np.maximum(depth, 0) / (thick * (1 + 0.25 * lumps)), 0, 1)
        where = np.where(depth > -2.5, np.sqrt(fall), 0) * patch.inside(flat, 5.0) * bone
        patch.raise_to(where.astype(np.float32), bright * (1 + 0.1 * lumps))
    patch.mask = (patch.delta_hu > 60) & (bone > 0.4)
    if rng.random() < 0.6:
        _spur(patch, below, rng)
    name = f"{below.level}_{above.level}"
    patch.site, patch.extra["site_kind"] = name, "vertebra"
    return patch


def _spur(patch: Patch, body: Vertebra, rng: np.random.Generator) -> None:
    """Paint a bony spur at the front of a body's upper edge."""
    turn = float(rng.uniform(-0.9, 0.9))
    corner = np.array([body.half_mm[0] - 2.0, -np.cos(turn) * body.half_mm[1],
                       np.sin(turn) * body.half_mm[2]])  # fmt: skip
    out = np.array([0.0, -np.cos(turn), np.sin(turn)])
    long = float(rng.uniform(3.0, 7.0))
    path = [
        corner - 3 * out,
        corner + (0.5, 0, 0) + 0.5 * long * out,
        corner + (3.0, 0, 0) + long * out,
    ]
    points = body.centre_mm + np.array(path) @ body.frame
    spur = tube(patch.grid, points, [3.2, 2.4, 1.2])
    patch.raise_to(patch.inside(spur), 330.0, own=False)
    patch.lower_to(patch.inside(spur + 1.4), 160.0, own=False)


def basivertebral_vein(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint the vein's channel at mid-height, open to the canal behind."""
    site = in_vertebra(scene, rng)
    body = site.vertebra
    assert body is not None
    patch = Patch.around(scene, body.centre_mm, [9, body.half_mm[1] + 5, body.half_mm[2]], CELL_MM)
    rear, fork = body.half_mm[1] + 0.5, float(rng.uniform(0.2, 0.5)) * body.half_mm[1]
    wide = float(rng.uniform(0.3, 0.6)) * body.half_mm[2]
    half = 0.25 * diameter_mm
    vein = np.full(patch.grid.shape, 99.0, np.float32)
    for path, radius in (
        ([(0, rear, 0), (0, fork, 0)], [half, 0.7 * half]),
        ([(0, fork, 0), (0.5, fork - 0.5 * wide, wide)], [0.6 * half, 0.7]),
        ([(0, fork, 0), (-0.5, fork - 0.5 * wide, -wide)], [0.6 * half, 0.7]),
    ):
        points = body.centre_mm + np.array(path) @ body.frame
        np.minimum(vein, tube(patch.grid, points, radius), out=vein)
    bone = bony(patch, site)
    patch.raise_to(patch.inside(vein - 1.0) * bone, marrow_hu(scene, site) + 90, own=False)
    patch.lay(patch.inside(vein) * np.maximum(bone, 0.5), float(rng.uniform(25, 55)))
    return at(patch, site)


def costochondral_calcification(
    scene: Scene, diameter_mm: float, rng: np.random.Generator
) -> Patch:
    """Paint calcified streaks and patches in a rib cartilage."""
    cartilage = scene.tissue(Tissue.COSTAL_CARTILAGE)
    point = scene.pick(cartilage, rng)
    if point is None:
        raise NoPlaceError("no rib cartilage is in view")
    patch = Patch.around(scene, point, diameter_mm + 3, CELL_MM)
    share = np.clip((patch.share(Tissue.COSTAL_CARTILAGE) - 0.25) / 0.3, 0, 1)
    level = ball(patch.grid, point, diameter_mm * np.array([0.6, 0.7, 0.7]))
    # the rim calcifies first
    speck = cloud(patch.grid, rng, 2.2) + 1.1 * (share < 0.9)
    patch.raise_to(
        (patch.inside(level, 3.0) * np.clip(1.6 * (speck - 0.6), 0, 1) * share).astype(np.float32),
        float(rng.uniform(220, 520)),
    )
    side = "right" if point[2] < 0 else "left"
    patch.site, patch.extra["site_kind"] = f"{side}_costal_cartilage", "rib"
    return patch


BENIGN = {
    "bone_island": bone_island,
    "haemangioma": haemangioma,
    "schmorl_node": schmorl_node,
    "endplate_sclerosis": endplate_sclerosis,
    "basivertebral_vein": basivertebral_vein,
    "costochondral_calcification": costochondral_calcification,
}
"""Kind → what draws it at a diameter in mm, with its site."""
