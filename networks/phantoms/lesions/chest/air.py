"""Air where there should be less of it: cavities, cysts, bullae, emphysema, mosaic attenuation."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.brush import Patch, ball, cells, cloud
from networks.phantoms.lesions.chest.lung import FINE_MM, at
from networks.phantoms.lesions.chest.places import (
    Drawing,
    Place,
    blob,
    dependent,
    depth_on,
    fractions,
    in_lung,
    lung_share,
    side_share,
    soft_step,
)
from networks.phantoms.lobes import LUNG, VESSEL, lung_of
from networks.phantoms.scene import Scene

AIR_HU = -985.0


def cavity(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a thick, uneven wall around air, sometimes with fluid that lies level."""
    place = in_lung(scene, rng, height=(0.25, 1.0), depth_mm=(0.25 * diameter_mm, 999))
    patch = Patch.around(scene, place.point_mm, 0.75 * diameter_mm + 6, FINE_MM)
    share = side_share(patch, place)
    radius = 0.5 * diameter_mm
    outer = ball(patch.grid, place.point_mm, radius * rng.uniform(0.85, 1.1, 3))
    outer += 0.1 * radius * cloud(patch.grid, rng, 0.6 * radius) + 0.5 * cloud(patch.grid, rng, 3.0)
    wall = float(np.clip(rng.uniform(0.18, 0.5) * radius, 2.5, 14.0))
    off = 0.25 * wall * rng.standard_normal(3)
    inner = ball(patch.grid, place.point_mm + off, np.maximum(radius - wall, 1.5))
    inner += 0.16 * radius * cloud(patch.grid, rng, 0.5 * radius)
    inner = np.maximum(inner, outer + 1.5)
    patch.raise_to(patch.inside(outer) * share, float(rng.uniform(20, 48)))
    patch.raise_to(soft_step(outer - 2, 6.0) * share * 0.5, -560.0, own=False)
    hollow = patch.inside(inner) * share
    if rng.random() < 0.3:
        _, y, _ = patch.grid.offsets(place.point_mm)
        top = float(rng.uniform(-0.1, 0.5)) * radius
        level = patch.inside(np.float32(top) - dependent(scene) * y)
        patch.lay(hollow * level, float(rng.uniform(5, 30)), own=False)
        hollow = hollow * (1 - level)
    patch.lay(hollow, AIR_HU, own=False)
    patch.mask = (outer < 0) & (share > 0.5)
    patch.extra["wall_mm"] = round(wall, 1)
    return at(patch, place)


