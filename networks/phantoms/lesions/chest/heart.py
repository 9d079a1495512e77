"""Heart, pericardium and great vessels: size, fluid and calcium."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.chest.places import (
    AIRWAY,
    FAT,
    HEART,
    BoolArray,
    Drawing,
    Range,
    dependent,
    distance_on,
    edge_fade,
    soft_step,
)
from networks.phantoms.lobes import LUNG
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

ENLARGED_RATIO = 0.55
"""Cardiothoracic ratio on CT from which a heart is drawn as enlarged; 0.5 is the upper limit on a
chest film, and a supine scan widens the heart."""

ASCENDING_MM = (45.0, 62.0)
"""Diameter of a dilated ascending aorta; 40 mm is the usual limit and 55 mm is operated on."""

DESCENDING_MM = (38.0, 62.0)
"""Diameter of a descending aneurysm: half as wide again as the normal 25 mm."""

PULMONARY_MM = (32.0, 45.0)
"""Diameter of a dilated pulmonary trunk; 29 mm is the usual limit."""


def cardiothoracic_ratio(scene: Scene) -> float:
    """Return the width of the heart against that of the thorax, within the lungs."""
    heart = np.flatnonzero(scene.tissue(*HEART).any(axis=(0, 1)))
    return float((np.ptp(heart) + 1) * scene.spacing_mm / _thorax_mm(scene)) if len(heart) else 0.0


def _thorax_mm(scene: Scene) -> float:
    lungs = np.flatnonzero(scene.tissue(*LUNG).any(axis=(0, 1)))
    if len(lungs) < 2:
        raise NoPlaceError("the lungs are not in view")
    return float((np.ptp(lungs) + 1) * scene.spacing_mm)


def _yielding(patch: Patch) -> FloatArray:
    """Return what gives way to a heart or vessel that grows: lung and fat, not airways."""
    share = np.clip(1.7 * patch.share(*LUNG, *FAT), 0, 1) * edge_fade(patch)
    return (share * (1 - np.clip(2 * patch.share(*AIRWAY), 0, 1))).astype(np.float32)


def _over_heart(scene: Scene, margin_mm: float, spacing_mm: float) -> tuple[Patch, FloatArray]:
    """Open a patch over the heart, with the distance to its surface."""
    heart = scene.tissue(*HEART)
    if not heart.any():
        raise NoPlaceError("the heart is not in view")
    patch = Patch.over(scene, heart, margin_mm, spacing_mm)
    return patch, distance_on(patch, heart, smooth_voxels=1.0)


def cardiomegaly(scene: Scene, ratio: float, rng: np.random.Generator) -> Patch:
    """Widen the heart into the lungs, mostly to the left, with its rim of fat around it."""
    patch, outside = _over_heart(scene, 45, 1.6)
    grid = patch.grid
    half = 0.5 * grid.spacing_mm * np.array(grid.shape)
    z, y, x = grid.offsets(np.array(grid.origin_mm) + half)
    lean = np.clip(0.5 + x / 70, 0.35, 1) * np.clip(1.1 - y / 120, 0.6, 1.1)
    lean = lean * np.clip(1.1 - 0.004 * np.maximum(z, 0), 0.6, 1.1)
    lean = (lean * (1 + 0.06 * cloud(grid, rng, 30.0))).astype(np.float32)
    room = _yielding(patch)
    thorax = _thorax_mm(scene)
    low, high = 3.0, 40.0
    for _ in range(7):
        grow = 0.5 * (low + high)
        heart = (outside < 0) | ((outside < grow * lean) & (room > 0.5))
        reached = (np.ptp(np.flatnonzero(heart.any(axis=(0, 1)))) + 1) * grid.spacing_mm / thorax
        low, high = (grow, high) if reached < ratio else (low, grow)
    if reached < 0.97 * ENLARGED_RATIO:
        raise NoPlaceError("the lungs leave the heart no room to grow")
    grown = grow * lean
    rim = float(rng.uniform(2, 5))
    lung = np.clip(1.7 * patch.share(*LUNG), 0, 1)
    blood = float(scene.table.mean[Tissue.RIGHT_HEART])
    patch.lay(patch.inside(outside - grown - rim) * room * lung, -92.0, own=False)
    _fill(patch, outside, grown, room, blood)
    patch.extra["cardiothoracic_ratio"] = round(float(reached), 3)
    patch.site = "heart"
    return patch


def _fill(
    patch: Patch, outside: FloatArray, grown: FloatArray | float, room: FloatArray, hu: float
) -> None:
    """Fill what an organ grows into, and the seam of fat along its old surface."""
    share = (patch.inside(outside - grown) * (outside > -0.5) * room).astype(np.float32)
    patch.lay(share, hu, own=False)
    airway = np.clip(2 * patch.share(*AIRWAY), 0, 1)
    seam = np.exp(-((outside / 3.0) ** 2)) * patch.inside(outside - grown) * (1 - airway)
    patch.raise_to(np.clip(2.5 * seam, 0, 1).astype(np.float32), hu - 3, own=False)
    patch.mask |= share > 0.5


def pericardial_effusion(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Put fluid around the heart, deepest behind, outside its own fat."""
    patch, outside = _over_heart(scene, thickness_mm + 12, 1.4)
    height, side = patch.grid.shape[0], patch.grid.shape[1]
    sunk = np.linspace(0, 1, side, dtype=np.float32)[None, :, None]
    if dependent(scene) < 0:
        sunk = 1 - sunk
    low = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]
    uneven = 0.45 + 0.35 * sunk + 0.3 * low + 0.12 * cloud(patch.grid, rng, 30.0)
    deep = (thickness_mm * np.clip(uneven, 0.15, 1.15)).astype(np.float32)
    fat_mm = float(rng.uniform(1.0, 2.5))
    room = _yielding(patch)
    patch.raise_to(patch.inside(outside - fat_mm - 0.7) * room, -95.0, own=False)
    sac = patch.inside(outside - fat_mm - deep) * room
    fluid = sac * (1 - patch.inside(outside - fat_mm))
    patch.lay(patch.inside(outside - fat_mm - deep - 1.2) * room * (outside > fat_mm), 20.0,
              own=False)  # fmt: skip
    patch.lay(
        fluid, float(rng.uniform(2, 22)) if rng.random() < 0.8 else float(rng.uniform(25, 55))
    )
    patch.extra["thickness_mm"] = round(thickness_mm, 1)
    patch.site = "pericardium"
    return patch


