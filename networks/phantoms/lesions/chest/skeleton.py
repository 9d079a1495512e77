"""Bones and chest wall: fractures, thin bone, breast and axilla."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.bone.fracture import compression_fracture, rib_fracture
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.lesions.chest.places import Drawing, Point, edge_fade
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

LOW_MARROW_HU = 100.0
"""Trabecular HU of a vertebra below which bone is thin: 100 at 120 kVp, of the order of the
published cuts for L1 (90 to 135)."""

AXILLA = ((205.0, 240.0), (-8.0, 35.0), (112.0, 145.0))
"""Range of z, y and |x| of the middle of the axilla, mm of the standard torso."""

CORTEX = (Tissue.BONE_CORTEX, Tissue.VERTEBRA_CORTEX)


def low_bone_density(scene: Scene, marrow_hu: float, rng: np.random.Generator) -> Patch:
    """Thin the marrow of every vertebra in view to a mean HU, and its cortex a little."""
    now = float(scene.table.mean[Tissue.VERTEBRA_MARROW])
    if now < LOW_MARROW_HU + 20:
        raise NoPlaceError(f"the patient's marrow is thin already: {now:.0f} HU")
    spine = scene.tissue(Tissue.VERTEBRA_MARROW, Tissue.VERTEBRA_CORTEX)
    patch = Patch.over(scene, spine, 3, 1.3)
    marrow = patch.share(Tissue.VERTEBRA_MARROW)
    coarse = 1 + 0.12 * cloud(patch.grid, rng, 4.0)
    patch.hu += (marrow * (marrow_hu - now) * coarse).astype(np.float32)
    patch.hu -= patch.share(Tissue.VERTEBRA_CORTEX) * np.float32(0.5 * (now - marrow_hu))
    patch.mask = marrow > 0.5
    patch.extra["marrow_hu"] = round(marrow_hu, 1)
    patch.site = "spine"
    return patch


def _breast(scene: Scene, rng: np.random.Generator) -> Point:
    gland = scene.tissue(Tissue.BREAST_GLAND)
    if not gland.any():
        raise NoPlaceError("no breast is in view")
    around = ndimage.binary_dilation(gland, iterations=max(1, round(6 / scene.spacing_mm)))
    around &= scene.tissue(Tissue.BREAST_GLAND, Tissue.SUBCUTANEOUS_FAT)
    point = scene.pick(around, rng)
    if point is None:
        raise NoPlaceError("no breast is in view")
    return point


def breast_mass(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a lobulated or spiculated mass in a breast."""
    point = _breast(scene, rng)
    patch = Patch.around(scene, point, 0.85 * diameter_mm + 6, 0.6)
    radius = 0.5 * diameter_mm
    level = ball(patch.grid, point, radius * rng.uniform(0.8, 1.15, 3))
    level += 0.1 * radius * cloud(patch.grid, rng, 0.6 * radius)
    if rng.random() < 0.6:
        for _ in range(int(rng.integers(6, 18))):
            way = frame_along(rng.standard_normal(3), rng)[0]
            root, tip = point + 0.8 * radius * way, point + radius * rng.uniform(1.3, 1.8) * way
            np.minimum(level, tube(patch.grid, [root, tip], [1.4, 0.4]), out=level)
    room = np.clip(1.6 * patch.share(Tissue.BREAST_GLAND, Tissue.SUBCUTANEOUS_FAT), 0, 1)
    room = (room * edge_fade(patch)).astype(np.float32)
    patch.raise_to(patch.inside(level, 1.0) * room, float(rng.uniform(30, 58)), own=False)
    if rng.random() < 0.25:
        specks = (cloud(patch.grid, rng, 1.5) > 1.8) * patch.inside(level + 1) * room
        patch.raise_to(specks.astype(np.float32), float(rng.uniform(150, 500)), own=False)
    patch.mask = (level < 0) & (room > 0.5)
    patch.site = "right_breast" if point[2] < 0 else "left_breast"
    return patch


