"""The mediastinum: lymph nodes, masses, thymus, thyroid, oesophagus and hiatus."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along
from networks.phantoms.lesions.chest.places import (
    AIRWAY,
    FAT,
    HEART,
    BoolArray,
    Drawing,
    Point,
    blob,
    dependent,
    distance_on,
    edge_fade,
    soft_step,
)
from networks.phantoms.lobes import LUNG
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

VESSELS = (
    Tissue.AORTA,
    Tissue.ARTERY,
    Tissue.PULMONARY_ARTERY,
    Tissue.CENTRAL_VEIN,
    Tissue.INFERIOR_VENA_CAVA,
)
BONE = (
    Tissue.VERTEBRA_CORTEX,
    Tissue.VERTEBRA_MARROW,
    Tissue.BONE_CORTEX,
    Tissue.BONE_MARROW,
)
NODE_HU = (28.0, 48.0)


def _spared(patch: Patch, *tissues: Tissue) -> FloatArray:
    """Return the share of what a finding leaves alone."""
    return np.clip(1.8 * patch.share(*tissues), 0, 1).astype(np.float32)


def _soft_room(patch: Patch) -> FloatArray:
    """Return where a mass of the mediastinum can lie: fat and lung, not airways, vessels, bone."""
    fat = np.clip(1.6 * patch.share(*FAT, *LUNG), 0, 1)
    spared = _spared(patch, *AIRWAY, *VESSELS, *HEART, *BONE)
    return (fat * (1 - spared) * edge_fade(patch)).astype(np.float32)


def _landmarks(scene: Scene) -> tuple[float, float, Point]:
    """Return the z of base and apex of the lungs, and the place of the carina, LPS mm."""
    lungs = np.flatnonzero(scene.tissue(*LUNG).any(axis=(1, 2)))
    lumen = scene.tissue(Tissue.AIRWAY_LUMEN)
    if len(lungs) < 4 or not lumen.any():
        raise NoPlaceError("the mediastinum is not in view")
    counts = np.array([ndimage.label(plane)[1] for plane in lumen])
    single = counts == 1
    carina = len(single) - 1 - int(np.argmax(single[::-1]))
    while carina and single[carina - 1]:
        carina -= 1
    place = np.argwhere(lumen[carina]).mean(axis=0)
    point = scene.origin_mm + np.array([carina, *place]) * scene.spacing_mm
    low, high = scene.origin_mm[0] + lungs[[0, -1]] * scene.spacing_mm
    return float(low), float(high), point


def _coordinates(scene: Scene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return z, y and x of the anatomy's voxels, ready to broadcast, LPS mm."""
    z, y, x = (
        scene.origin_mm[a] + scene.spacing_mm * np.arange(n)
        for a, n in enumerate(scene.anatomy.labels.shape)
    )
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _station(scene: Scene, rng: np.random.Generator, depth_mm: float) -> tuple[Point, str]:
    """Draw a place for a node in the fat around the central airways, and its station."""
    _, high, carina = _landmarks(scene)
    z, y, x = _coordinates(scene)
    fat = scene.tissue(Tissue.MEDIASTINAL_FAT)
    fat &= (np.abs(x - carina[2]) < 42) & (z > carina[0] - 55) & (z < min(high, carina[0] + 75))
    fat &= (y < carina[1] + 28) & (y > carina[1] - 45)
    near = ndimage.binary_dilation(
        scene.tissue(*AIRWAY, *VESSELS[:3]), iterations=max(1, round(9 / scene.spacing_mm))
    )
    fat &= near & (scene.depth_mm(Tissue.MEDIASTINAL_FAT) > depth_mm)
    point = scene.pick(fat, rng)
    if point is None:
        raise NoPlaceError("the mediastinal fat has no room for a node")
    up, back, aside = point - carina
    if up < -8:
        name = "subcarinal"
    elif back < -18:
        name = "prevascular"
    elif up < 30 and aside > 12:
        name = "aortopulmonary"
    else:
        name = "right_paratracheal" if aside < 0 else "left_paratracheal"
    return point, name


