"""Draw blood in the aorta's wall, around a ruptured aorta, and in the pericardium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.aorta.segments import (
    MOVABLE,
    Segment,
    radius_at,
    ramp,
    segments,
    wave,
)
from networks.phantoms.lesions.brush import Patch, ball, cloud
from networks.phantoms.lesions.heart import HEART, HeartFrame
from networks.phantoms.lesions.nested import nested_around, nested_grid
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

AROUND_HEART_MM = 17.0
"""How far the patch of a blood-filled pericardium reaches beyond the heart."""


@dataclass
class Layer:
    """A piece of the aorta with a crescent in it."""

    segment: Segment
    wall_mm: FloatArray
    """Distance from the wall after it has moved out, negative inside."""
    share: FloatArray
    """How much of each voxel the crescent takes, 0 to 1."""

    def finish(self, contrast_hu: float | FloatArray, blood_hu: float) -> Patch:
        """Paint the crescent, `contrast_hu` over the blood."""
        hu = self.segment.widened(self.wall_mm, blood_hu) + self.share * contrast_hu
        self.segment.paint(hu, self.share > 0.5)
        return self.segment.patch


@dataclass
class Crescent:
    """The geometry of blood or plaque along one side of the wall.

    Attributes
    ----------
    first_mm, last_mm : float
        Arc of the ends along the aorta's axis.
    thick_mm : float
        At the thickest.
    half_degrees : float
        From the middle of the crescent to its tip, around the axis.
    turn, twist : float
        Angle of the middle at the start, radians, and its change, radians a mm.
    outwards : float
        Share of the thickness by which the outer wall moves out.
    rough_mm : float
        SD of the inner surface.
    """

    first_mm: float
    last_mm: float
    thick_mm: float
    half_degrees: float
    turn: float
    twist: float
    outwards: float
    rough_mm: float
    seed: int

    def paint(self, course: AortaCourse) -> list[Layer]:
        """Lay the crescent out piece by piece, not yet into the patches' HU."""
        rng = np.random.default_rng(self.seed)
        along_wave, across_wave = wave(rng, 19.0, 33.0, 61.0), wave(rng, 7.0, 12.0)
        taper = min(30.0, 0.4 * (self.last_mm - self.first_mm))
        edge = np.cos(np.deg2rad(self.half_degrees))
        layers = []
        margin = self.outwards * self.thick_mm + 4
        for segment in segments(course, self.first_mm, self.last_mm, margin_mm=margin):
            arc = segment.arc_mm
            along, across = segment.turned(self.turn + self.twist * (arc - self.first_mm))
            radius = radius_at(course, arc)
            facing = along / np.maximum(np.hypot(along, across), 0.5)
            round_the_wall = np.clip((facing - edge) / (1 - edge), 0, 1) ** 0.6
            shape = ramp(arc, self.first_mm, self.last_mm, taper)
            thick = self.thick_mm * shape * round_the_wall * (1 + 0.1 * along_wave(arc))
            rough = self.rough_mm * across_wave(across + 0.4 * arc) * np.clip(thick / 3, 0, 1)
            thick = np.clip(thick + rough, 0, 1.1 * radius)
            patch = segment.patch
            wall = (segment.wall_mm - self.outwards * thick).astype(np.float32)
            inner = patch.inside(-(segment.wall_mm + (1 - self.outwards) * thick))
            room = np.maximum(patch.inside(segment.wall_mm), segment.room)
            share = patch.inside(wall) * inner * room * segment.own
            share = share * np.clip(thick / patch.grid.spacing_mm, 0, 1)
            layers.append(Layer(segment, wall, share.astype(np.float32)))
        return layers


