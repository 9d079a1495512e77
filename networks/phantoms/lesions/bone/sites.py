"""Where bone is: vertebrae by level, ribs by number, pelvis, sternum, scapulae."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.body import outline
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene
from networks.phantoms.skeleton import _RIB_END, _RIB_FALL, vertebra_levels
from networks.phantoms.tissue import Tissue

Point = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

SITES = ("vertebra", "rib", "pelvis", "sternum", "scapula")
"""Kinds of site."""

SITE_WEIGHTS = (0.5, 0.2, 0.2, 0.05, 0.05)
"""How often a metastasis is planted in each kind of site; metastases follow the red marrow, whose
largest share is in the spine (our choice, no source for the figures)."""

LEVELS = (
    *(f"L{n}" for n in range(5, 0, -1)),
    *(f"T{n}" for n in range(12, 0, -1)),
    *(f"C{n}" for n in range(7, 4, -1)),
)
"""Names of the vertebrae of `networks.phantoms.skeleton.vertebra_levels`, caudal to cranial."""

RIB_REACH_MM = 11.0
"""A rib lies within this distance of the lung, a scapula beyond it."""

VERTEBRA = (Tissue.VERTEBRA_CORTEX, Tissue.VERTEBRA_MARROW)
FLAT_BONE = (Tissue.BONE_CORTEX, Tissue.BONE_MARROW)
LUNG = (
    Tissue.LUNG_RIGHT,
    Tissue.LUNG_LEFT,
    Tissue.LUNG_RIGHT_VESSEL,
    Tissue.LUNG_LEFT_VESSEL,
)


@dataclass(frozen=True)
class Vertebra:
    """A vertebral body between two discs; points and axes are (z, y, x), LPS mm."""

    level: str
    centre_mm: Point
    frame: npt.NDArray[np.float64]
    """(3, 3): rows point along the spine upwards, backwards and to the left."""
    half_mm: tuple[float, float, float]
    """Half the height of the bone, half its depth, half its width."""
    disc_mm: float
    """Thickness of the discs."""


@dataclass(frozen=True)
class Site:
    """A place in bone."""

    kind: str
    """One of `SITES`."""
    name: str
    """``T11``, ``left_rib_6``, ``right_ilium``, ``sternum`` or ``left_scapula``."""
    point_mm: Point
    direction: Point
    """Unit vector along the bone."""
    tissues: tuple[Tissue, ...]
    vertebra: Vertebra | None = None


def vertebrae(scene: Scene) -> list[Vertebra]:
    """Find the vertebral bodies between the discs, caudal to cranial."""
    parts, _ = ndimage.label(scene.tissue(Tissue.DISC), np.ones((3, 3, 3)))
    found: list[tuple[Point, float, float, float]] = []
    spacing = scene.spacing_mm
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        place = np.argwhere(parts[box] == number) + [s.start for s in box]
        if len(place) * spacing**3 < 250:
            continue
        extent = (np.ptp(place, axis=0) + 1) * spacing
        area = len(np.unique(place[:, 1] * 10_000 + place[:, 2])) * spacing**2
        found.append(
            (
                scene.origin_mm + place.mean(axis=0) * spacing,
                0.5 * float(extent[1]),
                0.5 * float(extent[2]),
                len(place) * spacing**3 / area,
            )
        )
    found.sort(key=lambda disc: float(disc[0][0]))
    bodies = []
    for below, above in pairwise(found):
        axis = above[0] - below[0]
        length = float(np.linalg.norm(axis))
        if not 13 < length < 46:
            continue
        up = axis / length
        back = np.array([0.0, 1.0, 0.0]) - up * up[1]
        back /= np.linalg.norm(back)
        disc = 0.5 * (below[3] + above[3])
        bodies.append(
            (
                0.5 * (below[0] + above[0]),
                np.stack([up, back, np.cross(back, up)]),
                (
                    0.5 * (length - disc),
                    max(0.92 * min(below[1], above[1]), 9.0),
                    max(0.92 * min(below[2], above[2]), 11.0),
                ),
                disc,
            )
        )
    nominal = vertebra_levels().mean(axis=1) * scene.anatomy.patient.size[0]
    result = []
    for (centre, frame, half, disc), level in zip(bodies, _levels(bodies, nominal), strict=True):
        left = frame[2] if frame[2][2] > 0 else -frame[2]
        turned = np.stack([frame[0], frame[1], left])
        result.append(Vertebra(LEVELS[level], centre, turned, half, disc))
    return result


def _levels(bodies: list[tuple[Point, npt.NDArray[np.float64], tuple[float, float, float], float]],
            nominal: npt.NDArray[np.float64]) -> list[int]:  # fmt: skip
    """Return which level each body is: in order, nearest to where the levels are drawn."""
    height = np.array([body[0][0] for body in bodies])
    if not len(height):
        return []
    nearest = [int(np.abs(nominal - z).argmin()) for z in height]
    shift = round(float(np.median(np.array(nearest) - np.arange(len(height)))))
    in_order = [n + shift for n in range(len(height))]
    return in_order if in_order[0] >= 0 and in_order[-1] < len(nominal) else nearest


def in_vertebra(scene: Scene, rng: np.random.Generator, spread: float = 0.6) -> Site:
    """Draw a place within a vertebral body; `spread` is its share of the half-axes.

    Raises
    ------
    NoPlaceError
        When no whole vertebral body from C7 to L5 is in view.
    """
    bodies = [body for body in vertebrae(scene) if body.level not in ("C5", "C6")]
    if not bodies:
        raise NoPlaceError("no whole vertebra is in view")
    # a larger body holds more marrow
    weight = np.array([np.prod(body.half_mm) for body in bodies])
    body = bodies[int(rng.choice(len(bodies), p=weight / weight.sum()))]
    way = rng.uniform(-1, 1, 3) * spread * np.array(body.half_mm)
    return Site(
        "vertebra", body.level, body.centre_mm + way @ body.frame, body.frame[0], VERTEBRA, body
    )


def in_bone(scene: Scene, rng: np.random.Generator, kind: str | None = None) -> Site:
    """Draw a place in bone, in a kind of site if one is given.

    Raises
    ------
    NoPlaceError
        When there is none in view.
    """
    order = [kind] if kind else list(rng.choice(SITES, len(SITES), replace=False, p=SITE_WEIGHTS))
    for name in order:
        try:
            if name == "vertebra":
                return in_vertebra(scene, rng)
            return _in_flat_bone(scene, rng, name)
        except NoPlaceError:
            continue
    raise NoPlaceError(f"no {kind or 'bone'} is in view")


def _in_flat_bone(scene: Scene, rng: np.random.Generator, kind: str) -> Site:
    mask = _mask(scene, kind)
    point = scene.pick(mask, rng)
    if point is None:
        raise NoPlaceError(f"no {kind} is in view")
    voxel = np.array(scene.voxel(point))
    reach = int(np.ceil(18 / scene.spacing_mm))
    low = np.maximum(voxel - reach, 0)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, voxel + reach + 1, strict=True))
    bone = np.isin(scene.anatomy.labels[box], FLAT_BONE) & mask[box]
    parts, _ = ndimage.label(bone, np.ones((3, 3, 3)))
    here = parts == parts[tuple(voxel - low)]
    place = np.argwhere(here) * scene.spacing_mm + low * scene.spacing_mm + scene.origin_mm
    _, _, axes = np.linalg.svd(place - place.mean(axis=0), full_matrices=False)
    direction = axes[0]
    # to the middle of the bone's section
    offset = place - point
    close = place[np.linalg.norm(offset, axis=1) < 7]
    if len(close):
        centre = close.mean(axis=0)
        point = centre + direction * float(direction @ (point - centre))
    side = "right" if point[2] < 0 else "left"
    hip = point[0] < -262 * scene.anatomy.patient.size[0]
    name = {
        "rib": f"{side}_rib_{_rib_number(scene, point)}",
        "pelvis": f"{side}_{'hip' if hip else 'ilium'}",
        "sternum": "sternum",
        "scapula": f"{side}_scapula",
    }[kind]
    return Site(kind, name, point, direction, FLAT_BONE)


def _body_axes(scene: Scene) -> list[npt.NDArray[np.float64]]:
    """Return z, y, x of the anatomy's voxels in mm of the standard torso, without the warp."""
    size = scene.anatomy.patient.size
    return [
        ((scene.origin_mm[a] + scene.spacing_mm * np.arange(n)) / size[a]).reshape(
            [-1 if b == a else 1 for b in range(3)]
        )
        for a, n in enumerate(scene.anatomy.labels.shape)
    ]