def _node(
    patch: Patch, point: Point, short_mm: float, room: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the distance to a bean-shaped node of a short axis."""
    half = 0.5 * short_mm
    long = float(rng.uniform(1.1, 1.7))
    frame = frame_along(rng.standard_normal(3) * (1.5, 1, 1), rng)
    level = ball(patch.grid, point, half * np.array([long, 1.05, 0.95]), frame)
    return level + 0.08 * half * cloud(patch.grid, rng, max(half, 2.5))


def mediastinal_lymph_node(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint one or several enlarged nodes of the mediastinum."""
    point, station = _station(scene, rng, 2.0)
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 5))
    patch = Patch.around(scene, point, short_mm + (4 if count == 1 else 22), 0.6)
    room = _soft_room(patch)
    level = _node(patch, point, short_mm, room, rng)
    for _ in range(count - 1):
        other = point + 13 * rng.standard_normal(3)
        smaller = short_mm * float(rng.uniform(0.5, 1.0))
        np.minimum(level, _node(patch, other, smaller, room, rng), out=level)
    patch.raise_to(patch.inside(level) * room, float(rng.uniform(*NODE_HU)), own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = station
    return patch


def small_lymph_nodes(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint nodes of normal size, some with fat in their hilum."""
    point, station = _station(scene, rng, 2.0)
    patch = Patch.around(scene, point, 24, 0.6)
    room = _soft_room(patch)
    for n in range(int(rng.integers(1, 5))):
        place = point if n == 0 else point + 9 * rng.standard_normal(3)
        level = _node(patch, place, short_mm * float(rng.uniform(0.6, 1.0)), room, rng)
        share = patch.inside(level) * room
        if rng.random() < 0.5:
            share = share * (1 - 0.8 * patch.inside(level + 0.3 * short_mm))
        patch.raise_to(share, float(rng.uniform(*NODE_HU)))
    patch.site = station
    return patch


def _hilum(scene: Scene, rng: np.random.Generator) -> tuple[Point, str]:
    """Draw a place where the lung meets bronchi and arteries."""
    _, _, carina = _landmarks(scene)
    z, _, x = _coordinates(scene)
    roots = scene.tissue(*AIRWAY, Tissue.PULMONARY_ARTERY)
    roots &= (np.abs(x - carina[2]) > 22) & (z < carina[0] + 8) & (z > carina[0] - 55)
    near = ndimage.binary_dilation(roots, iterations=max(1, round(6 / scene.spacing_mm))) & ~roots
    near &= scene.tissue(*LUNG, Tissue.MEDIASTINAL_FAT)
    point = scene.pick(near, rng)
    if point is None:
        raise NoPlaceError("the hila are not in view")
    return point, "right_hilum" if point[2] < carina[2] else "left_hilum"


def hilar_lymph_node(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint enlarged nodes beside the lobar bronchi, against the lung."""
    point, side = _hilum(scene, rng)
    patch = Patch.around(scene, point, short_mm + 12, 0.6)
    room = _soft_room(patch)
    level = _node(patch, point, short_mm, room, rng)
    for _ in range(int(rng.integers(0, 3))):
        other = point + 7 * rng.standard_normal(3)
        np.minimum(level, _node(patch, other, 0.7 * short_mm, room, rng), out=level)
    patch.raise_to(patch.inside(level) * room, float(rng.uniform(*NODE_HU)), own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = side
    return patch


def calcified_lymph_node(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint nodes with calcium throughout, in specks or along the rim."""
    point, site = _station(scene, rng, 1.0) if rng.random() < 0.65 else _hilum(scene, rng)
    patch = Patch.around(scene, point, short_mm + 12, 0.5)
    room = _soft_room(patch)
    dense = float(rng.uniform(250, 900))
    pattern = rng.choice(["whole", "specks", "rim"])
    for n in range(int(rng.integers(1, 4))):
        place = point if n == 0 else point + 6 * rng.standard_normal(3)
        level = _node(patch, place, short_mm * (1 if n == 0 else 0.7), room, rng)
        share = patch.inside(level) * room
        patch.raise_to(share, 40.0)
        if pattern == "specks":
            share = share * np.clip(1.5 * (cloud(patch.grid, rng, 2.0) - 0.1), 0, 1)
        elif pattern == "rim":
            share = share * (1 - 0.85 * patch.inside(level + 1.6))
        patch.raise_to(share.astype(np.float32), dense, own=False)
    patch.extra["pattern"] = str(pattern)
    patch.site = site
    return patch


def _front(scene: Scene, rng: np.random.Generator, height: tuple[float, float]) -> Point:
    """Draw a place in the fat behind the breast bone, at a height above the carina in mm."""
    _, high, carina = _landmarks(scene)
    z, y, x = _coordinates(scene)
    fat = scene.tissue(Tissue.MEDIASTINAL_FAT, Tissue.PERICARDIAL_FAT)
    fat &= (z > carina[0] + height[0]) & (z < min(carina[0] + height[1], high))
    fat &= (y < carina[1] - 26) & (np.abs(x - carina[2]) < 45)
    fat &= scene.depth_mm(Tissue.MEDIASTINAL_FAT) > 2.5
    point = scene.pick(fat, rng)
    if point is None:
        raise NoPlaceError("there is no fat in front of the great vessels")
    return point


def mediastinal_mass(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a lobulated mass that fills the mediastinal fat and bulges into a lung."""
    if rng.random() < 0.65:
        point, site = _front(scene, rng, (-35.0, 45.0)), "anterior_mediastinum"
    else:
        point, _ = _station(scene, rng, 1.0)
        site = "middle_mediastinum"
    patch = Patch.around(scene, point, 0.75 * diameter_mm + 6, 0.9)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.8, 1.15, 3))
    level += 0.1 * diameter_mm * cloud(patch.grid, rng, 0.35 * diameter_mm)
    room = _soft_room(patch)
    dense = float(rng.uniform(28, 48)) + 5 * cloud(patch.grid, rng, 8.0)
    if rng.random() < 0.35:
        dense = dense - 22 * soft_step(level + 0.3 * diameter_mm, 8.0)
    patch.raise_to(patch.inside(level) * room, dense.astype(np.float32), own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = site
    return patch


def thymic_lesion(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint an oval nodule or a cyst in the bed of the thymus."""
    point = _front(scene, rng, (-25.0, 40.0))
    patch = Patch.around(scene, point, 0.8 * diameter_mm + 5, 0.7)
    radii = 0.5 * diameter_mm * np.array([1.15, 0.75, 1.1]) * rng.uniform(0.9, 1.1, 3)
    level = ball(patch.grid, point, radii) + 0.03 * diameter_mm * cloud(patch.grid, rng, 8.0)
    room = _soft_room(patch)
    hu = float(rng.uniform(8, 25)) if rng.random() < 0.3 else float(rng.uniform(30, 52))
    patch.raise_to(patch.inside(level) * room, hu, own=False)
    if rng.random() < 0.15:
        speck = ball(patch.grid, point + 0.2 * diameter_mm * rng.standard_normal(3), 1.5)
        patch.raise_to(patch.inside(speck) * room, 400.0, own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = "anterior_mediastinum"
    return patch


def thymus_remnant(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Paint the strands of a thymus that has turned to fat: an arrowhead behind the sternum."""
    point = _front(scene, rng, (-15.0, 35.0))
    patch = Patch.around(scene, point, 0.7 * extent_mm + 4, 0.8)
    _, y, x = patch.grid.offsets(point)
    wedge = np.abs(x) - 0.35 * (y + 0.5 * extent_mm)
    zone = np.maximum(wedge, blob(patch, point, extent_mm, rng)).astype(np.float32)
    strands = np.clip(0.35 + 0.45 * cloud(patch.grid, rng, 3.5), 0, 1)
    share = soft_step(zone, 5.0) * strands * _soft_room(patch)
    share = share * (1 - _spared(patch, *LUNG))
    patch.raise_to(share.astype(np.float32), float(rng.uniform(0, 35)), own=False)
    patch.mask = (share > 0.3) & (patch.delta_hu > 20)
    patch.site = "anterior_mediastinum"
    return patch


def _beside_trachea(scene: Scene, rng: np.random.Generator) -> tuple[Point, float]:
    """Return the trachea's centre at the inlet of the chest, and its radius, mm."""
    _, high, _ = _landmarks(scene)
    lumen = scene.tissue(Tissue.AIRWAY_LUMEN)
    slices = np.flatnonzero(lumen.any(axis=(1, 2)))
    start = int((high - 6 - scene.origin_mm[0]) / scene.spacing_mm)
    slices = slices[slices >= start]
    if len(slices) * scene.spacing_mm < 12:
        raise NoPlaceError("the inlet of the chest is not in view")
    level = int(slices[int(rng.integers(len(slices) // 3, len(slices)))])
    place = np.argwhere(lumen[level])
    centre = scene.origin_mm + np.array([level, *place.mean(axis=0)]) * scene.spacing_mm
    radius = float(np.sqrt(len(place) / np.pi)) * scene.spacing_mm
    return centre, radius


def _gland(scene: Scene, rng: np.random.Generator) -> tuple[Patch, FloatArray, Point, float]:
    """Open a patch with both lobes of a thyroid painted beside the trachea."""
    centre, radius = _beside_trachea(scene, rng)
    patch = Patch.around(scene, centre, [34, 34, 42], 0.7)
    level = np.full(patch.grid.shape, 99.0, np.float32)
    for side in (-1.0, 1.0):
        lobe = centre + np.array([0, 1.0, side * (radius + 9)])
        radii = np.array([19, 9, 7.5]) * rng.uniform(0.85, 1.15, 3)
        np.minimum(level, ball(patch.grid, lobe, radii), out=level)
    bridge = centre + np.array([0, -(radius + 3.5), 0])
    np.minimum(level, ball(patch.grid, bridge, [7, 2.6, radius + 6]), out=level)
    room = np.clip(1.5 * patch.share(*FAT, Tissue.MUSCLE, Tissue.DIAPHRAGM, *LUNG), 0, 1)
    room = room * (1 - _spared(patch, *AIRWAY, *VESSELS, *BONE)) * edge_fade(patch)
    patch.lay((patch.inside(level) * room).astype(np.float32), float(rng.uniform(85, 120)))
    patch.site = "thyroid"
    return patch, room.astype(np.float32), centre, radius


def thyroid_gland(scene: Scene, _: float, rng: np.random.Generator) -> Patch:
    """Paint a normal thyroid, dense with iodine, at the inlet of the chest."""
    return _gland(scene, rng)[0]


def thyroid_nodule(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a dark or calcified nodule in a lobe of the thyroid, with the gland around it."""
    patch, room, centre, radius = _gland(scene, rng)
    gland = patch.mask.copy()
    side = float(rng.choice([-1.0, 1.0]))
    way = np.array([rng.uniform(-8, 8), rng.uniform(-2, 4),
                    side * (radius + max(9.0, 0.35 * diameter_mm + 3))])  # fmt: skip
    level = ball(patch.grid, centre + way, 0.5 * diameter_mm * rng.uniform(0.85, 1.15, 3))
    level += 0.05 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    inside = patch.inside(level) * room
    patch.lay(inside, float(rng.uniform(25, 60)) + 4 * cloud(patch.grid, rng, 4.0))
    if rng.random() < 0.3:
        speck = (cloud(patch.grid, rng, 2.0) > 1.5) * patch.inside(level + 1.5) * room
        patch.raise_to(speck.astype(np.float32), float(rng.uniform(200, 600)), own=False)
    patch.mask = (level < 0) & (room > 0.5)
    if not patch.mask.any() or not gland.any():
        raise NoPlaceError("the thyroid has no room for a nodule")
    patch.site = "thyroid_right_lobe" if side < 0 else "thyroid_left_lobe"
    return patch


def _oesophagus(scene: Scene, height: tuple[float, float], rng: np.random.Generator) -> Point:
    """Draw a place on the oesophagus, between shares of the height of the lungs."""
    low, high, _ = _landmarks(scene)
    gullet: BoolArray = scene.tissue(Tissue.OESOPHAGUS)
    z, _, _ = _coordinates(scene)
    share = (z - low) / (high - low)
    gullet &= (share > height[0]) & (share < height[1])
    point = scene.pick(gullet, rng)
    if point is None:
        raise NoPlaceError("the oesophagus is not in view")
    level = scene.voxel(point)[0]
    place = np.argwhere(gullet[level])
    middle: Point = scene.origin_mm + np.array([level, *place.mean(axis=0)]) * scene.spacing_mm
    return middle


def hiatal_hernia(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a bag of stomach behind the heart, with fluid that lies level under gas."""
    point = _oesophagus(scene, (0.05, 0.3), rng)
    centre = point + np.array([0, -0.1, float(rng.uniform(-0.15, 0.25))]) * diameter_mm
    patch = Patch.around(scene, centre, 0.7 * diameter_mm + 6, 0.9)
    radii = 0.5 * diameter_mm * np.array([1.2, 0.8, 1.1]) * rng.uniform(0.9, 1.1, 3)
    level = ball(patch.grid, centre, radii) + 0.05 * diameter_mm * cloud(patch.grid, rng, 14.0)
    room = np.clip(1.6 * patch.share(*FAT, *LUNG, Tissue.OESOPHAGUS, Tissue.DIAPHRAGM), 0, 1)
    spared = _spared(patch, *VESSELS, *BONE, *HEART, Tissue.LIVER, Tissue.SPLEEN)
    room = (room * (1 - spared) * edge_fade(patch)).astype(np.float32)
    wall = float(rng.uniform(2.5, 5))
    patch.raise_to(patch.inside(level - 4) * room, -95.0, own=False)
    patch.lay(patch.inside(level) * room, 38.0, own=False)
    inner = level + wall * (1 + 0.3 * cloud(patch.grid, rng, 6.0))
    _, y, _ = patch.grid.offsets(centre)
    top = float(rng.uniform(-0.25, 0.45)) * diameter_mm
    under = patch.inside(np.float32(top * 0.5) - dependent(scene) * y)
    hollow = patch.inside(inner) * room
    patch.lay(
        hollow * under, float(rng.uniform(0, 40)) + 12 * cloud(patch.grid, rng, 5.0), own=False
    )
    patch.lay(hollow * (1 - under), -960.0, own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = "oesophageal_hiatus"
    return patch


def oesophageal_wall_thickening(
    scene: Scene, thickness_mm: float, rng: np.random.Generator
) -> Patch:
    """Thicken the oesophagus unevenly over a few centimetres."""
    point = _oesophagus(scene, (0.12, 0.9), rng)
    length = float(rng.uniform(25, 70))
    patch = Patch.around(scene, point, [0.6 * length + 6, 30, 30], 0.8)
    outside = distance_on(patch, scene.tissue(Tissue.OESOPHAGUS), smooth_voxels=1.0)
    z, y, x = patch.grid.offsets(point)
    turn = float(rng.uniform(0, 2 * np.pi))
    aside = (np.cos(turn) * y + np.sin(turn) * x) / np.sqrt(y * y + x * x + 9)
    swell = np.exp(-((z / (0.5 * length)) ** 4)) * (1 + float(rng.uniform(0.1, 0.5)) * aside)
    grown = thickness_mm * swell * (1 + 0.15 * cloud(patch.grid, rng, 8.0))
    room = np.maximum(_soft_room(patch), _spared(patch, Tissue.OESOPHAGUS))
    share = patch.inside((outside - grown).astype(np.float32)) * room * (grown > 0.4)
    hu = float(rng.uniform(32, 48))
    patch.raise_to(share.astype(np.float32), hu, own=False)
    lumen = patch.inside((outside + 5.0).astype(np.float32)) * (swell > 0.3)
    if rng.random() < 0.4:
        patch.lower_to(0.6 * lumen, -500.0, own=False)
    patch.mask = (share > 0.5) & (swell > 0.35)
    patch.site = "oesophagus"
    return patch


DRAWINGS = {
    "mediastinal_lymph_node": Drawing(mediastinal_lymph_node, (10.5, 28.0), (0.85, 1.05)),
    "hilar_lymph_node": Drawing(hilar_lymph_node, (10.5, 26.0), (0.9, 1.05)),
    "calcified_lymph_node": Drawing(calcified_lymph_node, (4.0, 15.0), (0.6, 1.0)),
    "mediastinal_mass": Drawing(mediastinal_mass, (32.0, 85.0), (0.85, 1.05)),
    "thymic_lesion": Drawing(thymic_lesion, (10.0, 45.0), (0.85, 1.05)),
    "thyroid_nodule": Drawing(thyroid_nodule, (6.0, 32.0), (0.7, 1.05)),
    "hiatal_hernia": Drawing(hiatal_hernia, (28.0, 80.0)),
    "oesophageal_wall_thickening": Drawing(oesophageal_wall_thickening, (4.0, 14.0), (0.9, 1.05)),
}

CONFOUNDING = {
    "small_lymph_nodes": Drawing(small_lymph_nodes, (3.0, 7.5)),
    "thymus_remnant": Drawing(thymus_remnant, (20.0, 38.0)),
    "thyroid_gland": Drawing(thyroid_gland, (1.0, 1.0)),
}