def bulge(
    course: AortaCourse,
    rng: np.random.Generator,
    middle_mm: float,
    *,
    length_mm: float,
    wider_mm: float,
    turn: float | None,
    blood: float,
) -> list[Segment]:
    """Widen the aorta by a bulge: blood where fat or lung was.

    Parameters
    ----------
    middle_mm : float
        Arc of the widest place.
    length_mm, wider_mm : float
        Length of the bulge along the axis, and how far the wall moves.
    turn : float, optional
        Direction, radians from the first normal, of a bulge to one side; None widens all around.
    blood : float
        HU of what fills it.
    """
    first = max(middle_mm - 0.5 * length_mm, 4.0)
    last = min(middle_mm + 0.5 * length_mm, course.length_mm - 4)
    uneven = wave(rng, 31.0, 57.0)
    pieces = segments(course, first, last, margin_mm=wider_mm + 4)
    for segment in pieces:
        shape = ramp(segment.arc_mm, first, last, 0.45 * (last - first))
        out = wider_mm * shape * (1 + 0.12 * uneven(segment.arc_mm))
        if turn is not None:
            along, across = segment.turned(turn)
            facing = along / np.maximum(np.hypot(along, across), 0.5)
            out = out * np.clip(0.5 + 0.5 * facing, 0, 1)
        wall = (segment.wall_mm - out).astype(np.float32)
        new = (wall < 0) & (segment.wall_mm > 0) & (segment.room > 0.5)
        segment.paint(segment.widened(wall, blood), new)
    return pieces


def around_the_aorta(
    course: AortaCourse, rng: np.random.Generator, index: int, *, size_mm: float, hu: float
) -> Patch:
    """Draw blood that has left the aorta: dense strands and lakes in the fat beside it."""
    scene = course.scene
    radius = float(course.radius_mm[index])
    angle = rng.uniform(0, 2 * np.pi)
    out = (np.cos(angle) * course.first_normal[index]
           + np.sin(angle) * course.second_normal[index])  # fmt: skip
    place = course.points_mm[index] + (radius + 0.35 * size_mm) * out
    reach = size_mm * np.array([1.5, 1.25, 1.25]) + 5
    patch = Patch(scene, nested_around(scene, place, reach, 1.0))
    lake = ball(patch.grid, place, size_mm * np.array([1.25, 0.8, 0.8]))
    lake += np.float32(0.22 * size_mm) * cloud(patch.grid, rng, 0.5 * size_mm)
    lake += np.float32(0.07 * size_mm) * cloud(patch.grid, rng, 4.0)
    fat = patch.share(Tissue.MEDIASTINAL_FAT, Tissue.VISCERAL_FAT, Tissue.PERICARDIAL_FAT)
    room = np.clip(1.4 * fat - 0.1, 0, 1)
    grain = hu + 5 * cloud(patch.grid, rng, 5.0)
    patch.raise_to(patch.inside(lake, 2.0) * room, grain)
    strands = np.clip(1.3 * cloud(patch.grid, rng, 4.0) - 0.9, 0, 0.8) * (lake < 9)
    patch.raise_to((strands * room).astype(np.float32), hu - 15, own=False)
    return patch


def pericardial_blood(scene: Scene, rng: np.random.Generator) -> Patch:
    """Draw blood in the pericardial sac: a layer around the heart, thickest behind.

    Raises
    ------
    NoPlaceError
        When the heart is not in view.
    """
    heart = HeartFrame(scene)
    voxels = np.argwhere(scene.tissue(*HEART)) * scene.spacing_mm + scene.origin_mm
    low, high = voxels.min(axis=0) - AROUND_HEART_MM, voxels.max(axis=0) + AROUND_HEART_MM
    patch = Patch(scene, nested_grid(scene, low, high, 1.5))
    away = heart.distance_on(patch.grid)
    _, y, _ = patch.grid.offsets(heart.centre_mm)
    thick = float(rng.uniform(4, 9)) * (1 + 0.5 * np.clip(y / 45, -1, 1))
    thick = thick * np.clip(1 + 0.25 * cloud(patch.grid, rng, 22.0), 0.2, 2)
    layer = patch.inside(np.maximum(away - thick, -away + 0.8))
    room = np.clip(1.5 * patch.share(*MOVABLE) - 0.2, 0, 1)
    z = patch.grid.axes[0][:, None, None]
    great_vessels = heart.root_mm()[0] + 8  # the sac ends a little above the root
    low = np.clip((great_vessels - z) / 8, 0, 1)
    hu = float(rng.uniform(38, 62))
    patch.raise_to((layer * room * low).astype(np.float32), hu + 3 * cloud(patch.grid, rng, 6.0))
    patch.mask &= ndimage.binary_opening(patch.mask)
    return patch
