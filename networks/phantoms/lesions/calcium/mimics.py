"""Dense things in and near the heart that are no coronary calcium."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.aorta.wall import wall_plaque
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.lesions.calcium.tree import GROOVE, course_of, tree_of
from networks.phantoms.lesions.heart import FAT, HEART, HeartFrame
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Draw = Callable[[Scene, np.random.Generator], list[Patch]]

SPACING_MM = 0.45
"""Voxel edge of the patches."""

STRUT_HU = 3000.0
"""Steel or cobalt of a stent; a scan of 3 mm blurs its thin mesh to some hundred HU."""

STRUT_MM = 0.3


def aortic_wall_calcium(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw plaques in the wall of the root, the ascending and the arch, beside the coronaries."""
    course = AortaCourse(scene)
    if not course.top:
        return []
    last = course.top + 40
    patches = []
    for _ in range(int(rng.integers(2, 6))):
        near_root = rng.random() < 0.55
        index = int(rng.uniform(4, 20) if near_root else rng.uniform(20, last))
        index = min(index, len(course.points_mm) - 2)
        patches.append(_at(wall_plaque(course, rng, index), "aortic_wall"))
    return patches


def valve_calcium(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw calcium of the aortic valve's cusps, or of the mitral annulus."""
    return _aortic_valve(scene, rng) if rng.random() < 0.55 else _mitral_annulus(scene, rng)


def _aortic_valve(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    course = AortaCourse(scene)
    if not course.top:
        return []
    index = int(rng.integers(4, 8))
    centre, radius = course.points_mm[index], float(course.radius_mm[index])
    patch = Patch(scene, FineGrid.around(centre, radius + 3, SPACING_MM))
    lumps = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(2, 8))):
        angle, out = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform(0, 0.55))
        place = (
            centre
            + out * np.cos(angle) * course.first_normal[index]
            + out * np.sin(angle) * course.second_normal[index]
            + rng.normal(0, 1.2, 3)
        )
        size = rng.uniform(0.8, 2.6) * np.exp(rng.normal(0, 0.25, 3))
        np.minimum(lumps, ball(patch.grid, place, size), out=lumps)
    lumps += np.float32(0.5) * cloud(patch.grid, rng, 1.8)
    _calcify(patch, lumps, rng)
    return [_at(patch, "aortic_valve")]


