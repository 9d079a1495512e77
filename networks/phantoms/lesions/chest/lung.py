"""Opacities of the lung: what fills the air spaces, and what collapses them."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.brush import (
    Patch,
    ball,
    cells,
    cloud,
    frame_along,
    near,
    tube,
)
from networks.phantoms.lesions.chest.places import (
    AIRWAY,
    Drawing,
    Place,
    blob,
    branches,
    dependent,
    depth_on,
    fractions,
    in_lobe,
    in_lung,
    lung_share,
    side_share,
    soft_step,
)
from networks.phantoms.lesions.nodule.places import away_from_hilum
from networks.phantoms.lobes import LUNG, lung_of
from networks.phantoms.scene import Scene

FINE_MM = 0.7
"""Voxels of what is small; wide patches get coarser ones."""

GLASS_HU = (-680.0, -450.0)
"""Ground glass: denser than lung, vessels still seen."""

SOLID_HU = (20.0, 50.0)
"""Native consolidation and soft tissue."""


def at(patch: Patch, place: Place) -> Patch:
    """Note the lobe of a patch."""
    patch.site = place.lobe
    return patch


def mass(scene: Scene, diameter_mm: float, rng: np.random.Generator) -> Patch:
    """Paint a lobulated, spiculated mass, sometimes necrotic."""
    place = in_lung(scene, rng, depth_mm=(0.25 * diameter_mm, 999))
    patch = Patch.around(scene, place.point_mm, 0.9 * diameter_mm + 8, FINE_MM)
    radius = 0.5 * diameter_mm
    level = ball(patch.grid, place.point_mm, radius * rng.uniform(0.85, 1.1, 3))
    level += 0.13 * radius * cloud(patch.grid, rng, 0.5 * radius)
    level += 0.8 * cloud(patch.grid, rng, 4.0) + 0.4 * cloud(patch.grid, rng, 2.0)
    for _ in range(int(rng.integers(8, 40))):
        way = rng.standard_normal(3)
        way /= np.linalg.norm(way)
        root = place.point_mm + 0.85 * radius * way
        tip = place.point_mm + radius * float(rng.uniform(1.15, 1.6)) * way
        np.minimum(level, tube(patch.grid, [root, tip], [1.6, 0.3]), out=level)
    share = side_share(patch, place)
    dense = float(rng.uniform(30, 52)) + 5 * cloud(patch.grid, rng, 6.0)
    if rng.random() < 0.35:
        core = soft_step(level + 0.45 * diameter_mm * float(rng.uniform(0.4, 0.8)), 6.0)
        dense = dense - 18 * core
    patch.raise_to(patch.inside(level, 1.5) * share, dense.astype(np.float32))
    halo = soft_step(level - 3, 8.0) * share
    patch.raise_to(halo * (0.4 * (rng.random() < 0.4)), -550.0, own=False)
    patch.mask = (level < 0) & (share > 0.5)
    return at(patch, place)


def micronodules(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Scatter nodules of 1.5 to 3 mm at random, without regard to vessels or pleura."""
    place = in_lung(scene, rng, height=(0.3, 0.95))
    patch = Patch.around(scene, place.point_mm, 0.5 * extent_mm + 3, FINE_MM)
    share = lung_share(patch)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    room = np.argwhere((zone < 0) & (share > 0.9))
    per_cm3 = float(rng.uniform(0.5, 1.6))
    count = int(np.clip(per_cm3 * len(room) * patch.grid.spacing_mm**3 / 1000, 12, 700))
    _specks(patch, room, count, (0.75, 1.5), (-150.0, 40.0), rng, share)
    patch.mask = (zone < 2) & (share > 0.5)
    patch.extra["nodules"] = count
    return at(patch, place)


def _specks(
    patch: Patch,
    room: np.ndarray,
    count: int,
    radius_mm: tuple[float, float],
    hu: tuple[float, float],
    rng: np.random.Generator,
    share: FloatArray,
) -> None:
    """Paint small round nodules at voxels drawn from a list."""
    if not len(room):
        return
    grid = patch.grid
    for voxel in room[rng.integers(len(room), size=count)]:
        point = np.asarray(grid.origin_mm) + (voxel + rng.uniform(-0.5, 0.5, 3)) * grid.spacing_mm
        radius = float(rng.uniform(*radius_mm))
        box, (z, y, x) = near(grid, point, radius + 1.2)
        if box is None:
            continue
        level = np.sqrt(z * z + y * y + x * x) - radius
        inside = patch.inside(level) * share[box]
        part = patch.hu[box]
        part += inside * np.maximum(float(rng.uniform(*hu)) - part, 0)


