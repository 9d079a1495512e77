"""The pleural space: fluid, air, thickening, plaques and nodules."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.chest.places import (
    Drawing,
    Place,
    Range,
    blob,
    dependent,
    depth_on,
    distance_on,
    fractions,
    in_lobe,
    in_lung,
    side_share,
    soft_step,
)
from networks.phantoms.lesions.nodule.places import inward
from networks.phantoms.lobes import LUNG
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

CHEST_WALL = (Tissue.MUSCLE, Tissue.BONE_CORTEX, Tissue.BONE_MARROW, Tissue.COSTAL_CARTILAGE)

WIDE_MM = 1.4
"""Voxels of what fills a hemithorax."""

FLUID_HU = (-2.0, 18.0)
"""A transudate; blood and pus are denser."""


def _side(place: Place) -> str:
    return "right" if place.lung.is_right else "left"


def _hemithorax(scene: Scene, rng: np.random.Generator) -> tuple[Patch, Place, FloatArray]:
    """Open a patch over one lung."""
    place = in_lung(scene, rng)
    tissues = LUNG[:2] if place.lung.is_right else LUNG[2:]
    patch = Patch.over(scene, scene.tissue(*tissues), 6.0, WIDE_MM)
    patch.site = f"{_side(place)}_pleura"
    return patch, place, side_share(patch, place)


def _sunk(patch: Patch, place: Place) -> FloatArray:
    """Return how far down towards the table a row lies, 0 to 1, (1, R, 1)."""
    _, back = fractions(patch, place.lung)
    return back if dependent(patch.scene) > 0 else 1 - back


def effusion(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Let fluid sink into the space behind the lung, deepest at the base."""
    patch, place, share = _hemithorax(scene, rng)
    height, _ = fractions(patch, place.lung)
    sunk = np.clip((_sunk(patch, place) - 0.35) / 0.6, 0, 1)
    top = float(np.clip(0.2 + 0.016 * thickness_mm + rng.normal(0, 0.08), 0.2, 0.95))
    low = np.clip((top - height) / 0.35, 0, 1)
    deep = (thickness_mm * sunk * low * (1 + 0.1 * cloud(patch.grid, rng, 45.0))).astype(np.float32)
    depth = depth_on(patch)
    fluid = patch.inside(depth - deep) * (deep > 0.8) * share
    # the lung beside it is pressed together
    pressed = float(rng.uniform(3, 5)) + 0.18 * deep
    rim = soft_step(depth - deep - pressed * (1 + 0.3 * cloud(patch.grid, rng, 12.0)), 3.0)
    rim *= (deep > 4) * share * np.clip(deep / 12, 0, 1)
    patch.raise_to(rim.astype(np.float32), float(rng.uniform(-20, 45)), own=False)
    dense = float(rng.uniform(*FLUID_HU)) if rng.random() < 0.8 else float(rng.uniform(18, 45))
    patch.lay(fluid.astype(np.float32), dense)
    patch.extra["millilitres"] = round(float(fluid.sum()) * patch.grid.spacing_mm**3 / 1000)
    return patch