def _mitral_annulus(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    heart = HeartFrame(scene)
    axis = heart.centre_mm + (heart.base + GROOVE * (heart.apex - heart.base)) * heart.along
    edge = heart.surface(GROOVE, 115.0)
    centre = axis + 0.42 * (edge - axis)
    radius = float(rng.uniform(13, 18))
    span = np.deg2rad(float(rng.uniform(35, 170)))
    turn = np.deg2rad(115 + rng.normal(0, 25)) + np.linspace(-0.5 * span, 0.5 * span, 24)
    ring = centre + radius * (np.cos(turn)[:, None] * heart.front
                              + np.sin(turn)[:, None] * heart.left)  # fmt: skip
    thick = float(rng.uniform(1.0, 2.6))
    low, high = ring.min(axis=0) - thick - 3, ring.max(axis=0) + thick + 3
    patch = Patch(scene, FineGrid.around(0.5 * (low + high), 0.5 * (high - low), 0.5))
    uneven = np.clip(1 + 0.5 * ndimage.gaussian_filter1d(rng.standard_normal(24) * 2, 2), 0.3, 2)
    surface = tube(patch.grid, ring, thick * uneven)
    surface += np.float32(0.35 * thick) * cloud(patch.grid, rng, 2.5)
    _calcify(patch, surface, rng)
    return [_at(patch, "mitral_annulus")]


def stent(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw a stent in a coronary artery: a mesh that a scan shows as two rails or a ring.

    A scene without coronary arteries has no place for it.
    """
    tree = tree_of(scene)
    if not tree:
        return []
    course = course_of(tree[int(rng.choice([1, 1, 2, 3]))])
    steps = int(rng.integers(6, 14))
    first = int(rng.integers(1, 9))
    path = course.points_mm[first : first + steps]
    radius = float(np.clip(course.radius_mm[first], 1.25, 2.0))
    low, high = path.min(axis=0) - radius - 2.5, path.max(axis=0) + radius + 2.5
    patch = Patch(scene, FineGrid.around(0.5 * (low + high), 0.5 * (high - low), 0.35))
    away = tube(patch.grid, path, radius)
    z, y, x = patch.grid.offsets(path[0])
    mesh = 0.75 + 0.25 * np.cos(2 * np.pi * (z + y + x) / 1.6)
    wall = patch.inside(np.abs(away) - 0.5 * STRUT_MM)
    patch.raise_to((wall * mesh).astype(np.float32), STRUT_HU * float(rng.uniform(0.5, 1.0)))
    patch.mask = away < 0.5 * STRUT_MM + 0.2
    return [_at(patch, course.territory)]


def pericardial_calcium(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw a plate of calcium in the pericardium, over the heart's front or under it."""
    heart = HeartFrame(scene)
    place = heart.surface(float(rng.uniform(0.35, 0.9)), float(rng.uniform(-110, 200)))
    reach = float(rng.uniform(6, 18))
    patch = Patch(scene, FineGrid.around(place, 1.2 * reach + 5, 0.6))
    away = heart.distance_on(patch.grid) + 0.8 * cloud(patch.grid, rng, 9.0)
    foot = ball(patch.grid, place, reach * np.exp(rng.normal(0, 0.25, 3)))
    foot += np.float32(0.3 * reach) * cloud(patch.grid, rng, 0.4 * reach)
    thick = float(rng.uniform(0.9, 2.2)) * (1 + 0.3 * cloud(patch.grid, rng, 4.0))
    sheet = np.maximum(np.abs(away - rng.uniform(1.5, 3.5)) - 0.5 * thick, foot)
    _calcify(patch, sheet.astype(np.float32), rng)
    return [_at(patch, "pericardium")]


def lymph_node_calcified(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw a calcified node in the mediastinum, beside the airways or the pulmonary arteries."""
    step = scene.spacing_mm
    beside = scene.tissue(Tissue.AIRWAY_WALL, Tissue.PULMONARY_ARTERY)
    fat = scene.tissue(Tissue.MEDIASTINAL_FAT)
    deep = scene.depth_mm(Tissue.MEDIASTINAL_FAT) >= 1.5 * step
    near = ndimage.binary_dilation(beside, iterations=max(1, round(12 / step))) & fat & deep
    z = scene.origin_mm[0] + step * np.arange(near.shape[0])
    heart = np.flatnonzero(scene.tissue(*HEART).any(axis=(1, 2)))
    if heart.size:
        near &= (z > z[heart[0]])[:, None, None]
    place = scene.pick(near, rng)
    if place is None:
        return []
    size = float(rng.uniform(3.5, 7.5))
    patch = Patch(scene, FineGrid.around(place, 1.5 * size + 3, SPACING_MM))
    node = ball(patch.grid, place, size * np.array([1.1, 0.8, 0.7]),
                frame_along(rng.standard_normal(3), rng))  # fmt: skip
    node += np.float32(0.4) * cloud(patch.grid, rng, 4.0)
    room = np.clip(2 * patch.share(*FAT, Tissue.LUNG_RIGHT, Tissue.LUNG_LEFT) - 0.3, 0, 1)
    patch.lay(patch.inside(node) * room, float(rng.uniform(30, 50)), own=False)
    if rng.random() < 0.35:
        calcium = np.abs(node + 0.9) - 0.5
    else:
        calcium = np.maximum(node + 0.6, 0.8 - 1.1 * cloud(patch.grid, rng, 2.5))
    _calcify(patch, (calcium + 3 * (room < 0.3)).astype(np.float32), rng)
    return [_at(patch, "mediastinal_node")] if patch.mask.any() else []


def _calcify(patch: Patch, surface: np.ndarray, rng: np.random.Generator) -> None:
    """Lay calcium of one density within a surface."""
    hu = float(np.exp(rng.uniform(np.log(250), np.log(1100))))
    grain = 1 + 0.12 * np.clip(cloud(patch.grid, rng, 1.6), -2, 2)
    patch.raise_to(patch.inside(surface), hu * grain)


def _at(patch: Patch, site: str) -> Patch:
    patch.site = site
    return patch


MIMICS: dict[str, Draw] = {
    "aortic_wall_calcium": aortic_wall_calcium,
    "valve_calcium": valve_calcium,
    "stent": stent,
    "pericardial_calcium": pericardial_calcium,
    "lymph_node_calcified": lymph_node_calcified,
}
"""Confounder → what draws it; an empty list where it found no room."""