def _mask(scene: Scene, kind: str) -> BoolArray:
    """Return the bone of a kind of site on the anatomy's grid."""
    z, y, x = _body_axes(scene)
    bone = scene.tissue(*FLAT_BONE)
    if kind == "sternum":
        return bone & (np.abs(x) < 20) & (y < -25) & (z > 95) & (z < 255)
    if kind == "pelvis":
        return bone & (z < -125) & (np.abs(x) < 128)
    by_lung = bone & _near_lung(scene)
    if kind == "rib":
        return by_lung & (np.abs(x) > 24)
    return bone & ~by_lung & (z > 115) & (z < 270) & (y > 22) & (np.abs(x) > 45) & (np.abs(x) < 132)


def _near_lung(scene: Scene) -> BoolArray:
    """Return what lies within `RIB_REACH_MM` of the lung, at a step of 3 mm or more."""
    step = max(1, round(3.0 / scene.spacing_mm))
    lung = np.isin(scene.anatomy.labels[::step, ::step, ::step], LUNG)
    close = np.zeros(lung.shape, bool)
    box = ndimage.find_objects(lung.astype(np.uint8))
    if box and box[0] is not None:
        margin = int(np.ceil(RIB_REACH_MM / (step * scene.spacing_mm))) + 1
        part = tuple(slice(max(s.start - margin, 0), s.stop + margin) for s in box[0])
        distance = ndimage.distance_transform_edt(~lung[part]) * step * scene.spacing_mm
        close[part] = distance < RIB_REACH_MM
    shape = scene.anatomy.labels.shape
    index = [np.minimum(np.arange(n) // step, m - 1) for n, m in zip(shape, close.shape)]
    return close[np.ix_(*index)]


def _rib_number(scene: Scene, point_mm: Point) -> int:
    """Return the number of the rib that is drawn nearest to a point, roughly."""
    z, y, x = point_mm / np.asarray(scene.anatomy.patient.size)
    half = float(outline("back" if y > 0 else "front", z)) + 4
    angle = float(np.degrees(np.arctan2(abs(x) / (float(outline("side", z)) + 4), y / half)))
    heads = vertebra_levels()[5:17][::-1].mean(axis=1)
    run = np.clip((angle - 13) / (np.array(_RIB_END) - 13), 0, None)
    steep = 1.0 - 0.004 * scene.anatomy.patient.breath_mm
    course = heads + 4 - np.array(_RIB_FALL) * steep * (0.35 * run + 0.65 * run**1.5)
    course = course + 4 * np.sin(np.pi * np.minimum(run, 1))
    miss = np.abs(course - z) + 40 * np.maximum(run - 1.05, 0)
    return int(miss.argmin()) + 1
