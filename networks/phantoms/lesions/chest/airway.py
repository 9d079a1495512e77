"""Trachea and bronchi: walls, calibre, and what lies in the lumen."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.lesions.chest.lung import FINE_MM, at
from networks.phantoms.lesions.chest.places import (
    AIRWAY,
    FAT,
    BoolArray,
    Drawing,
    Place,
    Point,
    branches,
    distance_on,
    in_lung,
    side_share,
    soft_step,
)
from networks.phantoms.lesions.nodule.places import away_from_hilum
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

WALL_HU = 0.0
"""Wall of a small bronchus before partial volume; the rest is mucosa and air."""

LUMEN_HU = -985.0


def bundle(
    patch: Patch,
    scene: Scene,
    place: Place,
    rng: np.random.Generator,
    *,
    lumen_mm: float,
    wall_mm: float,
    artery_mm: float,
    share: FloatArray,
    bulge: float = 0.0,
    own: bool = True,
) -> None:
    """Draw a forking bronchus with the artery that runs beside it; arguments are radii, mm."""
    out = away_from_hilum(scene, place.point_mm) + 0.25 * rng.standard_normal(3)
    out /= np.linalg.norm(out)
    half = 0.42 * patch.grid.spacing_mm * min(patch.grid.shape)
    start = place.point_mm - half * out + 0.15 * half * rng.standard_normal(3)
    aside = frame_along(out, rng)[1]
    lumen = np.full(patch.grid.shape, 99.0, np.float32)
    artery = lumen.copy()
    for path, radii in branches(start, out, 0.85 * half, lumen_mm, rng, generations=3,
                                spread=0.45, taper=0.85):  # fmt: skip
        fine = np.linspace(0, 2, 9)
        points = np.stack([np.interp(fine, [0, 1, 2], path[:, a]) for a in range(3)], axis=-1)
        wide = np.interp(fine, [0, 1, 2], radii) * (1 + bulge * rng.uniform(-0.2, 0.9, 9))
        reach = wall_mm + 2
        np.minimum(lumen, tube(patch.grid, points, wide, reach_mm=reach), out=lumen)
        gap = lumen_mm + wall_mm + 0.8 * artery_mm
        thin = artery_mm * np.asarray(radii) / lumen_mm
        np.minimum(artery, tube(patch.grid, path + gap * aside, thin), out=artery)
    patch.raise_to(patch.inside(artery) * share, 32.0, own=False)
    patch.raise_to(patch.inside(lumen - wall_mm) * share, WALL_HU, own=False)
    patch.lower_to(patch.inside(lumen) * share, LUMEN_HU, own=False)
    if own:
        patch.mask |= (lumen < wall_mm) & (share > 0.5)


def airway_wall_thickening(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Thicken the walls of a region's bronchi, whose lumen stays as wide as its artery."""
    place = in_lung(scene, rng, depth_mm=(10.0, 60.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, 0.6)
    share = side_share(patch, place)
    for _ in range(int(rng.integers(2, 5))):
        lumen = float(rng.uniform(0.9, 1.7))
        near = place._replace(point_mm=place.point_mm + 0.16 * extent_mm * rng.standard_normal(3))
        bundle(patch, scene, near, rng, lumen_mm=lumen, wall_mm=float(rng.uniform(1.1, 1.9)),
               artery_mm=1.05 * lumen, share=share)  # fmt: skip
    _cuff(patch, float(rng.uniform(0.8, 2.0)), share)
    return at(patch, place)


def _cuff(patch: Patch, thick_mm: float, share: FloatArray) -> None:
    """Thicken the large bronchi that the anatomy has within the patch, outwards."""
    outside = distance_on(patch, patch.scene.tissue(*AIRWAY))
    if float(outside.min()) > 0:
        return
    cuff = patch.inside(outside - thick_mm) * (outside > -0.5) * share
    patch.raise_to(cuff.astype(np.float32), 10.0, own=False)
    patch.mask |= cuff > 0.5


def bronchiectasis(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw bronchi wider than their arteries that do not taper, smooth or like beads."""
    place = in_lung(scene, rng, height=(0.0, 0.7), depth_mm=(9.0, 45.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, 0.6)
    share = side_share(patch, place)
    varicose = 0.0 if rng.random() < 0.65 else float(rng.uniform(0.4, 0.9))
    for _ in range(int(rng.integers(2, 6))):
        near = place._replace(point_mm=place.point_mm + 0.18 * extent_mm * rng.standard_normal(3))
        lumen = float(rng.uniform(2.0, 4.2))
        bundle(patch, scene, near, rng, lumen_mm=lumen, wall_mm=float(rng.uniform(0.7, 1.4)),
               artery_mm=float(rng.uniform(0.4, 0.65)) * lumen, share=share,
               bulge=varicose)  # fmt: skip
    patch.extra["varicose"] = varicose > 0
    return at(patch, place)


def mucus_plug(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Fill a forking bronchus, like fingers of a glove."""
    place = in_lung(scene, rng, depth_mm=(9.0, 45.0))
    patch = Patch.around(scene, place.point_mm, 0.6 * extent_mm + 4, 0.6)
    share = side_share(patch, place)
    out = away_from_hilum(scene, place.point_mm)
    start = place.point_mm - 0.4 * extent_mm * out
    cast = np.full(patch.grid.shape, 99.0, np.float32)
    wide = float(rng.uniform(1.6, 4.0))
    for path, radii in branches(start, out, 0.42 * extent_mm, wide, rng,
                                generations=int(rng.integers(2, 4)), spread=0.5):  # fmt: skip
        beads = np.asarray(radii) * rng.uniform(0.8, 1.3, 3)
        np.minimum(cast, tube(patch.grid, path, beads), out=cast)
    patch.raise_to(patch.inside(cast) * share, float(rng.uniform(5, 60)), own=False)
    patch.mask = (cast < 0) & (share > 0.5)
    return at(patch, place)


def _central_airway(scene: Scene, *, trachea: bool) -> tuple[BoolArray, Point]:
    """Return the central lumen above or below the carina, and the carina's place."""
    lumen = scene.tissue(Tissue.AIRWAY_LUMEN)
    parts = [ndimage.label(plane)[1] for plane in lumen]
    single = [n for n, count in enumerate(parts) if count == 1]
    if not single:
        raise NoPlaceError("the trachea is not in view")
    # the lowest of the unbroken run of single sections from the top
    carina = single[-1]
    while carina - 1 in single:
        carina -= 1
    if trachea:
        lumen[: carina + 1] = False
    else:
        lumen[carina:] = False
        lumen[: max(carina - round(40 / scene.spacing_mm), 0)] = False
    place = np.argwhere(lumen)
    if not len(place):
        raise NoPlaceError("the trachea is not in view")
    return lumen, scene.origin_mm + place[place[:, 0].argmin()] * scene.spacing_mm


def _axis_at(scene: Scene, lumen: BoolArray, point_mm: Point) -> tuple[Point, float]:
    """Return the centre of the lumen at the height of a point, and its radius, mm."""
    plane = scene.voxel(point_mm)[0]
    parts, _ = ndimage.label(lumen[plane])
    _, row, column = scene.voxel(point_mm)
    here = parts == parts[row, column] if parts[row, column] else parts > 0
    place = np.argwhere(here)
    middle = scene.origin_mm[1:] + place.mean(axis=0) * scene.spacing_mm
    radius = float(np.sqrt(len(place) / np.pi)) * scene.spacing_mm
    return np.array([point_mm[0], *middle]), radius


def tracheal_stenosis(scene: Scene, length_mm: float, rng: np.random.Generator) -> Patch:
    """Thicken the tracheal wall inwards over a stretch."""
    lumen, _ = _central_airway(scene, trachea=True)
    point = scene.pick(lumen, rng)
    if point is None:
        raise NoPlaceError("the trachea is not in view")
    centre, radius = _axis_at(scene, lumen, point)
    patch = Patch.around(scene, centre, [0.7 * length_mm + 6, radius + 8, radius + 8], 0.6)
    z, y, x = patch.grid.offsets(centre)
    narrow = float(rng.uniform(0.4, 0.72))
    near = np.exp(-((z / (0.45 * length_mm)) ** 2))
    off = 0.15 * radius * rng.standard_normal(2)
    left = radius * (1 - near * (1 - narrow)) * (1 + 0.08 * cloud(patch.grid, rng, 5.0))
    away = np.sqrt((y - off[0] * near) ** 2 + (x - off[1] * near) ** 2)
    inside = np.clip(patch.share(*AIRWAY) * 1.6, 0, 1) * (near > 0.12)
    wall = patch.inside((left - away).astype(np.float32)) * inside
    patch.raise_to(wall.astype(np.float32), float(rng.uniform(25, 50)))
    patch.site = "trachea"
    patch.extra["area_left"] = round(narrow**2, 2)
    return patch


def endobronchial_nodule(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a nodule on the wall of the trachea or of a main bronchus."""
    in_trachea = bool(rng.random() < 0.4)
    lumen, _ = _central_airway(scene, trachea=in_trachea)
    edge = lumen & ~ndimage.binary_erosion(lumen)
    point = scene.pick(edge, rng)
    if point is None:
        raise NoPlaceError("the central airways are not in view")
    patch = Patch.around(scene, point, 0.6 * diameter_mm + 3, 0.5)
    level = ball(patch.grid, point, 0.5 * diameter_mm * rng.uniform(0.8, 1.15, 3))
    level += 0.06 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    within = np.clip(patch.share(*AIRWAY) * 1.8, 0, 1)
    patch.raise_to(patch.inside(level) * within, float(rng.uniform(20, 50)))
    side = "right" if point[2] < 0 else "left"
    patch.site = "trachea" if in_trachea else f"{side}_main_bronchus"
    return patch


def tracheal_diverticulum(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a small bag of air behind the trachea on the right, at the inlet of the chest."""
    lumen, carina = _central_airway(scene, trachea=True)
    height = scene.origin_mm[0] + scene.spacing_mm * np.arange(lumen.shape[0])
    lumen[height < carina[0] + 35] = False
    point = scene.pick(lumen, rng)
    if point is None:
        raise NoPlaceError("the upper trachea is not in view")
    centre, radius = _axis_at(scene, lumen, point)
    turn = float(rng.uniform(0.5, 1.1))
    reach = radius + 1.8 + 0.5 * diameter_mm
    bag = centre + np.array([0.0, np.sin(turn) * reach, -np.cos(turn) * reach])
    patch = Patch.around(scene, bag, 0.8 * diameter_mm + 4, 0.5)
    level = ball(patch.grid, bag, 0.5 * diameter_mm * rng.uniform(0.75, 1.1, 3) * (1.3, 1, 1))
    level += 0.05 * diameter_mm * cloud(patch.grid, rng, 0.5 * diameter_mm)
    soft = np.clip(1.5 * patch.share(*FAT, Tissue.MUSCLE, Tissue.OESOPHAGUS), 0, 1)
    if float(soft[level < 0].mean()) < 0.5:
        raise NoPlaceError("there is no room behind the trachea")
    wall = patch.inside(level - 0.9) * soft
    patch.raise_to(wall.astype(np.float32), 0.0, own=False)
    patch.lay((patch.inside(level) * soft).astype(np.float32), LUMEN_HU)
    patch.site = "trachea_right_posterior"
    return patch


def normal_bronchi(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw bronchi with thin walls, as wide as their arteries."""
    place = in_lung(scene, rng, depth_mm=(10.0, 60.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, 0.6)
    share = side_share(patch, place)
    for _ in range(int(rng.integers(2, 5))):
        near = place._replace(point_mm=place.point_mm + 0.16 * extent_mm * rng.standard_normal(3))
        lumen = float(rng.uniform(0.9, 1.7))
        bundle(patch, scene, near, rng, lumen_mm=lumen, wall_mm=float(rng.uniform(0.35, 0.55)),
               artery_mm=float(rng.uniform(1.0, 1.25)) * lumen, share=share)  # fmt: skip
    return at(patch, place)


def vessels_crowded(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw a fan of vessels drawn together, as beside a lung that breathes little."""
    place = in_lung(scene, rng, height=(0.0, 0.6), depth_mm=(6.0, 45.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, FINE_MM)
    share = side_share(patch, place)
    out = away_from_hilum(scene, place.point_mm)
    start = place.point_mm - 0.45 * extent_mm * out
    vessel = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(4, 10))):
        way = out + 0.3 * rng.standard_normal(3)
        root = start + 0.08 * extent_mm * rng.standard_normal(3)
        for path, radii in branches(root, way, 0.36 * extent_mm, float(rng.uniform(0.9, 1.8)),
                                    rng, generations=3, spread=0.4, taper=0.72):  # fmt: skip
            np.minimum(vessel, tube(patch.grid, path, radii), out=vessel)
    patch.raise_to(patch.inside(vessel) * share, 32.0)
    edge = soft_step(vessel - 3, 6.0) * share
    patch.raise_to(0.15 * edge, -600.0, own=False)
    return at(patch, place)


DRAWINGS = {
    "airway_wall_thickening": Drawing(airway_wall_thickening, (35.0, 75.0), (0.7, 1.05)),
    "bronchiectasis": Drawing(bronchiectasis, (28.0, 70.0), (0.8, 1.05)),
    "mucus_plug": Drawing(mucus_plug, (16.0, 45.0), (0.8, 1.05)),
    "tracheal_stenosis": Drawing(tracheal_stenosis, (12.0, 35.0), (0.9, 1.0)),
    "endobronchial_nodule": Drawing(endobronchial_nodule, (4.0, 13.0), (0.9, 1.0)),
    "tracheal_diverticulum": Drawing(tracheal_diverticulum, (4.0, 13.0), (0.9, 1.0)),
}

CONFOUNDING = {
    "normal_bronchi": Drawing(normal_bronchi, (35.0, 75.0)),
    "vessels_crowded": Drawing(vessels_crowded, (30.0, 75.0)),
}