def opacity(
    patch: Patch, level: FloatArray, rng: np.random.Generator, *, edge_mm: float
) -> FloatArray:
    """Return how full the air spaces are, 0 to 1, with the ragged edge of acini."""
    ragged = level + 0.4 * edge_mm * cloud(patch.grid, rng, 9.0)
    ragged += 0.3 * edge_mm * cloud(patch.grid, rng, 4.0)
    return soft_step(ragged, edge_mm)


def consolidation(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Fill part of a lobe up to its pleura and fissures, around air bronchograms."""
    place = in_lung(scene, rng, height=(0.0, 0.85), depth_mm=(4.0, max(0.35 * extent_mm, 8.0)))
    patch = Patch.around(scene, place.point_mm, 0.68 * extent_mm + 4, FINE_MM)
    share = side_share(patch, place)
    if rng.random() < 0.6:
        share = share * in_lobe(patch, place)
    level = blob(patch, place.point_mm, extent_mm, rng, rough=0.3)
    # the pleura bounds it: it widens towards the surface
    level -= 0.25 * extent_mm * np.exp(-depth_on(patch) / (0.25 * extent_mm))
    full = opacity(patch, level, rng, edge_mm=float(rng.uniform(5, 16))) * share
    patch.lay(full, float(rng.uniform(*SOLID_HU)) + 6 * cloud(patch.grid, rng, 4.0), own=False)
    air_bronchograms(patch, scene, place.point_mm, extent_mm, rng, full)
    patch.mask = (full > 0.4) & (share > 0.5)
    return at(patch, place)


def air_bronchograms(
    patch: Patch,
    scene: Scene,
    centre_mm: np.ndarray,
    extent_mm: float,
    rng: np.random.Generator,
    full: FloatArray,
) -> None:
    """Hollow forking bronchi into what is filled, from the side of the hilum."""
    out = away_from_hilum(scene, centre_mm)
    for _ in range(int(rng.integers(2, 6))):
        way = out + 0.45 * rng.standard_normal(3)
        start = centre_mm - 0.45 * extent_mm * out + 0.12 * extent_mm * rng.standard_normal(3)
        for path, radii in branches(start, way, 0.35 * extent_mm, float(rng.uniform(1.1, 2.0)),
                                    rng, generations=3, spread=0.45):  # fmt: skip
            lumen = patch.inside(tube(patch.grid, path, radii))
            patch.lower_to(lumen * (full > 0.6), -880.0, own=False)


def ggo(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Veil a region of the lung; vessels stay visible."""
    place = in_lung(scene, rng)
    patch = Patch.around(scene, place.point_mm, 0.68 * extent_mm + 4, FINE_MM)
    share = side_share(patch, place)
    level = blob(patch, place.point_mm, extent_mm, rng, rough=0.4)
    edge = float(rng.uniform(0.15, 0.4)) * extent_mm + 3
    veil = opacity(patch, level, rng, edge_mm=edge) * share
    _glass(patch, veil, rng)
    patch.mask = (veil > 0.4) & (share > 0.5)
    return at(patch, place)


def _glass(patch: Patch, veil: FloatArray, rng: np.random.Generator) -> None:
    hu = float(rng.uniform(*GLASS_HU)) + 25 * cloud(patch.grid, rng, 6.0)
    hu = hu + 18 * cloud(patch.grid, rng, 2.5)
    patch.raise_to(veil, hu.astype(np.float32), own=False)


def crazy_paving(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Veil a region with sharp edges and draw the septa of its lobules on it."""
    place = in_lung(scene, rng)
    patch = Patch.around(scene, place.point_mm, 0.62 * extent_mm + 3, FINE_MM)
    share = side_share(patch, place)
    level = blob(patch, place.point_mm, extent_mm, rng, rough=0.35)
    lobules = cells(patch.grid, rng, float(rng.uniform(7, 10)), (level < 3) & (share > 0.1))
    # geographic: lobules are taken whole
    edge = lobules.by_cell(rng.normal(0, 0.06 * extent_mm, len(lobules.seeds_mm)))
    veil = soft_step(level + edge.astype(np.float32), 1.5) * share
    _glass(patch, veil, rng)
    lines = patch.inside(lobules.wall_mm - 0.4) * veil
    small = cells(patch.grid, rng, 4.0, (veil > 0.3) & (share > 0.3))
    lines = np.maximum(lines, 0.5 * patch.inside(small.wall_mm - 0.3) * (veil > 0.5))
    patch.raise_to(lines.astype(np.float32), float(rng.uniform(-400, -220)), own=False)
    patch.mask = (veil > 0.5) & (share > 0.5)
    return at(patch, place)


def tree_in_bud(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw clusters of short forked branches that end in buds, away from the pleura."""
    place = in_lung(scene, rng, depth_mm=(8.0, 40.0))
    patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 6, FINE_MM)
    share = side_share(patch, place)
    zone = blob(patch, place.point_mm, extent_mm, rng)
    _buds(patch, scene, zone, share, rng, per_cm3=float(rng.uniform(0.9, 2.2)))
    patch.mask = (zone < 1) & (share > 0.5)
    return at(patch, place)


def _buds(
    patch: Patch,
    scene: Scene,
    zone: FloatArray,
    share: FloatArray,
    rng: np.random.Generator,
    *,
    per_cm3: float,
) -> None:
    grid = patch.grid
    room = np.argwhere((zone < 0) & (share > 0.9) & (depth_on(patch) > 3))
    if not len(room):
        return
    count = int(np.clip(per_cm3 * len(room) * grid.spacing_mm**3 / 1000, 4, 90))
    distance = np.full(grid.shape, 99.0, np.float32)
    for voxel in room[rng.integers(len(room), size=count)]:
        point = np.asarray(grid.origin_mm) + voxel * grid.spacing_mm
        way = away_from_hilum(scene, point) + 0.6 * rng.standard_normal(3)
        for path, radii in branches(point, way, float(rng.uniform(4, 7)),
                                    float(rng.uniform(0.6, 0.9)), rng, generations=2,
                                    spread=0.8):  # fmt: skip
            bud = float(rng.uniform(1.0, 1.9))
            np.minimum(distance, tube(grid, path, radii), out=distance)
            np.minimum(distance, tube(grid, path[-1:], bud), out=distance)
    patch.raise_to(patch.inside(distance) * share, float(rng.uniform(-120, 20)), own=False)


def aspiration(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Fill the dependent part of a lower lobe in patches, with buds around them."""
    down = dependent(scene)
    place = in_lung(scene, rng, height=(0.02, 0.45),
                    back=(0.72, 0.95) if down > 0 else (0.05, 0.4))  # fmt: skip
    patch = Patch.around(scene, place.point_mm, 0.62 * extent_mm + 4, FINE_MM)
    share = side_share(patch, place)
    _, y, _ = patch.grid.offsets(place.point_mm)
    zone = blob(patch, place.point_mm, extent_mm, rng) - 0.3 * down * y
    _buds(patch, scene, zone, share, rng, per_cm3=0.7)
    veil = opacity(patch, zone + 4, rng, edge_mm=10.0) * share
    _glass(patch, (veil * np.clip(0.6 + 0.5 * cloud(patch.grid, rng, 9.0), 0, 1)).astype("f4"), rng)
    patchy = (
        zone + 0.3 * extent_mm - 0.16 * extent_mm * cloud(patch.grid, rng, 9.0) - 0.2 * down * y
    )
    full = opacity(patch, patchy, rng, edge_mm=9.0) * share
    patch.lay(full, float(rng.uniform(20, 45)), own=False)
    patch.mask = (zone < 2) & (share > 0.5)
    return at(patch, place)


def atelectasis(scene: Scene, extent_mm: float, rng: np.random.Generator) -> Patch:
    """Draw a plate of collapsed lung near the base, or a wedge that reaches the pleura."""
    if rng.random() < 0.55:
        place = in_lung(scene, rng, height=(0.0, 0.45), depth_mm=(4.0, 25.0))
        patch = Patch.around(scene, place.point_mm, 0.55 * extent_mm + 4, FINE_MM)
        share = side_share(patch, place)
        upwards = np.array([1.0, 0, 0]) + 0.35 * rng.standard_normal(3)
        frame = frame_along(upwards, rng)
        thick = float(rng.uniform(1.5, 5.0))
        level = ball(patch.grid, place.point_mm, [99, 0.5 * extent_mm, 0.32 * extent_mm], frame)
        z, y, x = patch.grid.offsets(place.point_mm)
        off = frame[0][0] * z + frame[0][1] * y + frame[0][2] * x
        off = off + 1.5 * cloud(patch.grid, rng, 14.0)
        fade = soft_step(level, 10.0)
        plate = patch.inside(np.abs(off) - 0.5 * thick * np.sqrt(fade), 1.0) * (fade > 0.05)
        full = (plate * share).astype(np.float32)
    else:
        place = in_lung(scene, rng, height=(0.0, 0.8), depth_mm=(6.0, 22.0))
        patch = Patch.around(scene, place.point_mm, 0.7 * extent_mm + 4, FINE_MM)
        share = side_share(patch, place) * in_lobe(patch, place)
        out = away_from_hilum(scene, place.point_mm)
        z, y, x = patch.grid.offsets(place.point_mm - 0.5 * extent_mm * out)
        run = out[0] * z + out[1] * y + out[2] * x
        away = np.sqrt(np.maximum(z * z + y * y + x * x - run * run, 0))
        wedge = away - float(rng.uniform(0.28, 0.42)) * run + 1.2 * cloud(patch.grid, rng, 9.0)
        full = soft_step(np.maximum(np.maximum(wedge, -run), run - extent_mm), 2.5) * share
    patch.lay(full, float(rng.uniform(25, 55)) + 5 * cloud(patch.grid, rng, 4.0), own=False)
    patch.mask = (full > 0.4) & (share > 0.5)
    return at(patch, place)


def pulmonary_oedema(scene: Scene, share_of_lung: float, rng: np.random.Generator) -> Patch:
    """Veil both lungs around the hila and downwards, with septal lines and thick bronchi."""
    lungs = scene.tissue(*LUNG)
    patch = Patch.over(scene, lungs, 4.0, 1.4)
    share = lung_share(patch)
    depth = depth_on(patch)
    weight = np.zeros(patch.grid.shape, np.float32)
    down = dependent(scene)
    for right in (True, False):
        lung = lung_of(scene, right=right)
        if lung is None:
            continue
        _, back = fractions(patch, lung)
        z, y, x = patch.grid.offsets([0.45 * lung.z[0] + 0.55 * lung.z[1], 0.5 * sum(lung.y),
                                      -30.0 if right else 38.0])  # fmt: skip
        central = np.exp(-(np.sqrt((z / 85) ** 2 + (y / 48) ** 2 + (x / 52) ** 2) ** 2))
        sunk = back if down > 0 else 1 - back
        side = patch.on(lungs & (_columns(scene) < 0 if right else _columns(scene) >= 0)) > 0.3
        weight += side * (central + 0.45 * np.clip(sunk, 0, 1)).astype(np.float32)
    uneven = weight + 0.2 * cloud(patch.grid, rng, 14.0) + 0.1 * cloud(patch.grid, rng, 6.0)
    veil = np.clip((uneven - (1.05 - 0.75 * share_of_lung)) / 0.5, 0, 1)
    veil = (veil * share * np.clip(depth / 6, 0, 1)).astype(np.float32)
    patch.raise_to(veil, float(rng.uniform(-560, -380)) + 30 * cloud(patch.grid, rng, 7.0),
                   own=False)  # fmt: skip
    lobules = cells(patch.grid, rng, 17.0, (share > 0.5) & (depth < 20) & (uneven > 0.35))
    septa = patch.inside(lobules.wall_mm - 0.55) * share * (lobules.by_wall(rng) > 0.6)
    patch.raise_to(septa.astype(np.float32), -520.0, own=False)
    cuff = np.clip(patch.share(*AIRWAY) * 3, 0, 1) * share
    patch.raise_to(cuff.astype(np.float32), 0.0, own=False)
    patch.mask = (veil > 0.35) & (share > 0.5)
    patch.site = "both_lungs"
    return patch


def _columns(scene: Scene) -> np.ndarray:
    """Return x of the anatomy's voxels, (1, 1, C), LPS mm."""
    count = scene.anatomy.labels.shape[2]
    return (scene.origin_mm[2] + scene.spacing_mm * np.arange(count))[None, None, :]


DRAWINGS = {
    "mass": Drawing(mass, (30.5, 75.0), (0.9, 1.05)),
    "micronodules": Drawing(micronodules, (35.0, 120.0), (0.3, 1.1)),
    "consolidation": Drawing(consolidation, (18.0, 85.0), (0.85, 1.05)),
    "ggo": Drawing(ggo, (8.0, 80.0), (0.12, 1.2)),
    "crazy_paving": Drawing(crazy_paving, (25.0, 85.0), (0.25, 1.15)),
    "tree_in_bud": Drawing(tree_in_bud, (14.0, 55.0), (0.3, 1.1)),
    "aspiration": Drawing(aspiration, (30.0, 80.0), (0.7, 1.05)),
    "atelectasis": Drawing(atelectasis, (14.0, 70.0), (0.5, 1.05)),
    "pulmonary_oedema": Drawing(pulmonary_oedema, (0.35, 1.0), (0.15, 1.1)),
}