def pericardial_calcification(scene: Scene, extent: float, rng: np.random.Generator) -> Patch:
    """Put sheets of calcium on the heart; `extent` is about their share of its surface."""
    patch, outside = _over_heart(scene, 8, 1.0)
    thick = float(rng.uniform(1.2, 2.6))
    where = cloud(patch.grid, rng, 22.0) + 0.5 * cloud(patch.grid, rng, 8.0)
    cut = float(np.quantile(where[np.abs(outside) < 3], 1 - extent))
    sheet = patch.inside(np.abs(outside - 1.5) - 0.5 * thick * np.clip((where - cut) * 3, 0, 1))
    sheet = sheet * (where > cut) * _yielding_or_heart(patch)
    dense = float(rng.uniform(350, 900)) * (1 + 0.2 * cloud(patch.grid, rng, 4.0))
    patch.raise_to(sheet.astype(np.float32), dense.astype(np.float32))
    patch.site = "pericardium"
    return patch


def _yielding_or_heart(patch: Patch) -> FloatArray:
    return np.maximum(_yielding(patch), np.clip(patch.share(*HEART), 0, 1))


def _part_of_aorta(scene: Scene, *, ascending: bool) -> BoolArray:
    """Return the aorta before, or behind and below, its arch."""
    aorta = scene.tissue(Tissue.AORTA)
    trachea = scene.tissue(Tissue.AIRWAY_LUMEN)
    lungs = scene.tissue(*LUNG)
    if not aorta.any() or not trachea.any() or not lungs.any():
        raise NoPlaceError("the thoracic aorta is not in view")
    y_split = float(np.argwhere(trachea)[:, 1].mean())
    rows = np.arange(aorta.shape[1])[None, :, None]
    slices = np.arange(aorta.shape[0])[:, None, None]
    low, high = np.flatnonzero(lungs.any(axis=(1, 2)))[[0, -1]]
    height = (slices - low) / max(high - low, 1)
    part = aorta & (rows < y_split if ascending else rows > y_split)
    part = part & (
        (height > 0.35) & (height < 0.75) if ascending else (height > 0.08) & (height < 0.7)
    )
    if np.count_nonzero(part) * scene.spacing_mm**3 < 3000:
        raise NoPlaceError("the thoracic aorta is not in view")
    return part


def _diameter_mm(scene: Scene, vessel: BoolArray) -> float:
    """Return the median over slices of the diameter of a vessel that runs upwards."""
    area = vessel.sum(axis=(1, 2)).astype(float)
    return float(2 * np.sqrt(np.median(area[area > 0]) / np.pi) * scene.spacing_mm)


