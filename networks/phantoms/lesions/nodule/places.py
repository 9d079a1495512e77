"""Places in the lungs, and the vessels and fissures that are drawn there with a lesion."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.brush import Patch, cloud, tube
from networks.phantoms.lobes import LUNG, VESSEL, lung_of, side_of
from networks.phantoms.scene import Scene

Point = npt.NDArray[np.float64]

VESSEL_HU = 32.0
"""Small pulmonary vessels, HU before partial volume."""

FISSURE_HU = -380.0
"""A fissure of `FISSURE_MM`; a scan of 1 mm shows it as a line of about −650 HU."""

FISSURE_MM = 0.6

CLEARANCE_MM = 4.0
"""Kept between what is planted in the lungs."""


def spacing_for(diameter_mm: float) -> float:
    """Return the largest voxel edge at which a lesion of some size is drawn, mm."""
    return float(np.clip(diameter_mm / 18, 0.4, 0.76))


def lung_share(patch: Patch) -> FloatArray:
    """Return where lung can be replaced, 0 to 1.

    It is 1 up to the pleura, where a voxel holds little lung: HU there is a mixture already, and
    what is laid over it replaces the lung's part.
    """
    share = patch.share(*LUNG)
    return np.clip((share - 0.08) / 0.25, 0, 1).astype(np.float32)


def is_free(scene: Scene, place: Point, radius_mm: float) -> bool:
    """Return whether nothing of limited size has been planted near a place."""
    return not any(
        lesion.diameter_mm < 80
        and np.linalg.norm(np.asarray(lesion.centre_mm) - place)
        < radius_mm + 0.5 * lesion.diameter_mm + CLEARANCE_MM
        for lesion in scene.lesions
    )


def place_in_lung(
    scene: Scene, rng: np.random.Generator, radius_mm: float, attachment: str = "none"
) -> Point | None:
    """Draw the centre of a lesion in the lungs; None where there is no room.

    Parameters
    ----------
    attachment : str
        none, juxtapleural, perivascular or perifissural.
    """
    depth = scene.depth_mm(*LUNG)
    step = scene.spacing_mm
    fits = (depth > radius_mm + 2) & ~scene.tissue(*VESSEL)
    if attachment == "juxtapleural":
        fits = (depth > 0) & (np.abs(depth - 0.55 * radius_mm - 0.5 * step) < 0.6 * step)
    elif attachment == "perivascular":
        vessel = scene.tissue(*VESSEL) & (depth > radius_mm)
        near = ndimage.binary_dilation(vessel, iterations=max(1, round(radius_mm / step)))
        fits &= near
    elif attachment == "perifissural":
        fits &= near_fissure(scene, max(0.6 * radius_mm, 0.6 * step))
    for _ in range(12):
        place = scene.pick(fits, rng)
        if place is None:
            return None
        if is_free(scene, place, radius_mm):
            return place
    return None


def near_fissure(scene: Scene, within_mm: float) -> npt.NDArray[np.bool_]:
    """Return the voxels of the lungs near an oblique or the horizontal fissure."""
    z, y = (
        scene.origin_mm[axis] + scene.spacing_mm * np.arange(scene.anatomy.labels.shape[axis])
        for axis in (0, 1)
    )
    middle = np.zeros(scene.anatomy.labels.shape, bool)
    for right, tissues in ((True, LUNG[:2]), (False, LUNG[2:])):
        lung = lung_of(scene, right=right)
        if lung is None:
            continue
        above = lung.oblique_mm(z[:, None], y[None, :])
        on = np.abs(above) < within_mm
        if right:
            on |= (np.abs(lung.horizontal_mm(z))[:, None] < within_mm) & (above > 0)
        middle |= on[:, :, None] & scene.tissue(*tissues)
    return middle


def fissure_mm(patch: Patch, place: Point) -> FloatArray | None:
    """Return how far each voxel lies above the fissure nearest to a place, mm."""
    right = side_of(patch.scene, place)
    lung = lung_of(patch.scene, right=right)
    if lung is None:
        return None
    z, y, _ = (axis.astype(np.float64) for axis in patch.grid.axes)
    oblique = lung.oblique_mm(z[:, None, None], y[None, :, None])
    level = np.broadcast_to(lung.horizontal_mm(z)[:, None, None], oblique.shape)
    here = abs(float(lung.oblique_mm(place[0], place[1])))
    flat = right and abs(float(lung.horizontal_mm(place[0]))) < here
    chosen = level if flat else oblique
    return np.broadcast_to(chosen, patch.grid.shape).astype(np.float32)


def draw_fissure(patch: Patch, place: Point, rng: np.random.Generator) -> None:
    """Draw the stretch of the fissure around a place, fading out at the edge of the patch."""
    above = fissure_mm(patch, place)
    if above is None:
        return
    z, y, x = patch.grid.offsets(place)
    above = above + np.float32(rng.uniform(-0.45, 0.45)) * x + cloud(patch.grid, rng, 12.0)
    half = 0.5 * patch.grid.spacing_mm * min(patch.grid.shape)
    fade = np.clip(2.5 * (1 - np.sqrt(z * z + y * y + x * x) / half), 0, 1)
    sheet = patch.inside(np.abs(above) - 0.5 * FISSURE_MM) * fade * lung_share(patch)
    patch.raise_to(sheet.astype(np.float32), FISSURE_HU + 60 * float(rng.uniform(-1, 1)), own=False)


def draw_vessel(patch: Patch, place: Point, rng: np.random.Generator, *, radius_mm: float) -> None:
    """Draw a small vessel that runs through a place, from the hilum to the periphery."""
    along = away_from_hilum(patch.scene, place) + 0.35 * rng.standard_normal(3)
    along /= np.linalg.norm(along)
    half = 0.5 * patch.grid.spacing_mm * min(patch.grid.shape)
    bend = 0.12 * half * rng.standard_normal(3)
    points = [place - half * along + bend, place, place + half * along + bend]
    distance = tube(patch.grid, points, [1.25 * radius_mm, radius_mm, 0.5 * radius_mm])
    patch.raise_to(patch.inside(distance) * lung_share(patch), VESSEL_HU, own=False)


def away_from_hilum(scene: Scene, place: Point) -> Point:
    """Return the direction (z, y, x) from the hilum of that side to a place."""
    right = side_of(scene, place)
    lung = lung_of(scene, right=right)
    if lung is None:
        return np.array([0.0, 0.0, 1.0])
    hilum = np.array(
        [0.5 * sum(lung.z), lung.y[0] + 0.55 * (lung.y[1] - lung.y[0]), -35.0 if right else 40.0]
    )
    away = place - hilum
    return away / max(float(np.linalg.norm(away)), 1e-6)


def inward(scene: Scene, place: Point) -> Point:
    """Return the direction from the nearest pleura into the lung at a place."""
    depth = scene.depth_mm(*LUNG)
    s, r, c = scene.voxel(place)
    box = tuple(
        slice(max(i - 3, 0), min(i + 4, n)) for i, n in zip((s, r, c), depth.shape, strict=True)
    )
    part = ndimage.gaussian_filter(depth[box], 1.0)
    if min(part.shape) < 3:
        return np.array([0.0, 1.0, 0.0])
    slope = np.array([float(g.mean()) for g in np.gradient(part)])
    size = float(np.linalg.norm(slope))
    return slope / size if size > 1e-6 else np.array([0.0, 1.0, 0.0])
