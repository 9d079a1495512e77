"""Places in the chest, and the shapes that many of its findings share."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along
from networks.phantoms.lobes import LEFT, LUNG, RIGHT, Lung, lobe_of, lung_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Point = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Range = tuple[float, float]

WHOLE: Range = (0.0, 1.0)

FAT = (
    Tissue.MEDIASTINAL_FAT,
    Tissue.PERICARDIAL_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.SUBCUTANEOUS_FAT,
    Tissue.INTERMUSCULAR_FAT,
)
AIRWAY = (Tissue.AIRWAY_LUMEN, Tissue.AIRWAY_WALL)
HEART = (Tissue.RIGHT_HEART, Tissue.LEFT_HEART, Tissue.MYOCARDIUM)


class Drawing(NamedTuple):
    """How a kind is drawn, and over what range."""

    draw: Callable[[Scene, float, np.random.Generator], Patch]
    """Paints it at a size."""
    size: Range
    """Diameter, extent or thickness, mm, unless the drawing says otherwise."""
    strength: Range = (1.0, 1.0)
    """How far its contrast may be scaled."""


class Place(NamedTuple):
    """A point within a lung."""

    point_mm: Point
    lung: Lung
    lobe: str


def dependent(scene: Scene) -> float:
    """Return the sign of y towards the table, to which fluid sinks: 1 supine, -1 prone."""
    rows = np.flatnonzero(scene.tissue(Tissue.TABLE_SHELL).any(axis=(0, 2)))
    if not rows.size:
        return 1.0
    return 1.0 if rows.mean() > 0.5 * scene.anatomy.labels.shape[1] else -1.0


def in_lung(
    scene: Scene,
    rng: np.random.Generator,
    *,
    height: Range = WHOLE,
    back: Range = WHOLE,
    depth_mm: Range = (4.0, 999.0),
    right: bool | None = None,
) -> Place:
    """Draw a point in a lung.

    Parameters
    ----------
    height, back : tuple of float
        Range of the place between base and apex, and between front and back, as shares.
    depth_mm : tuple of float
        Range of the distance from the pleura.
    right : bool, optional
        The side; drawn by default.

    Raises
    ------
    NoPlaceError
        When that part of the lung is not in view.
    """
    sides = [bool(rng.random() < 0.54)] if right is None else [right]
    if right is None:
        sides.append(not sides[0])
    depth = scene.depth_mm(*LUNG)
    for side in sides:
        lung = lung_of(scene, right=side)
        if lung is None:
            continue
        low = [lung.z[0] + height[0] * (lung.z[1] - lung.z[0]),
               lung.y[0] + back[0] * (lung.y[1] - lung.y[0])]  # fmt: skip
        high = [lung.z[0] + height[1] * (lung.z[1] - lung.z[0]),
                lung.y[0] + back[1] * (lung.y[1] - lung.y[0])]  # fmt: skip
        start = np.floor((np.array(low) - scene.origin_mm[:2]) / scene.spacing_mm).astype(int)
        stop = np.ceil((np.array(high) - scene.origin_mm[:2]) / scene.spacing_mm).astype(int)
        box = (slice(max(start[0], 0), stop[0] + 1), slice(max(start[1], 0), stop[1] + 1))
        fits = np.isin(scene.anatomy.labels[box], RIGHT if side else LEFT)
        fits &= (depth[box] >= depth_mm[0]) & (depth[box] <= depth_mm[1])
        places = np.argwhere(fits)
        if len(places):
            voxel = places[rng.integers(len(places))] + (box[0].start, box[1].start, 0)
            point = scene.origin_mm + (voxel + rng.uniform(-0.5, 0.5, 3)) * scene.spacing_mm
            return Place(point, lung, lobe_of(scene, point))
    raise NoPlaceError("that part of the lungs is not in view")


def lung_share(patch: Patch, *tissues: Tissue) -> FloatArray:
    """Return where lung can be replaced, 0 to 1, up to the pleura.

    At the edge HU are a mixture already, and what is laid over them replaces the lung's part.
    """
    share = patch.share(*(tissues or LUNG))
    return (np.clip((share - 0.08) / 0.25, 0, 1) * edge_fade(patch)).astype(np.float32)


def edge_fade(patch: Patch) -> FloatArray:
    """Return 1 within a patch, falling to 0 over its last 3 mm, so that no edge of it shows."""
    fade = np.ones((1, 1, 1), np.float32)
    for axis, count in enumerate(patch.grid.shape):
        inwards = np.minimum(np.arange(count), np.arange(count)[::-1]) * patch.grid.spacing_mm
        shape = [-1 if a == axis else 1 for a in range(3)]
        fade = fade * np.clip(inwards / 3, 0, 1).astype(np.float32).reshape(shape)
    return fade


def side_share(patch: Patch, place: Place) -> FloatArray:
    """Return where the lung of a place can be replaced, 0 to 1."""
    return lung_share(patch, *(RIGHT if place.lung.is_right else LEFT))


def depth_on(patch: Patch) -> FloatArray:
    """Return the distance from the pleura, mm, smooth; 0 outside the lungs."""
    step = patch.scene.spacing_mm
    return np.maximum(patch.on(patch.scene.depth_mm(*LUNG)) - 0.5 * step, 0)


def in_lobe(patch: Patch, place: Place) -> FloatArray:
    """Return the share of the lobe of a place, its fissures 1 mm wide."""
    z, y, _ = (axis.astype(np.float64) for axis in patch.grid.axes)
    oblique = place.lung.oblique_mm(z[:, None, None], y[None, :, None])
    above = np.clip(oblique + 0.5, 0, 1)
    if place.lobe.endswith("lower_lobe"):
        share = 1 - above
    elif not place.lung.is_right:
        share = above
    else:
        level = place.lung.horizontal_mm(z)[:, None, None]
        upper = np.clip(level + 0.5, 0, 1)
        share = above * (upper if place.lobe == "right_upper_lobe" else 1 - upper)
    return share.astype(np.float32)


def distance_on(patch: Patch, mask: BoolArray, smooth_voxels: float = 0.7) -> FloatArray:
    """Return the distance to a mask of the anatomy, mm, negative inside, near the patch only.

    The anatomy's steps are smoothed away over `smooth_voxels` of its own voxels.
    """
    scene, grid = patch.scene, patch.grid
    margin = 3
    low = [
        max(int((axis[0] - o) / scene.spacing_mm) - margin, 0)
        for axis, o in zip(grid.axes, scene.origin_mm, strict=True)
    ]
    high = [
        max(int((axis[-1] - o) / scene.spacing_mm) + 2 + margin, first + 2)
        for axis, o, first in zip(grid.axes, scene.origin_mm, low, strict=True)
    ]
    part = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    if not part.any():
        return np.full(grid.shape, 999.0, np.float32)
    outside = ndimage.distance_transform_edt(~part)
    inside = ndimage.distance_transform_edt(part)
    signed = np.where(part, 0.5 - inside, outside - 0.5) * scene.spacing_mm
    if smooth_voxels:
        signed = ndimage.gaussian_filter(signed, smooth_voxels, mode="nearest")
    return scene.sampled_on(grid, signed, (low[0], low[1], low[2]))


def fractions(patch: Patch, lung: Lung) -> tuple[FloatArray, FloatArray]:
    """Return height above the base, (S, 1, 1), and way back, (1, R, 1), as shares of a lung."""
    z, y, _ = patch.grid.axes
    height = (z - lung.z[0]) / (lung.z[1] - lung.z[0])
    back = (y - lung.y[0]) / (lung.y[1] - lung.y[0])
    return height[:, None, None].astype(np.float32), back[None, :, None].astype(np.float32)


def blob(
    patch: Patch,
    centre_mm: npt.ArrayLike,
    diameter_mm: float,
    rng: np.random.Generator,
    *,
    rough: float = 0.25,
    flat: float = 1.0,
) -> FloatArray:
    """Return the distance to an irregular region, mm; `flat` is its height against its width."""
    radius = 0.5 * diameter_mm
    radii = radius * rng.uniform(0.8, 1.15, 3) * (flat, 1, 1)
    turned = frame_along(np.array([1.0, 0, 0]) + 0.25 * rng.standard_normal(3), rng)
    level = ball(patch.grid, centre_mm, radii, turned)
    return level + rough * radius * cloud(patch.grid, rng, max(0.6 * radius, 3.0))


def soft_step(distance_mm: FloatArray, width_mm: float) -> FloatArray:
    """Return 1 well inside, 0 well outside, and a smooth slope `width_mm` wide between."""
    t = np.clip(0.5 - distance_mm / width_mm, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def branches(
    start_mm: npt.ArrayLike,
    direction: npt.ArrayLike,
    length_mm: float,
    radius_mm: float,
    rng: np.random.Generator,
    *,
    generations: int = 3,
    spread: float = 0.6,
    taper: float = 0.8,
) -> list[tuple[Point, list[float]]]:
    """Draw a tree of forking tubes: each a path (n, 3) in mm and its radii."""
    start = np.asarray(start_mm, float)
    way = np.asarray(direction, float) / np.linalg.norm(direction)
    frame = frame_along(way, rng)
    bend = 0.12 * length_mm * (rng.standard_normal(2) @ frame[1:])
    end = start + length_mm * way
    path = np.stack([start, 0.5 * (start + end) + bend, end])
    result = [(path, [radius_mm, 0.95 * radius_mm, 0.9 * radius_mm])]
    if generations > 1:
        turn = float(rng.uniform(0, 2 * np.pi))
        across = np.cos(turn) * frame[1] + np.sin(turn) * frame[2]
        for sign in (-1.0, 1.0):
            child = way + sign * spread * float(rng.uniform(0.6, 1.3)) * across
            result += branches(
                end, child, length_mm * float(rng.uniform(0.6, 0.9)), radius_mm * taper, rng,
                generations=generations - 1, spread=spread, taper=taper,
            )  # fmt: skip
    return result