def breast_gland_lobule(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint glandular tissue that is not symmetric: strands in fat without a mass."""
    point = _breast(scene, rng)
    patch = Patch.around(scene, point, 0.8 * diameter_mm + 5, 0.8)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.7, 1.3, 3))
    level += 0.2 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    strands = np.clip(0.4 + 0.5 * cloud(patch.grid, rng, 4.0), 0, 1)
    room = np.clip(1.6 * patch.share(Tissue.SUBCUTANEOUS_FAT, Tissue.BREAST_GLAND), 0, 1)
    share = patch.inside(level, 4.0) * strands * room * edge_fade(patch)
    patch.raise_to(share.astype(np.float32), float(rng.uniform(0, 30)))
    patch.site = "right_breast" if point[2] < 0 else "left_breast"
    return patch


def _axilla(scene: Scene, rng: np.random.Generator) -> tuple[Patch, FloatArray, Point]:
    """Open a patch with the fat of an axilla painted among its muscles."""
    side = float(rng.choice([-1.0, 1.0]))
    size = np.asarray(scene.anatomy.patient.size)
    raised = 12.0 if scene.anatomy.patient.arms_up else 0.0
    soft = (Tissue.MUSCLE, Tissue.INTERMUSCULAR_FAT, Tissue.SUBCUTANEOUS_FAT)
    for _ in range(20):
        body = np.array([rng.uniform(*limits) for limits in AXILLA])
        body[0] += raised
        point = body * size * (1, 1, side)
        if scene.anatomy.labels[scene.voxel(point)] in soft:
            break
    else:
        raise NoPlaceError("the axilla is not in view")
    patch = Patch.around(scene, point, [40, 26, 24], 0.7)
    room = np.clip(1.7 * patch.share(*soft), 0, 1) * (1 - np.clip(2 * patch.share(*CORTEX), 0, 1))
    room = (room * edge_fade(patch)).astype(np.float32)
    level = ball(patch.grid, point, [34, 18, 15]) + 3.0 * cloud(patch.grid, rng, 14.0)
    fat = float(scene.table.mean[Tissue.SUBCUTANEOUS_FAT]) + 10 * cloud(patch.grid, rng, 3.0)
    patch.lay(patch.inside(level, 2.0) * room, fat, own=False)
    course = point + np.array([[-30.0, 3.0, 3.0], [30.0, -4.0, 5.0 * side]])
    vessel = tube(patch.grid, course, 3.5)
    patch.lay(patch.inside(vessel) * room, 40.0, own=False)
    patch.site = "right_axilla" if side < 0 else "left_axilla"
    return patch, room, point


def axillary_lymph_node(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint enlarged round nodes without fat in the axilla."""
    patch, room, point = _axilla(scene, rng)
    for n in range(int(rng.integers(1, 5))):
        place = point + rng.uniform(-1, 1, 3) * (16, 7, 6)
        half = 0.5 * short_mm * (1.0 if n == 0 else float(rng.uniform(0.5, 0.95)))
        frame = frame_along(rng.standard_normal(3) * (1.5, 1, 1), rng)
        level = ball(patch.grid, place, half * np.array([1.35, 1.05, 0.95]), frame)
        patch.lay(patch.inside(level) * room, float(rng.uniform(32, 50)), own=False)
        patch.mask |= (level < 0) & (room > 0.5)
    return patch


def axillary_fat_nodes(scene: Scene, short_mm: float, rng: np.random.Generator) -> Patch:
    """Paint normal nodes of the axilla: a thin rim around a hilum of fat."""
    patch, room, point = _axilla(scene, rng)
    for _ in range(int(rng.integers(1, 5))):
        place = point + rng.uniform(-1, 1, 3) * (18, 8, 7)
        frame = frame_along(rng.standard_normal(3) * (1.5, 1, 1), rng)
        radii = 0.5 * short_mm * np.array([1.7, 1.0, 0.9])
        level = ball(patch.grid, place, radii, frame)
        rim = patch.inside(level) * (1 - 0.9 * patch.inside(level + 1.8)) * room
        patch.raise_to(rim.astype(np.float32), float(rng.uniform(25, 45)), own=False)
        patch.mask |= (level < 0) & (room > 0.5)
    return patch


DRAWINGS = {
    "rib_fracture": Drawing(rib_fracture, (1.0, 6.0), (0.85, 1.0)),
    "vertebral_compression": Drawing(compression_fracture, (0.2, 0.6), (0.9, 1.0)),
    "low_bone_density": Drawing(low_bone_density, (25.0, 85.0)),
    "breast_mass": Drawing(breast_mass, (7.0, 42.0), (0.85, 1.05)),
    "axillary_lymph_node": Drawing(axillary_lymph_node, (11.0, 26.0), (0.9, 1.05)),
}

CONFOUNDING = {
    "breast_gland_lobule": Drawing(breast_gland_lobule, (10.0, 30.0)),
    "axillary_fat_nodes": Drawing(axillary_fat_nodes, (5.0, 9.5)),
}
