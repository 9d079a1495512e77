"""The framework of the lung: septa, reticulation, honeycombing, scars after what has healed."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.brush import Patch, ball, cells, cloud, frame_along, tube
from networks.phantoms.lesions.chest.lung import (
    FINE_MM,
    SOLID_HU,
    air_bronchograms,
    at,
    opacity,
)
from networks.phantoms.lesions.chest.places import (
    Drawing,
    Place,
    blob,
    dependent,
    depth_on,
    in_lung,
    side_share,
    soft_step,
)
from networks.phantoms.scene import Scene


def _at_the_base(scene: Scene, rng: np.random.Generator) -> Place:
    """Draw a place under the pleura at the back of the base, where fibrosis begins."""
    back = (0.5, 1.0) if dependent(scene) > 0 else (0.0, 0.6)
    return in_lung(scene, rng, height=(0.03, 0.5), back=back, depth_mm=(2.0, 9.0))


def _rind(patch: Patch, zone: FloatArray, deep_mm: float, rng: np.random.Generator) -> FloatArray:
    """Return how much of a zone lies under the pleura, 0 to 1, with an uneven inner edge."""
    uneven = depth_on(patch) - deep_mm * (1 + 0.4 * cloud(patch.grid, rng, 12.0))
    return soft_step(uneven, 0.6 * deep_mm) * soft_step(zone, 8.0)


def honeycombing(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Stack cysts of 3 to 9 mm with shared walls under the pleura."""
    place = _at_the_base(scene, rng)
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 6, 0.6)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    rind = _rind(patch, zone, float(rng.uniform(8, 20)), rng) * share
    size = float(rng.uniform(4.0, 8.0))
    comb = cells(patch.grid, rng, size, rind > 0.05)
    wall = float(rng.uniform(0.5, 0.9))
    round_off = np.minimum(comb.wall_mm - wall, 0.62 * size - comb.centre_mm)
    hole = np.clip(0.5 + round_off / patch.grid.spacing_mm, 0, 1)
    firm = np.clip((rind - 0.35) / 0.3, 0, 1).astype(np.float32)
    patch.raise_to(firm, float(rng.uniform(-260, -60)), own=False)
    patch.lower_to((firm * hole).astype(np.float32), -950.0, own=False)
    veil = soft_step(zone - 4, 10.0) * share * np.clip(1.4 * rind + 0.15, 0, 1) * (1 - firm)
    patch.raise_to((0.5 * veil).astype(np.float32), -640.0, own=False)
    patch.mask = (rind > 0.4) & (share > 0.5)
    return at(patch, place)


