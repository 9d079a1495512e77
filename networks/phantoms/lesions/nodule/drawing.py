"""Draw one nodule: its shape, its parts, and what it touches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along, tube
from networks.phantoms.lesions.nested import nested_around
from networks.phantoms.lesions.nodule.places import (
    draw_fissure,
    draw_vessel,
    lung_share,
    place_in_lung,
    spacing_for,
)
from networks.phantoms.lobes import LUNG, lobe_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

DIAMETER_MM: dict[str, dict[str, tuple[float, float]]] = {
    "solid_nodule": {"easy": (8, 30), "medium": (5, 8), "hard": (3, 5)},
    "calcified_nodule": {"easy": (8, 22), "medium": (5, 8), "hard": (3, 5)},
    "part_solid_nodule": {"easy": (13, 30), "medium": (8.5, 13), "hard": (6, 8.5)},
    "ground_glass_nodule": {"easy": (11, 30), "medium": (7, 14), "hard": (4.5, 14)},
}
"""Mean diameter drawn by kind and difficulty, mm."""

GLASS_CONTRAST_HU = {"easy": (190, 330), "medium": (140, 250), "hard": (70, 160)}
"""What ground glass adds to aerated lung: about −620 HU over −850 in the middle of the range
(pipelines.md §6.3)."""

SOLID_HU = (25.0, 60.0)
"""A solid nodule, about 40 HU (pipelines.md §6.3)."""

CALCIUM_HU = {"diffuse": (250, 900), "central": (300, 1000), "laminated": (250, 800),
              "popcorn": (250, 700)}  # fmt: skip
"""Pattern of benign calcification → HU of the calcified part."""

ATTACHMENTS = {"none": 0.5, "juxtapleural": 0.2, "perivascular": 0.18, "perifissural": 0.12}
"""How often a nodule touches what."""


def draw_nodule(scene: Scene, rng: np.random.Generator, kind: str, difficulty: str) -> Patch | None:
    """Draw a nodule somewhere; None if it does not fit there."""
    low, high = DIAMETER_MM[kind][difficulty]
    diameter = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    attachment = str(rng.choice(list(ATTACHMENTS), p=list(ATTACHMENTS.values())))
    place = place_in_lung(scene, rng, 0.5 * diameter, attachment)
    if place is None:
        return None
    spiculated = kind in ("solid_nodule", "part_solid_nodule") and diameter > 6
    margin = str(rng.choice(["smooth", "lobulated", "spiculated"],
                            p=[0.4, 0.35, 0.25] if spiculated else [0.55, 0.45, 0]))  # fmt: skip
    reach = diameter * (1.35 if margin == "spiculated" else 0.8) + 3
    if attachment in ("perivascular", "perifissural"):
        reach = max(reach, 0.5 * diameter + 9)
    patch = Patch(scene, nested_around(scene, place, reach, spacing_for(diameter)))
    room = lung_share(patch)
    glassy = kind in ("ground_glass_nodule", "part_solid_nodule")
    shape = "lobulated" if glassy and margin == "smooth" and rng.random() < 0.6 else margin
    surface = _surface(patch.grid, place, diameter, shape, rng)
    body = patch.inside(surface) * room
    aerated = patch.share(Tissue.LUNG_RIGHT, Tissue.LUNG_LEFT)
    own = body > 0.5
    least = 0.25 if attachment == "juxtapleural" else 0.6
    if own.sum() * patch.grid.spacing_mm**3 < least * np.pi / 6 * diameter**3:
        return None
    if aerated[own].mean() < 0.7:
        return None

    if attachment == "perivascular":
        draw_vessel(patch, place, rng, radius_mm=float(rng.uniform(0.7, 1.3)))
    if attachment == "perifissural":
        draw_fissure(patch, place, rng)
    lung_hu = float(np.median(patch.base[own & (aerated > 0.7)]))
    extra: dict[str, object] = {"glass_contrast_hu": None}
    if glassy:
        part = difficulty if kind == "ground_glass_nodule" else "easy"
        contrast = float(rng.uniform(*GLASS_CONTRAST_HU[part]))
        if kind == "ground_glass_nodule" and difficulty == "hard" and diameter < 6.5:
            contrast = float(rng.uniform(*GLASS_CONTRAST_HU["medium"]))
        extra["glass_contrast_hu"] = round(contrast, 1)
        patch.raise_to(_soft(patch, surface, room, rng), _glass(patch, lung_hu + contrast, rng))
    if kind == "part_solid_nodule":
        extra["solid_part_mm"] = round(_solid_part(patch, place, diameter, body, rng), 1)
    if kind in ("solid_nodule", "calcified_nodule"):
        hu = float(rng.uniform(*SOLID_HU))
        patch.lay(body, hu + 5 * cloud(patch.grid, rng, 2.0))
    if kind == "calcified_nodule":
        extra["pattern"] = _calcify(patch, place, diameter, surface, body, rng)
    if margin == "spiculated":
        _spicules(patch, place, diameter, room, rng)
    patch.mask = own
    long_axis, short_axis = axial_axes_mm(own, patch.grid.spacing_mm)
    patch.site = lobe_of(scene, place)
    patch.extra = extra | {
        "type": kind.removesuffix("_nodule"),
        "mean_diameter_mm": round(0.5 * (long_axis + short_axis), 1),
        "long_axis_mm": round(long_axis, 1),
        "short_axis_mm": round(short_axis, 1),
        "lobe": patch.site,
        "attachment": attachment,
        "margin": margin,
    }
    return patch


def _surface(
    grid: FineGrid,
    place: npt.NDArray[np.float64],
    diameter: float,
    margin: str,
    rng: np.random.Generator,
) -> FloatArray:
    """Return the signed distance to a nodule's surface, mm."""
    ratio = np.exp(np.clip(rng.normal(0, 0.13, 3), -0.28, 0.28))
    ratio /= ratio.prod() ** (1 / 3)
    frame = frame_along(rng.standard_normal(3), rng)
    surface = ball(grid, place, 0.5 * diameter * ratio, frame)
    wave = {"smooth": 0.03, "lobulated": 0.1, "spiculated": 0.075}[margin]
    surface += np.float32(wave * diameter) * cloud(grid, rng, 0.36 * diameter)
    surface += np.float32(0.3 * wave * diameter) * cloud(grid, rng, 0.16 * diameter)
    return surface


