"""What looks like a pulmonary nodule and is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.lesions.nested import nested_around
from networks.phantoms.lesions.nodule.places import (
    VESSEL_HU,
    away_from_hilum,
    draw_fissure,
    draw_vessel,
    inward,
    is_free,
    lung_share,
    near_fissure,
    place_in_lung,
)
from networks.phantoms.lobes import LUNG, VESSEL, lung_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Draw = Callable[[Scene, np.random.Generator], Patch | None]


def vessel_end_on(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a vessel that turns to run along z: a round dot in each slice, but in many of them."""
    radius = float(rng.uniform(1.2, 2.8))
    place = place_in_lung(scene, rng, radius + 3)
    if place is None:
        return None
    half = float(rng.uniform(9, 16))
    patch = Patch(scene, nested_around(scene, place, (half + 4, 16, 16), 0.45))
    out = away_from_hilum(scene, place)
    lean = np.array([1.0, *(0.22 * rng.standard_normal(2))]) * rng.choice([-1, 1])
    low, high = place - half * lean, place + half * lean
    points = [low - 12 * out * [0.3, 1, 1], low, place + rng.normal(0, 0.6, 3), high]
    distance = tube(patch.grid, points, [1.5 * radius, 1.15 * radius, radius, 0.7 * radius])
    for _ in range(2):
        side = rng.standard_normal(3) + 0.8 * out
        side *= rng.uniform(8, 14) / np.linalg.norm(side)
        twig = tube(patch.grid, [high, high + side], [0.6 * radius, 0.3 * radius])
        np.minimum(distance, twig, out=distance)
    patch.raise_to(patch.inside(distance) * lung_share(patch), VESSEL_HU)
    return patch