def _widen(
    scene: Scene,
    vessel: BoolArray,
    diameter_mm: float,
    blood: Tissue,
    length: float,
    rng: np.random.Generator,
) -> Patch:
    """Widen a vessel to a diameter over a share of its length, into lung and fat."""
    now = _diameter_mm(scene, vessel)
    grow = max(0.5 * (diameter_mm - now), 2.0)
    patch = Patch.over(scene, vessel, grow + 8, 1.2)
    outside = distance_on(patch, vessel, smooth_voxels=1.0)
    levels = np.flatnonzero(vessel.any(axis=(1, 2))) * scene.spacing_mm + scene.origin_mm[0]
    middle = float(rng.uniform(*np.quantile(levels, [0.35, 0.65])))
    z, _, _ = patch.grid.offsets([middle, 0, 0])
    swell = np.exp(-((z / (0.5 * length * np.ptp(levels) + 12)) ** 4))
    grown = grow * swell * (1 + 0.08 * cloud(patch.grid, rng, 20.0))
    room = _yielding(patch)
    wall = patch.inside((outside - grown - 1.0).astype(np.float32)) * (grown > 1)
    patch.raise_to((wall * room).astype(np.float32), 30.0, own=False)
    _fill(patch, outside, grown.astype(np.float32), room, float(scene.table.mean[blood]))
    patch.mask |= (outside < 0) & (swell > 0.4)
    patch.extra["vessel_mm"] = round(now + 2 * grow, 1)
    return patch


def ascending_dilatation(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Widen the ascending aorta."""
    part = _part_of_aorta(scene, ascending=True)
    patch = _widen(scene, part, diameter_mm, Tissue.AORTA, 1.2, rng)
    patch.site = "ascending_aorta"
    return patch


def descending_aneurysm(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Widen a stretch of the descending thoracic aorta."""
    part = _part_of_aorta(scene, ascending=False)
    patch = _widen(scene, part, diameter_mm, Tissue.AORTA, float(rng.uniform(0.3, 0.7)), rng)
    patch.site = "descending_thoracic_aorta"
    return patch


def pa_dilatation(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Widen the pulmonary trunk and the roots of its branches."""
    artery = scene.tissue(Tissue.PULMONARY_ARTERY)
    columns = scene.origin_mm[2] + scene.spacing_mm * np.arange(artery.shape[2])
    middle = (
        float(np.median(columns[np.flatnonzero(artery.any(axis=(0, 1)))])) if artery.any() else 0
    )
    artery = artery & (np.abs(columns - middle) < 30)
    if np.count_nonzero(artery) * scene.spacing_mm**3 < 3000:
        raise NoPlaceError("the pulmonary trunk is not in view")
    depth = ndimage.distance_transform_edt(artery) * scene.spacing_mm
    now = 2 * float(np.quantile(depth[artery], 0.98))
    grow = max(0.5 * (diameter_mm - now), 2.0)
    patch = Patch.over(scene, artery, grow + 8, 1.2)
    outside = distance_on(patch, artery, smooth_voxels=1.0)
    _, _, x = patch.grid.offsets([0, 0, middle])
    grown = grow * (1 + 0.06 * cloud(patch.grid, rng, 20.0)) * np.exp(-((x / 26) ** 4))
    blood = float(scene.table.mean[Tissue.PULMONARY_ARTERY])
    _fill(patch, outside, grown.astype(np.float32), _yielding(patch), blood)
    patch.mask |= outside < 0
    patch.extra["vessel_mm"] = round(now + 2 * grow, 1)
    patch.site = "pulmonary_trunk"
    return patch


def aortic_calcification(scene: Scene, extent: float, rng: np.random.Generator) -> Patch:
    """Put plaques of calcium into the wall of arch and descending aorta."""
    aorta = scene.tissue(Tissue.AORTA)
    lungs = np.flatnonzero(scene.tissue(*LUNG).any(axis=(1, 2)))
    if not len(lungs):
        raise NoPlaceError("the thoracic aorta is not in view")
    aorta[: lungs[0]] = False
    if not aorta.any():
        raise NoPlaceError("the thoracic aorta is not in view")
    patch = Patch.over(scene, aorta, 5, 0.9)
    outside = distance_on(patch, aorta)
    where = cloud(patch.grid, rng, 6.0) + 0.5 * cloud(patch.grid, rng, 3.0)
    where += 0.5 * cloud(patch.grid, rng, 60.0)
    cut = float(np.quantile(where[np.abs(outside) < 2], 1 - extent))
    thick = float(rng.uniform(1.4, 2.8)) * np.clip((where - cut) * 2.5, 0, 1)
    plaque = patch.inside((np.abs(outside + 0.9) - 0.5 * thick).astype(np.float32)) * (where > cut)
    dense = float(rng.uniform(350, 950)) * (1 + 0.15 * cloud(patch.grid, rng, 4.0))
    patch.raise_to((plaque * edge_fade(patch)).astype(np.float32), dense.astype(np.float32))
    patch.site = "thoracic_aorta"
    return patch


def valve_calcification(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Put specks of calcium on the aortic valve, where the aorta leaves the heart."""
    root = _part_of_aorta(scene, ascending=True) | scene.tissue(Tissue.AORTA)
    heart = ndimage.binary_dilation(scene.tissue(*HEART), iterations=2)
    near = np.argwhere(root & heart)
    lungs = np.flatnonzero(scene.tissue(*LUNG).any(axis=(1, 2)))
    near = near[near[:, 1] < np.argwhere(scene.tissue(Tissue.AIRWAY_LUMEN))[:, 1].mean()]
    near = near[near[:, 0] > lungs[0]]
    if not len(near):
        raise NoPlaceError("the aortic root is not in view")
    low = near[near[:, 0] <= np.quantile(near[:, 0], 0.25)]
    valve = scene.origin_mm + low.mean(axis=0) * scene.spacing_mm
    patch = Patch.around(scene, valve, extent_mm + 6, 0.6)
    level = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(2, 7))):
        point = valve + 0.4 * extent_mm * rng.standard_normal(3) * (0.4, 1, 1)
        np.minimum(level, ball(patch.grid, point, rng.uniform(0.8, 2.6, 3)), out=level)
    level += 0.4 * cloud(patch.grid, rng, 2.0)
    room = np.clip(2 * patch.share(*HEART, Tissue.AORTA, Tissue.PERICARDIAL_FAT), 0, 1)
    patch.raise_to(patch.inside(level) * room, float(rng.uniform(350, 1000)))
    patch.site = "aortic_valve"
    return patch