def cyst(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint one or several round cysts with walls of a millimetre."""
    place = in_lung(scene, rng, depth_mm=(0.6 * diameter_mm + 2, 999))
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 7))
    reach = 0.5 * diameter_mm + 4 + (0 if count == 1 else 18)
    patch = Patch.around(scene, place.point_mm, reach, 0.6)
    share = side_share(patch, place)
    level = ball(patch.grid, place.point_mm, 0.5 * diameter_mm * rng.uniform(0.9, 1.1, 3))
    for _ in range(count - 1):
        smaller = 0.5 * diameter_mm * float(rng.uniform(0.3, 0.9))
        spread = max(reach - smaller - 5, 1.0)
        point = place.point_mm + rng.uniform(-spread, spread, 3)
        np.minimum(level, ball(patch.grid, point, smaller), out=level)
    _bubble(patch, level, float(rng.uniform(0.5, 1.1)), share)
    return at(patch, place)


def _bubble(patch: Patch, level: FloatArray, wall_mm: float, share: FloatArray) -> None:
    """Paint air within a surface and a thin wall along it."""
    wall = patch.inside(np.abs(level) - 0.5 * wall_mm) * share
    patch.lay(patch.inside(level) * share, AIR_HU, own=False)
    patch.raise_to(wall, -220.0, own=False)
    patch.mask |= (level < 0.5 * wall_mm) & (share > 0.5)


def bulla(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a large bleb against the pleura, mostly in the upper lung."""
    place = in_lung(
        scene, rng, height=(0.45, 1.0), depth_mm=(0.18 * diameter_mm, 0.5 * diameter_mm)
    )
    patch = Patch.around(scene, place.point_mm, 0.6 * diameter_mm + 4, FINE_MM)
    share = side_share(patch, place)
    level = ball(patch.grid, place.point_mm, 0.5 * diameter_mm * rng.uniform(0.85, 1.15, 3))
    level += 0.04 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    _bubble(patch, level, float(rng.uniform(0.5, 1.0)), share)
    if diameter_mm > 25 and rng.random() < 0.5:
        # a strand across it
        z, y, x = patch.grid.offsets(place.point_mm)
        way = rng.standard_normal(3)
        way /= np.linalg.norm(way)
        sheet = np.abs(way[0] * z + way[1] * y + way[2] * x + 2 * cloud(patch.grid, rng, 14.0))
        patch.raise_to(patch.inside(sheet - 0.4) * patch.inside(level) * share, -420.0, own=False)
    return at(patch, place)


def emphysema_centrilobular(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Paint small holes without walls, most of them high in the lung."""
    place = in_lung(scene, rng, height=(0.5, 0.95))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, 0.9)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    height, _ = fractions(patch, place.lung)
    field = cloud(patch.grid, rng, float(rng.uniform(3.4, 5.5)))
    field += 0.4 * cloud(patch.grid, rng, 14.0) + 0.8 * (height - 0.6)
    rare = float(rng.uniform(0.5, 1.1))
    holes = np.clip((field - rare) / 0.45 + 0.5, 0, 1) * soft_step(zone, 12.0) * share
    holes *= np.clip(depth_on(patch) / 3, 0, 1)
    patch.lower_to(holes.astype(np.float32), -970.0, own=False)
    patch.mask = (zone < 2) & (share > 0.5)
    patch.extra["share_of_zone"] = round(float((holes[patch.mask] > 0.5).mean()), 3)
    return at(patch, place)


def emphysema_paraseptal(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a row of blebs along the pleura of the upper lung."""
    place = in_lung(scene, rng, height=(0.5, 1.0), depth_mm=(3.0, 7.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 8, FINE_MM)
    share = side_share(patch, place)
    depth = depth_on(patch)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    deep = float(rng.uniform(6, 13))
    row = (depth < deep * (1 + 0.25 * cloud(patch.grid, rng, 12.0))) & (zone < 0) & (share > 0.3)
    blebs = cells(patch.grid, rng, float(rng.uniform(8, 14)), row)
    chosen = blebs.by_cell(rng.random(len(blebs.seeds_mm)) < 0.75)
    within = np.where(row & chosen, np.maximum(depth - deep, -blebs.wall_mm), 9.0).astype(
        np.float32
    )
    patch.lower_to(patch.inside(within + 0.6, 1.0) * share, -980.0, own=False)
    wall = (np.abs(within + 0.2) < 0.6) & (depth > 0.6)
    patch.raise_to(wall * share, -560.0, own=False)
    patch.mask = row & chosen
    return at(patch, place)


def emphysema_panlobular(scene: Scene, share_lost: float, rng: np.random.Generator) -> Patch:
    """Darken a whole lung, most of all at its base, and thin out its vessels."""
    place = in_lung(scene, rng)
    tissues = LUNG[:2] if place.lung.is_right else LUNG[2:]
    patch = Patch.over(scene, scene.tissue(*tissues), 6.0, 1.5)
    share = side_share(patch, place)
    height, _ = fractions(patch, place.lung)
    uneven = np.clip(1.25 - 0.7 * height + 0.22 * cloud(patch.grid, rng, 25.0), 0.2, 1.3)
    lost = (uneven * share * np.clip(depth_on(patch) / 3, 0, 1)).astype(np.float32)
    patch.hu -= lost * (40 + 75 * share_lost)
    thin = patch.share(*VESSEL) * np.clip(lost, 0, 1) * 0.5
    patch.lower_to(thin.astype(np.float32), -900.0, own=False)
    np.maximum(patch.hu, -1000, out=patch.hu)
    patch.mask = (share > 0.5) & (lost > 0.6)
    patch.site = "right_lung" if place.lung.is_right else "left_lung"
    return patch


def mosaic(scene: Scene, contrast: float, rng: np.random.Generator) -> Patch:
    """Make lobules of both lungs lighter and darker side by side."""
    patch = Patch.over(scene, scene.tissue(*LUNG), 6.0, 1.5)
    share = lung_share(patch)
    where = share > 0.05
    grown = cloud(patch.grid, rng, 30.0) + 0.5 * cloud(patch.grid, rng, 14.0)
    lobules = cells(patch.grid, rng, 15.0, where)
    seeds = np.clip(
        np.rint((lobules.seeds_mm - patch.grid.origin_mm) / patch.grid.spacing_mm).astype(int),
        0, np.array(patch.grid.shape) - 1,
    )  # fmt: skip
    # a lobule is taken whole, by what the field is at its middle
    value = grown[tuple(seeds.T)] + 0.5 * rng.standard_normal(len(seeds))
    dark = np.tanh(2.2 * lobules.by_cell(value)).astype(np.float32) * soft_edge(lobules.wall_mm)
    change = np.where(dark > 0, 85 * dark, 55 * dark) * contrast * share
    vessel = np.clip(patch.share(*VESSEL) * 2, 0, 1)
    patch.hu += (change * (1 - vessel)).astype(np.float32)
    patch.hu = np.maximum(patch.hu, np.minimum(patch.base, -965)).astype(np.float32)
    patch.mask = (np.abs(change) > 15) & (share > 0.5)
    patch.site = "both_lungs"
    return patch


def soft_edge(wall_mm: FloatArray) -> FloatArray:
    """Return 1 within a cell, falling to a half at its walls."""
    return np.clip(0.5 + wall_mm / 2.5, 0, 1).astype(np.float32)


def lungs_of(scene: Scene) -> list[Place]:
    """Return a place in the middle of each lung that is in view."""
    places = []
    for right in (True, False):
        lung = lung_of(scene, right=right)
        if lung is not None:
            middle = np.array([0.5 * sum(lung.z), 0.5 * sum(lung.y), -75.0 if right else 75.0])
            places.append(Place(middle, lung, "right_lung" if right else "left_lung"))
    return places


DRAWINGS = {
    "cavity": Drawing(cavity, (12.0, 60.0), (0.85, 1.0)),
    "cyst": Drawing(cyst, (6.0, 32.0), (0.8, 1.0)),
    "bulla": Drawing(bulla, (11.0, 75.0), (0.85, 1.0)),
    "emphysema_centrilobular": Drawing(emphysema_centrilobular, (28.0, 110.0), (0.15, 1.0)),
    "emphysema_paraseptal": Drawing(emphysema_paraseptal, (18.0, 85.0), (0.5, 1.0)),
    "emphysema_panlobular": Drawing(emphysema_panlobular, (0.3, 1.0), (0.3, 1.0)),
    "mosaic": Drawing(mosaic, (0.6, 1.5), (0.4, 1.0)),
}