def apical_scar(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a pleural cap at the apex: a band of uneven thickness with strands into the lung."""
    lung = lung_of(scene, right=bool(rng.random() < 0.55))
    if lung is None:
        return None
    depth = scene.depth_mm(*LUNG)
    z = scene.origin_mm[0] + scene.spacing_mm * np.arange(depth.shape[0])
    side = LUNG[:2] if lung.is_right else LUNG[2:]
    wide = np.where(scene.tissue(*side), depth, 0).max(axis=(1, 2)) > 9
    high = ((z > lung.z[1] - 42) & wide)[:, None, None] & scene.tissue(*side)
    place = scene.pick(high & (depth <= 1.2 * scene.spacing_mm), rng)
    if place is None or not is_free(scene, place, 6):
        return None
    reach = float(rng.uniform(9, 17))
    patch = Patch(scene, nested_around(scene, place, reach + 6, 0.5))
    shallow = patch.on(depth) - 0.5 * scene.spacing_mm
    away = ball(patch.grid, place, reach * np.exp(rng.normal(0, 0.2, 3)))
    thick = float(rng.uniform(0.3, 1.8)) + 1.3 * cloud(patch.grid, rng, 4.5)
    band = patch.inside(np.maximum(shallow - thick, away + 1.2 * cloud(patch.grid, rng, 4.0)))
    patch.raise_to(band * lung_share(patch), float(rng.uniform(-120, 45)))
    into = inward(scene, place)
    for _ in range(int(rng.integers(2, 6))):
        start = place + 0.5 * reach * rng.standard_normal(3) * (1 - np.abs(into))
        strand = tube(
            patch.grid,
            [start, start + rng.uniform(6, 13) * (into + 0.45 * rng.standard_normal(3))],
            [rng.uniform(0.7, 1.4), 0.25],
        )
        patch.raise_to(patch.inside(strand) * lung_share(patch), float(rng.uniform(-200, 0)))
    if rng.random() < 0.25:
        speck = ball(patch.grid, place + 1.5 * into, rng.uniform(0.7, 1.4, 3))
        patch.raise_to(patch.inside(speck), float(rng.uniform(200, 600)))
    return patch


def pleural_tag(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw one to three strands from the pleura into the lung, each with a small tent."""
    depth = scene.depth_mm(*LUNG)
    place = scene.pick((depth > 0) & (depth <= 1.2 * scene.spacing_mm), rng)
    if place is None or not is_free(scene, place, 6):
        return None
    patch = Patch(scene, nested_around(scene, place, 20, 0.5))
    into = inward(scene, place)
    distance = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        start = place + 2.5 * rng.standard_normal(3)
        end = start + rng.uniform(9, 17) * (into + 0.3 * rng.standard_normal(3))
        radius = rng.uniform(0.45, 0.9)
        middle = 0.6 * start + 0.4 * end + 0.8 * rng.standard_normal(3)
        tent = start + 2.5 * into
        strand = tube(
            patch.grid, [start - 1.5 * into, tent, middle, end],
            [rng.uniform(2, 3.4), 1.1 * radius, radius, 0.25],
        )  # fmt: skip
        np.minimum(distance, strand, out=distance)
    patch.raise_to(patch.inside(distance) * lung_share(patch), float(rng.uniform(-120, 30)))
    return patch


def lymph_node(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a node in the hilum, or a flat one on a fissure with a strand to the pleura."""
    return _hilar_node(scene, rng) if rng.random() < 0.45 else _fissural_node(scene, rng)


def _hilar_node(scene: Scene, rng: np.random.Generator) -> Patch | None:
    lung = scene.tissue(*LUNG)
    vessel = scene.tissue(Tissue.PULMONARY_ARTERY, Tissue.AIRWAY_WALL)
    step = scene.spacing_mm
    border = ndimage.binary_dilation(vessel, iterations=round(9 / step)) & lung
    place = scene.pick(border & (scene.depth_mm(*LUNG) <= 1.5 * step), rng)
    if place is None or not is_free(scene, place, 6):
        return None
    size = float(rng.uniform(4, 8))
    patch = Patch(scene, nested_around(scene, place, 1.6 * size + 3, 0.5))
    radii = size * np.array([1.0, 0.75, 0.7]) * np.exp(rng.normal(0, 0.1, 3))
    surface = ball(patch.grid, place, radii, frame_along(rng.standard_normal(3), rng))
    surface += np.float32(0.5) * cloud(patch.grid, rng, 5.0)
    room = patch.share(*LUNG, Tissue.MEDIASTINAL_FAT)
    share = patch.inside(surface) * np.clip((room - 0.08) / 0.25, 0, 1)
    patch.raise_to(share, float(rng.uniform(25, 55)) + 5 * cloud(patch.grid, rng, 2.0))
    return patch


def _fissural_node(scene: Scene, rng: np.random.Generator) -> Patch | None:
    depth = scene.depth_mm(*LUNG)
    place = scene.pick(near_fissure(scene, 0.6 * scene.spacing_mm) & (depth > 4) & (depth < 22),
                       rng)  # fmt: skip
    if place is None or not is_free(scene, place, 4):
        return None
    size = float(rng.uniform(1.6, 3.6))
    patch = Patch(scene, nested_around(scene, place, size + 11, 0.4))
    draw_fissure(patch, place, rng)
    out = -inward(scene, place)
    flat = np.array([size * rng.uniform(0.3, 0.45), size, size * rng.uniform(0.6, 1.1)])
    # lentiform, lying on the fissure, whose normal is about (0.75, -0.66, 0)
    across = np.cross([0.75, -0.66, 0.0], out)
    across /= max(float(np.linalg.norm(across)), 1e-6)
    frame = np.array([[0.75, -0.66, 0.0], np.cross(across, [0.75, -0.66, 0.0]), across])
    surface = ball(patch.grid, place, flat, frame)
    patch.raise_to(patch.inside(surface) * lung_share(patch), float(rng.uniform(15, 50)))
    strand = tube(patch.grid, [place, place + 10 * out], [0.5, 0.3])
    patch.raise_to(patch.inside(strand) * lung_share(patch), -200.0, own=False)
    return patch


def costal_cartilage(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a bony bump of the first ribs' cartilage that indents the lung in front."""
    bone = scene.tissue(Tissue.BONE_CORTEX, Tissue.BONE_MARROW, Tissue.COSTAL_CARTILAGE)
    depth = scene.depth_mm(*LUNG)
    lung = lung_of(scene, right=True)
    if lung is None:
        return None
    step = scene.spacing_mm
    edge = (depth > 0) & (depth <= 1.2 * step)
    near = ndimage.binary_dilation(bone, iterations=max(1, round(7 / step))) & edge
    z, y = (scene.origin_mm[a] + step * np.arange(depth.shape[a]) for a in (0, 1))
    near &= (z > lung.z[0] + 0.45 * (lung.z[1] - lung.z[0]))[:, None, None]
    near &= (y < 0.5 * sum(lung.y))[None, :, None]
    place = scene.pick(near, rng)
    if place is None or not is_free(scene, place, 5):
        return None
    size = float(rng.uniform(3, 5.5))
    into = inward(scene, place)
    patch = Patch(scene, nested_around(scene, place, 2.2 * size + 3, 0.5))
    bump = ball(
        patch.grid, place + 0.25 * size * into, size * np.array([0.8, 1.1, 1.1]),
        frame_along(into, rng),
    )  # fmt: skip
    bump += np.float32(0.7) * cloud(patch.grid, rng, 3.0)
    patch.raise_to(patch.inside(bump), float(rng.uniform(60, 160)))
    rind = patch.inside(np.abs(bump + 0.9) - 0.6 * np.clip(1 + cloud(patch.grid, rng, 3.0), 0, 2))
    patch.raise_to(rind, float(rng.uniform(150, 450)))
    return patch


def mucus_plug(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a filled bronchus that forks: fingers of fluid density, wider than a vessel there."""
    place = place_in_lung(scene, rng, 7)
    if place is None:
        return None
    out = away_from_hilum(scene, place)
    radius = float(rng.uniform(1.6, 2.9))
    patch = Patch(scene, nested_around(scene, place, 19, 0.5))
    start = place - rng.uniform(5, 10) * out
    distance = tube(patch.grid, [start, place], [0.8 * radius, radius])
    for _ in range(int(rng.integers(2, 4))):
        side = out + 0.55 * rng.standard_normal(3)
        end = place + rng.uniform(6, 12) * side / np.linalg.norm(side)
        finger = tube(patch.grid, [place, end], [0.9 * radius, rng.uniform(0.75, 1.1) * radius])
        np.minimum(distance, finger, out=distance)
    distance += np.float32(0.25) * cloud(patch.grid, rng, 3.0)
    patch.raise_to(patch.inside(distance) * lung_share(patch), float(rng.uniform(2, 32)))
    draw_vessel(patch, place + 1.8 * radius * rng.standard_normal(3), rng, radius_mm=0.9)
    return patch


def atelectatic_band(scene: Scene, rng: np.random.Generator) -> Patch | None:
    """Draw a plate of collapsed lung over the diaphragm; an axial cut may show its end as a dot."""
    lung = lung_of(scene, right=bool(rng.random() < 0.5))
    if lung is None:
        return None
    depth = scene.depth_mm(*LUNG)
    z = scene.origin_mm[0] + scene.spacing_mm * np.arange(depth.shape[0])
    low = (z < lung.z[0] + 0.45 * (lung.z[1] - lung.z[0]))[:, None, None]
    side = scene.tissue(*(LUNG[:2] if lung.is_right else LUNG[2:])) & ~scene.tissue(*VESSEL)
    place = scene.pick(low & side & (depth > 4) & (depth < 25), rng)
    if place is None or not is_free(scene, place, 8):
        return None
    length, width = float(rng.uniform(12, 26)), float(rng.uniform(5, 11))
    patch = Patch(scene, nested_around(scene, place, 0.75 * length + 4, 0.6))
    frame = frame_along([rng.uniform(0.25, 1.0), *rng.standard_normal(2)], rng)
    z, y, x = patch.grid.offsets(place)
    up, along, across = (row[0] * z + row[1] * y + row[2] * x for row in frame.astype(np.float32))
    thick = float(rng.uniform(0.7, 1.6)) * (1 + 0.3 * cloud(patch.grid, rng, 5.0))
    edge = np.sqrt((along / length) ** 2 + (across / width) ** 2) - 1
    edge += np.float32(0.15) * cloud(patch.grid, rng, 6.0)
    up = up + np.float32(1.2) * cloud(patch.grid, rng, 14.0)  # bowed
    plate = np.maximum(np.abs(up) - thick * np.clip(-2.5 * edge, 0.3, 1), 5 * edge)
    patch.raise_to(patch.inside(plate) * lung_share(patch), float(rng.uniform(-250, 20)))
    return patch


MIMICS: dict[str, Draw] = {
    "vessel_end_on": vessel_end_on,
    "apical_scar": apical_scar,
    "pleural_tag": pleural_tag,
    "lymph_node": lymph_node,
    "costal_cartilage": costal_cartilage,
    "mucus_plug": mucus_plug,
    "atelectatic_band": atelectatic_band,
}
"""Confounder → what draws it; None where it found no room."""