def loculated_effusion(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a lens of fluid against the chest wall, with a thick rim and sometimes gas."""
    place, patch, level, share = _lens(scene, extent_mm, float(rng.uniform(0.3, 0.55)), rng)
    rim = float(rng.uniform(1.5, 3.5))
    patch.raise_to(soft_step(level - rim - 4, 4.0) * share, float(rng.uniform(-300, 0)), own=False)
    patch.raise_to(patch.inside(level - rim) * share, float(rng.uniform(35, 55)), own=False)
    patch.lay(patch.inside(level) * share, float(rng.uniform(5, 28)), own=False)
    if rng.random() < 0.3:
        for _ in range(int(rng.integers(2, 8))):
            point = place.point_mm + 0.18 * extent_mm * rng.standard_normal(3)
            bubble = ball(patch.grid, point, float(rng.uniform(1.5, 4)))
            gas = patch.inside(bubble) * patch.inside(level + 2) * share
            patch.lower_to(gas, -950.0, own=False)
        patch.extra["gas"] = True
    patch.mask = (level < rim) & (share > 0.5)
    return patch


def _lens(
    scene: Scene, extent_mm: float, flat: float, rng: np.random.Generator
) -> tuple[Place, Patch, FloatArray, FloatArray]:
    """Return the distance to a lens that lies on the pleura."""
    place = _on_wall(scene, rng, (0.05, 0.9))
    patch = Patch.around(scene, place.point_mm, 0.6 * extent_mm + 8, 0.8)
    share = side_share(patch, place)
    inwards = inward(scene, place.point_mm)
    z, y, x = patch.grid.offsets(place.point_mm)
    away = np.sqrt(z * z + y * y + x * x - (inwards[0] * z + inwards[1] * y + inwards[2] * x) ** 2
                   + 1e-6)  # fmt: skip
    wide = 0.5 * extent_mm * (1 + 0.12 * cloud(patch.grid, rng, 0.5 * extent_mm))
    bulge = flat * extent_mm * np.clip(1 - (away / wide) ** 2, 0, 1)
    level = np.where(away < wide, depth_on(patch) - bulge, 9.0).astype(np.float32)
    patch.site = f"{_side(place)}_pleura"
    return place, patch, level, share


def pleural_thickening(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Paint an uneven sheet of soft tissue along the pleura, its ends tapered."""
    patch, level, share = _sheet(scene, thickness_mm, (45.0, 130.0), rng)
    patch.raise_to(patch.inside(level) * share, float(rng.uniform(28, 55)))
    patch.mask = (level < 0) & (share > 0.5)
    return patch


def _on_wall(scene: Scene, rng: np.random.Generator, height: Range) -> Place:
    """Draw a place in the lung just within the chest wall."""
    reach = int(np.ceil(11 / scene.spacing_mm))
    for _ in range(40):
        place = in_lung(scene, rng, height=height, depth_mm=(1.0, 5.0))
        s, r, c = scene.voxel(place.point_mm)
        box = tuple(slice(max(i - reach, 0), i + reach + 1) for i in (s, r, c))
        if np.isin(scene.anatomy.labels[box], CHEST_WALL[:3]).mean() > 0.12:
            return place
    raise NoPlaceError("no lung lies by the chest wall")


def costal(patch: Patch) -> FloatArray:
    """Return where the nearest pleura is that of the chest wall, 1, not of the mediastinum, 0."""
    wall = distance_on(patch, patch.scene.tissue(*CHEST_WALL))
    return soft_step(wall - depth_on(patch) - 7, 6.0)


def _sheet(
    scene: Scene, thickness_mm: float, extent_mm: Range, rng: np.random.Generator
) -> tuple[Patch, FloatArray, FloatArray]:
    """Return the distance to a sheet on the pleura of some thickness."""
    place = _on_wall(scene, rng, (0.03, 0.97))
    extent = float(rng.uniform(*extent_mm))
    patch = Patch.around(scene, place.point_mm, 0.6 * extent + 6, 0.8)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent, rng)
    thick = thickness_mm * (
        1 + 0.3 * cloud(patch.grid, rng, 14.0) + 0.12 * cloud(patch.grid, rng, 5)
    )
    thick = thick * soft_step(zone, 0.35 * extent) * costal(patch)
    patch.site = f"{_side(place)}_pleura"
    level = np.where(thick > 0.5, depth_on(patch) - thick, 9.0)
    return patch, level.astype(np.float32), share