def _soft(
    patch: Patch, surface: FloatArray, room: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the share of ground glass: its edge is blurred over 1 to 2.6 mm."""
    return patch.inside(surface, float(rng.uniform(1.0, 2.6))) * room


def _glass(patch: Patch, hu: float, rng: np.random.Generator) -> FloatArray:
    """Return the HU of ground glass, which is not even."""
    return (hu + 36 * cloud(patch.grid, rng, 1.5) + 26 * cloud(patch.grid, rng, 3.5)).astype(
        np.float32
    )


def _solid_part(
    patch: Patch,
    place: npt.NDArray[np.float64],
    diameter: float,
    body: FloatArray,
    rng: np.random.Generator,
) -> float:
    """Draw a solid core off the centre; return its mean axial diameter, mm."""
    part = diameter * float(rng.uniform(0.32, 0.72))
    drift = rng.standard_normal(3)
    drift *= rng.uniform(0, 0.9) * 0.5 * (diameter - part) / np.linalg.norm(drift)
    core = _surface(patch.grid, place + drift, part, "lobulated", rng)
    share = patch.inside(core) * body
    patch.lay(share, float(rng.uniform(*SOLID_HU)) + 6 * cloud(patch.grid, rng, 2.0))
    return float(np.mean(axial_axes_mm(share > 0.5, patch.grid.spacing_mm)))


def _calcify(
    patch: Patch,
    place: npt.NDArray[np.float64],
    diameter: float,
    surface: FloatArray,
    body: FloatArray,
    rng: np.random.Generator,
) -> str:
    """Calcify a solid nodule in one of the benign patterns; return which."""
    patterns = ("diffuse", "central", "laminated", "popcorn")
    pattern = "diffuse" if diameter < 6 else str(rng.choice(patterns, p=[0.4, 0.25, 0.15, 0.2]))
    depth = -surface / (0.5 * diameter)
    if pattern == "diffuse":
        share = patch.inside(surface + 0.06 * diameter)
    elif pattern == "central":
        share = patch.inside(ball(patch.grid, place, 0.5 * diameter * rng.uniform(0.35, 0.6)))
    elif pattern == "laminated":
        share = np.clip(2.2 * np.cos(2 * np.pi * depth / 0.45) + 0.3, 0, 1).astype(np.float32)
    else:
        share = np.clip(1.6 * cloud(patch.grid, rng, 0.22 * diameter) + 0.1, 0, 1)
        share = share.astype(np.float32) * patch.inside(surface + 0.08 * diameter)
    hu = float(rng.uniform(*CALCIUM_HU[pattern]))
    lung = patch.share(*LUNG)  # no calcium in the pleura's voxels, which hold little lung
    patch.lay(share * body * lung, hu * (1 + 0.12 * cloud(patch.grid, rng, 1.5)), own=False)
    return pattern


def _spicules(
    patch: Patch,
    place: npt.NDArray[np.float64],
    diameter: float,
    room: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Draw strands that radiate from a nodule."""
    radius = 0.5 * diameter
    strands = np.full(patch.grid.shape, 99.0, np.float32)
    for _ in range(int(rng.integers(9, 22))):
        direction = rng.standard_normal(3)
        direction /= np.linalg.norm(direction)
        bend = 0.12 * radius * rng.standard_normal(3)
        length = radius * rng.uniform(0.3, 1.1) * min(1, diameter / 11)
        points = [
            place + 0.7 * radius * direction,
            place + (radius + 0.4 * length) * direction + bend,
            place + (radius + length) * direction + 1.5 * bend,
        ]
        thick = rng.uniform(0.35, 0.65)
        np.minimum(
            strands,
            tube(patch.grid, points, [1.7 * thick, thick, 0.2], reach_mm=0.6),
            out=strands,
        )
    patch.raise_to(patch.inside(strands) * room, float(rng.uniform(-150, 10)), own=False)


def axial_axes_mm(mask: npt.NDArray[np.bool_], spacing_mm: float) -> tuple[float, float]:
    """Return the long axis and the width across it in the axial section of largest area, mm.

    Parameters
    ----------
    mask : (S, R, C) ndarray of bool
        A nodule; of several pieces in the section the largest is measured.
    spacing_mm : float
        Edge of the voxels.

    Returns
    -------
    tuple of float
        Calliper widths at steps of 5°; a voxel has a width of its own. 0, 0 for an empty mask.
    """
    if not mask.any():
        return 0.0, 0.0
    plane = mask[int(mask.sum(axis=(1, 2)).argmax())]
    pieces, count = ndimage.label(plane)
    if count > 1:
        plane = pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax())
    places = np.argwhere(plane & ~ndimage.binary_erosion(plane))
    angle = np.deg2rad(np.arange(0, 180, 5))
    along = places @ np.stack([np.sin(angle), np.cos(angle)])
    width = along.max(axis=0) - along.min(axis=0) + 1
    longest = int(np.round(width, 6).argmax())  # of equal ones the first, wherever the mask lies
    return float(width[longest] * spacing_mm), float(width[(longest + 18) % 36] * spacing_mm)