def motion_band(scene: Scene, shift_mm: float, rng: np.random.Generator) -> Patch:
    """Blur and double what moves during a few slices around the heart and the diaphragm."""
    heart = scene.tissue(*HEART)
    if not heart.any():
        raise NoPlaceError("the heart is not in view")
    patch = Patch.over(scene, heart, 22, 1.8)
    place = scene.pick(heart, rng)
    assert place is not None
    z, _, _ = patch.grid.offsets(place)
    band = soft_step(np.abs(z) - float(rng.uniform(5, 14)), 8.0) * edge_fade(patch)
    way = rng.standard_normal(3) * (1.0, 0.6, 1.0)
    way *= shift_mm / np.linalg.norm(way)
    doubled = 0.5 * (patch.moved(*way) + patch.moved(*(-way)))
    bony = np.clip(3 * patch.share(Tissue.BONE_CORTEX, Tissue.VERTEBRA_CORTEX,
                                   Tissue.VERTEBRA_MARROW, Tissue.BONE_MARROW), 0, 1)  # fmt: skip
    patch.hu += band * (1 - bony) * (doubled - patch.moved(0, 0, 0))
    patch.mask = (band * (1 - bony) > 0.5) & (np.abs(patch.delta_hu) > 30)
    patch.site = "heart"
    return patch


SIZE_RATIO: Range = (ENLARGED_RATIO, 0.68)

DRAWINGS = {
    "cardiomegaly": Drawing(cardiomegaly, SIZE_RATIO),
    "pericardial_effusion": Drawing(pericardial_effusion, (5.0, 26.0)),
    "pericardial_calcification": Drawing(pericardial_calcification, (0.05, 0.4), (0.8, 1.0)),
    "aortic_calcification": Drawing(aortic_calcification, (0.02, 0.25), (0.8, 1.0)),
    "valve_calcification": Drawing(valve_calcification, (3.0, 9.0), (0.8, 1.0)),
    "ascending_dilatation": Drawing(ascending_dilatation, ASCENDING_MM),
    "descending_aneurysm": Drawing(descending_aneurysm, DESCENDING_MM),
    "pa_dilatation": Drawing(pa_dilatation, PULMONARY_MM),
}

CONFOUNDING = {"motion_band": Drawing(motion_band, (2.5, 7.0))}