def reticulation(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw a fine irregular net under the pleura over a faint veil."""
    place = _at_the_base(scene, rng)
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 6, 0.6)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    rind = _rind(patch, zone, float(rng.uniform(12, 26)), rng) * share
    net = cells(patch.grid, rng, float(rng.uniform(4.5, 6.5)), rind > 0.05)
    thick = 0.28 + 0.35 * net.by_wall(rng)
    lines = patch.inside(net.wall_mm - thick) * (net.by_wall(rng) > 0.25) * rind
    patch.raise_to((0.55 * rind).astype(np.float32), float(rng.uniform(-780, -660)), own=False)
    patch.raise_to(lines.astype(np.float32), float(rng.uniform(-380, -180)), own=False)
    patch.mask = (rind > 0.4) & (share > 0.5)
    return at(patch, place)


def septal_thickening(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw smooth septa of lobules 12 to 20 mm wide, most of all near the pleura."""
    place = in_lung(scene, rng, depth_mm=(3.0, 18.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, FINE_MM)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    near_pleura = np.clip(1.25 - depth_on(patch) / 45, 0.25, 1)
    fade = soft_step(zone, 10.0) * share
    lobules = cells(patch.grid, rng, float(rng.uniform(12, 19)), fade > 0.05)
    shown = lobules.by_wall(rng) < 0.75 * near_pleura
    lines = patch.inside(lobules.wall_mm - float(rng.uniform(0.35, 0.75))) * shown * fade
    patch.raise_to(lines.astype(np.float32), float(rng.uniform(-320, -120)), own=False)
    patch.mask = (zone < 0) & (share > 0.5)
    return at(patch, place)


def fibrotic_cord(scene: Scene, length_mm: float, rng: np.random.Generator) -> Patch:
    """Draw one to three cords that run inwards from the pleura and pull at it."""
    place = in_lung(scene, rng, depth_mm=(0.2 * length_mm, 0.55 * length_mm + 3))
    patch = Patch.around(scene, place.point_mm, 0.65 * length_mm + 5, FINE_MM)
    share = side_share(patch, place)
    _cords(patch, place.point_mm, length_mm, int(rng.integers(1, 4)), share, rng)
    return at(patch, place)


def _cords(
    patch: Patch,
    centre_mm: np.ndarray,
    length_mm: float,
    count: int,
    share: FloatArray,
    rng: np.random.Generator,
) -> None:
    rough = cloud(patch.grid, rng, 2.5) + 0.7 * cloud(patch.grid, rng, 6.0)
    knot = centre_mm + 0.08 * length_mm * rng.standard_normal(3)
    for _ in range(count):
        # cords meet in a knot and taper away from it
        way = frame_along(rng.standard_normal(3) * (0.6, 1, 1), rng)
        bend = 0.16 * length_mm * (rng.standard_normal((3, 2)) @ way[1:])
        steps = np.array([-0.15, 0.2, 0.6])[:, None] * length_mm * way[0]
        radius = float(rng.uniform(0.5, 1.5))
        path = knot + steps + bend * np.array([[0.2], [0.6], [1.0]])
        cord = tube(patch.grid, path, [1.3 * radius, radius, 0.35], reach_mm=3.0)
        if rng.random() < 0.5:
            # seen along its width a cord is a band
            z, y, x = patch.grid.offsets(path[1])
            off = np.abs(way[1][0] * z + way[1][1] * y + way[1][2] * x + rough) - 0.5 * radius
            band = ball(patch.grid, path[1], [0.4 * length_mm, 3.5, 0.2 * length_mm], way)
            cord = np.minimum(cord, np.maximum(band, off))
        cord = cord + np.float32(0.45 * radius) * rough
        hu = float(rng.uniform(-120, 45))
        patch.raise_to(patch.inside(cord, 1.0) * share, hu, own=False)
        patch.mask |= (cord < 0.3) & (share > 0.5)


def tb_sequela(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw cords, calcified nodules and thick pleura at an apex, the lung between too light."""
    place = in_lung(scene, rng, height=(0.72, 0.97), depth_mm=(5.0, 25.0))
    patch = Patch.around(scene, place.point_mm, 0.65 * extent_mm + 5, FINE_MM)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    patch.hu -= soft_step(zone, 12.0) * share * float(rng.uniform(15, 45))
    _cords(patch, place.point_mm, 0.9 * extent_mm, int(rng.integers(3, 8)), share, rng)
    for _ in range(int(rng.integers(2, 8))):
        point = place.point_mm + 0.28 * extent_mm * rng.standard_normal(3)
        nodule = ball(patch.grid, point, float(rng.uniform(1.0, 3.6)) * rng.uniform(0.8, 1.2, 3))
        patch.raise_to(patch.inside(nodule) * share, float(rng.uniform(150, 900)), own=False)
        patch.mask |= (nodule < 0) & (share > 0.5)
    thick = float(rng.uniform(1, 5)) * (1 + 0.4 * cloud(patch.grid, rng, 9.0))
    cap = patch.inside(depth_on(patch) - thick * soft_step(zone, 22.0)) * share
    cap *= soft_step(zone, 22.0) > 0.1
    patch.raise_to(cap, 30.0, own=False)
    patch.mask |= cap > 0.5
    if rng.random() < 0.5:
        # a scarred bronchus, pulled open
        line = place.point_mm + np.outer([-0.4, 0.0, 0.4], extent_mm * rng.standard_normal(3) * 0.5)
        pipe = tube(patch.grid, line, [1.6, 2.4, 2.0], reach_mm=3.0)
        patch.raise_to(patch.inside(pipe - 1.1) * share, -80.0, own=False)
        patch.lower_to(patch.inside(pipe) * share, -970.0, own=False)
    return at(patch, place)


def post_radiation(scene: Scene, width_mm: float, rng: np.random.Generator) -> Patch:
    """Fill a block beside the mediastinum whose edges are those of a radiation field."""
    place = in_lung(scene, rng, height=(0.4, 0.85), back=(0.3, 0.7), depth_mm=(3.0, 9.0))
    tall = float(rng.uniform(50, 95))
    patch = Patch.around(scene, place.point_mm, [0.5 * tall + 8, 75, width_mm + 14], 0.9)
    share = side_share(patch, place)
    z, y, x = patch.grid.offsets(place.point_mm)
    outwards = -x if place.lung.is_right else x
    tilt = float(rng.normal(0, 0.12)) * y
    wave = 1.5 * cloud(patch.grid, rng, 12.0)
    field = np.maximum(outwards - width_mm + tilt, np.abs(z) - 0.5 * tall)
    field = np.maximum(field, np.abs(y) - 62) + wave
    patchy = np.clip(0.75 + 0.45 * cloud(patch.grid, rng, 10.0), 0, 1)
    veil = soft_step(field.astype(np.float32), 3.0) * share
    patch.raise_to(veil, -600.0, own=False)
    full = (opacity(patch, field + 5, rng, edge_mm=9.0) * patchy * share).astype(np.float32)
    patch.lay(full, float(rng.uniform(*SOLID_HU)), own=False)
    air_bronchograms(patch, scene, place.point_mm, 1.4 * width_mm, rng, full)
    patch.mask = (veil > 0.5) & (share > 0.5)
    return at(patch, place)


DRAWINGS = {
    "honeycombing": Drawing(honeycombing, (30.0, 85.0), (0.7, 1.0)),
    "reticulation": Drawing(reticulation, (22.0, 85.0), (0.2, 1.1)),
    "septal_thickening": Drawing(septal_thickening, (24.0, 85.0), (0.2, 1.1)),
    "fibrotic_cord": Drawing(fibrotic_cord, (10.0, 55.0), (0.4, 1.05)),
    "tb_sequela": Drawing(tb_sequela, (28.0, 65.0), (0.8, 1.05)),
    "post_radiation": Drawing(post_radiation, (22.0, 48.0), (0.7, 1.05)),
}