def calcified_plaque(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a plaque with calcium in it, some of it along its edge."""
    patch, level, share = _sheet(scene, thickness_mm, (22.0, 65.0), rng)
    patch.raise_to(patch.inside(level) * share, float(rng.uniform(30, 55)), own=False)
    flecks = cloud(patch.grid, rng, float(rng.uniform(4, 9))) + 0.4 * cloud(patch.grid, rng, 2.5)
    dense = np.clip((flecks + 0.2) / 0.4, 0, 1) * patch.inside(level + 0.8) * share
    patch.raise_to(dense.astype(np.float32), float(rng.uniform(280, 850)), own=False)
    patch.mask = (level < 0) & (share > 0.5)
    return patch


def pleural_nodule(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a nodule, broad on the pleura, and sometimes more beside it."""
    place = in_lung(scene, rng, depth_mm=(1.0, 5.0))
    count = 1 if rng.random() < 0.6 else int(rng.integers(2, 5))
    patch = Patch.around(scene, place.point_mm, 0.6 * diameter_mm + (4 if count == 1 else 25), 0.7)
    share = side_share(patch, place)
    inwards = inward(scene, place.point_mm)
    level = np.full(patch.grid.shape, 99.0, np.float32)
    for n in range(count):
        radius = 0.5 * diameter_mm * (1.0 if n == 0 else float(rng.uniform(0.4, 0.9)))
        point = place.point_mm + (0 if n == 0 else 10 * rng.standard_normal(3))
        s, r, c = scene.voxel(point)
        deep = float(scene.depth_mm(*LUNG)[s, r, c])
        on_pleura = point + (0.25 * radius - deep) * inwards
        np.minimum(
            level, ball(patch.grid, on_pleura, radius * rng.uniform(0.85, 1.2, 3)), out=level
        )
    level += 0.04 * diameter_mm * cloud(patch.grid, rng, 0.4 * diameter_mm)
    patch.raise_to(patch.inside(level) * share, float(rng.uniform(28, 50)), own=False)
    patch.mask = (level < 0) & (share > 0.5)
    patch.site = f"{_side(place)}_pleura"
    return patch


def pneumothorax(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Let air gather in front of the lung and over its apex; the lung draws back."""
    patch, place, share = _hemithorax(scene, rng)
    _air_space(patch, place, share, thickness_mm, rng)
    return patch


def _air_space(
    patch: Patch, place: Place, share: FloatArray, thickness_mm: float, rng: np.random.Generator
) -> FloatArray:
    """Paint air between lung and wall, and the line of the visceral pleura; return where."""
    height, _ = fractions(patch, place.lung)
    risen = np.clip((0.6 - _sunk(patch, place)) / 0.5, 0, 1)
    apex = np.clip((height - 0.75) / 0.25, 0, 1)
    deep = thickness_mm * np.maximum(risen * (0.45 + 0.55 * height), 0.8 * apex)
    deep = (deep * (1 + 0.12 * cloud(patch.grid, rng, 40.0))).astype(np.float32)
    depth = depth_on(patch)
    space = (patch.inside(depth - deep) * (deep > 0.7) * share).astype(np.float32)
    lung = (1 - patch.inside(depth - deep - 1.5)) * share
    patch.hu += (lung * min(4.0 * thickness_mm, 130.0)).astype(np.float32)
    line = patch.inside(np.abs(depth - deep - 0.6) - 0.5) * (deep > 0.7) * share
    patch.raise_to(line.astype(np.float32), -350.0, own=False)
    patch.lay(space, -990.0)
    return space


def hydropneumothorax(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Paint air in front and fluid behind, with a level between them."""
    patch, place, share = _hemithorax(scene, rng)
    air = _air_space(patch, place, share, thickness_mm, rng)
    height, _ = fractions(patch, place.lung)
    sunk = _sunk(patch, place)
    low = np.clip((0.85 - height) / 0.4, 0, 1)
    deep = thickness_mm * 1.2 * np.clip((sunk - 0.3) / 0.5, 0, 1) * low
    depth = depth_on(patch)
    fluid = patch.inside((depth - deep).astype(np.float32)) * (deep > 0.8) * share
    top = float(rng.uniform(0.45, 0.65))
    below = np.clip(
        (sunk - top) * (place.lung.y[1] - place.lung.y[0]) / patch.grid.spacing_mm, 0, 1
    )
    full = np.maximum(fluid, air) * below
    patch.lay(full.astype(np.float32), float(rng.uniform(0, 30)))
    rest = np.maximum(fluid * (1 - below), air * (1 - below))
    patch.lay(rest.astype(np.float32), -990.0)
    patch.extra["millilitres"] = round(float(full.sum()) * patch.grid.spacing_mm**3 / 1000)
    return patch


def dependent_density(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Paint the haze of lung that lies lowest: a band that fades inwards."""
    patch, place, share = _hemithorax(scene, rng)
    sunk = np.clip((_sunk(patch, place) - 0.6) / 0.35, 0, 1)
    uneven = thickness_mm * (1 + 0.3 * cloud(patch.grid, rng, 25.0))
    fall = np.exp(-((depth_on(patch) / np.maximum(uneven, 1)) ** 2)) * sunk * share
    patch.hu += (fall * float(rng.uniform(70, 220))).astype(np.float32)
    np.minimum(patch.hu, np.maximum(patch.base, -450), out=patch.hu)
    patch.mask = (patch.delta_hu > 30) & (share > 0.5)
    patch.site = f"{_side(place)}_lower_lobe"
    return patch


def accessory_fissure(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw a thin line through the base of a lower lobe, where most lungs have no fissure."""
    place = in_lung(scene, rng, height=(0.02, 0.35), depth_mm=(6.0, 30.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, 0.8)
    share = side_share(patch, place) * in_lobe(patch, place)
    z, y, x = patch.grid.offsets(place.point_mm)
    turn = float(rng.uniform(-0.6, 0.6))
    off = np.cos(turn) * x + np.sin(turn) * y + 0.15 * z + 1.5 * cloud(patch.grid, rng, 25.0)
    fade = soft_step(blob(patch, place.point_mm, extent_mm, rng), 12.0)
    line = patch.inside((np.abs(off) - 0.35).astype(np.float32)) * fade * share
    patch.raise_to(line.astype(np.float32), -380.0)
    patch.site = place.lobe
    return patch


def azygos_fissure(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw the curved line of an azygos lobe at the right apex, and the vein in its fold."""
    place = in_lung(scene, rng, height=(0.78, 0.9), depth_mm=(6.0, 22.0), right=True)
    patch = Patch.around(scene, place.point_mm, 0.7 * extent_mm + 4, 0.7)
    share = side_share(patch, place)
    z, y, x = patch.grid.offsets(place.point_mm)
    radius = 0.9 * extent_mm
    arc = np.sqrt((x - 0.75 * radius) ** 2 + 0.7 * y**2 + 0.3 * z**2) - radius
    arc = arc + 0.8 * cloud(patch.grid, rng, 18.0)
    fade = soft_step(ball(patch.grid, place.point_mm, 0.7 * extent_mm), 8.0)
    line = patch.inside((np.abs(arc) - 0.4).astype(np.float32)) * fade * share
    patch.raise_to(line.astype(np.float32), -350.0)
    root = place.point_mm - (0.4 * extent_mm, 0, 0.18 * extent_mm)
    vein = ball(patch.grid, root, [3.5, 4.5, 3.0])
    patch.raise_to(patch.inside(vein) * share, 38.0)
    patch.site = place.lobe
    return patch


def apical_cap(scene: Scene, thickness_mm: float, rng: np.random.Generator) -> Patch:
    """Paint the thin, smooth cap of old age on the apex of a lung."""
    place = in_lung(scene, rng, height=(0.93, 1.0), depth_mm=(1.0, 6.0))
    patch = Patch.around(scene, place.point_mm, 30.0, 0.8)
    share = side_share(patch, place)
    thick = thickness_mm * soft_step(ball(patch.grid, place.point_mm, 24.0), 16.0) * costal(patch)
    level = np.where(thick > 0.4, depth_on(patch) - thick, 9.0).astype(np.float32)
    patch.raise_to(patch.inside(level) * share, float(rng.uniform(20, 45)))
    patch.site = place.lobe
    return patch


DRAWINGS = {
    "pleural_effusion": Drawing(effusion, (6.0, 60.0)),
    "loculated_effusion": Drawing(loculated_effusion, (30.0, 85.0)),
    "pleural_thickening": Drawing(pleural_thickening, (3.5, 11.0), (0.9, 1.0)),
    "calcified_pleural_plaque": Drawing(calcified_plaque, (2.5, 7.0), (0.8, 1.0)),
    "pleural_nodule": Drawing(pleural_nodule, (6.0, 26.0), (0.9, 1.05)),
    "pneumothorax": Drawing(pneumothorax, (4.0, 45.0)),
    "hydropneumothorax": Drawing(hydropneumothorax, (8.0, 40.0)),
}

CONFOUNDING = {
    "dependent_density": Drawing(dependent_density, (5.0, 16.0)),
    "accessory_fissure": Drawing(accessory_fissure, (30.0, 60.0)),
    "azygos_fissure": Drawing(azygos_fissure, (28.0, 48.0)),
    "apical_cap": Drawing(apical_cap, (1.2, 3.5)),
}
