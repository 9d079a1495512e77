"""Draw a dissection: an intimal flap between two lumens, and calcium that went inside with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from networks.phantoms.lesion import FineGrid, FloatArray
from networks.phantoms.lesions.aorta.course import AortaCourse, Points
from networks.phantoms.lesions.aorta.segments import (
    Segment,
    radius_at,
    ramp,
    segments,
    wave,
)
from networks.phantoms.lesions.brush import Patch, ball, cloud, frame_along
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

DISPLACED_MM = (2.0, 8.0)
"""How far inside the wall displaced calcium lies (pipelines.md §6.3)."""


@dataclass
class Flap:
    """The geometry of one dissection.

    Attributes
    ----------
    first_mm, last_mm : float
        Arc of the ends along the aorta's axis.
    thick_mm : float
        Of the flap.
    share : float
        Place of the flap: 0 through the axis, 0.6 near the wall of the false lumen.
    curve : float
        Bulge of the flap across, against the radius.
    turn, twist : float
        Angle of the false lumen at the start, radians, and its change, radians a mm.
    wider_mm : float
        By how much the wall moves outwards.
    lumen_hu : float
        What the false lumen adds to the blood's HU, for a flap that adds `UNIT_HU`.
    """

    first_mm: float
    last_mm: float
    thick_mm: float
    share: float
    curve: float
    turn: float
    twist: float
    wider_mm: float
    lumen_hu: float
    seed: int

    UNIT_HU = 10.0

    @classmethod
    def draw(cls, rng: np.random.Generator, first_mm: float, last_mm: float, *, easy: bool) -> Flap:
        """Draw the geometry of a dissection between two arcs."""
        return cls(
            first_mm=first_mm,
            last_mm=last_mm,
            thick_mm=float(rng.uniform(1.2, 2.0) if easy else rng.uniform(1.0, 1.6)),
            share=float(rng.uniform(-0.15, 0.45)),
            curve=float(rng.normal(0.05, 0.18)),
            turn=float(rng.uniform(0, 2 * np.pi)),
            twist=float(rng.normal(0, 0.008)),
            wider_mm=float(rng.uniform(1, 7)) if easy else 0.0,
            lumen_hu=float(rng.uniform(-4, 7)),
            seed=int(rng.integers(2**31)),
        )

    def angle(self, arc_mm: FloatArray) -> FloatArray:
        """Return the direction of the false lumen, radians from the axis' first normal."""
        along = arc_mm - self.first_mm
        return (self.turn + self.twist * along + 0.2 * np.sin(along / 21)).astype(np.float32)


@dataclass
class Painted:
    """A piece of the aorta with a flap of unit contrast in it."""

    segment: Segment
    soft_hu: FloatArray
    """What flap and false lumen add, (S, R, C) HU, for a flap of `Flap.UNIT_HU`."""
    flap_mm: FloatArray
    """Distance from the middle of the flap, positive in the false lumen."""
    wall_mm: FloatArray
    """Distance from the wall after widening, negative inside."""

    def finish(self, strength: float, blood_hu: float, thick_mm: float) -> None:
        """Paint the flap at a strength, and the widening."""
        patch = self.segment.patch
        hu = self.segment.widened(self.wall_mm, blood_hu) + np.float32(strength) * self.soft_hu
        half = max(0.5 * thick_mm, 0.55 * patch.grid.spacing_mm)
        self.segment.paint(hu, (np.abs(self.flap_mm) < half) & (self.wall_mm < 0))


def paint_flap(course: AortaCourse, flap: Flap) -> list[Painted]:
    """Paint a dissection piece by piece, at unit contrast and not yet into the patches' HU."""
    rng = np.random.default_rng(flap.seed)
    across_wave, along_wave = wave(rng, 9.0, 16.0), wave(rng, 23.0, 47.0, 90.0)
    taper = min(28.0, 0.35 * (flap.last_mm - flap.first_mm))
    painted = []
    for segment in segments(course, flap.first_mm, flap.last_mm, margin_mm=flap.wider_mm + 4):
        arc = segment.arc_mm
        along, across = segment.turned(flap.angle(arc))
        radius = radius_at(course, arc)
        shape = ramp(arc, flap.first_mm, flap.last_mm, taper)
        place = flap.share + (1.15 - flap.share) * (1 - shape) + 0.06 * along_wave(arc)
        middle = radius * place + flap.curve * (across**2 / radius - radius / 3)
        middle += 0.5 * across_wave(across + 0.3 * arc)
        steep = 1 + (2 * flap.curve * across / radius) ** 2
        away = ((along - middle) / np.sqrt(steep)).astype(np.float32)
        side = 0.45 + 0.55 * np.clip(along / radius, 0, 1)
        wall = segment.wall_mm - flap.wider_mm * shape * side
        patch = segment.patch
        inside = patch.inside(wall)
        lumen = np.minimum(inside, np.maximum(patch.inside(segment.wall_mm), segment.room))
        sheet = patch.inside(np.abs(away) - 0.5 * flap.thick_mm)
        false_lumen = np.maximum(patch.inside(-away) - sheet, 0)
        soft = lumen * (flap.UNIT_HU * sheet + flap.lumen_hu * shape * false_lumen)
        soft[~segment.own] = 0
        painted.append(Painted(segment, soft.astype(np.float32), away, wall))
    return painted


def displaced_calcium(
    stage: Scene,
    course: AortaCourse,
    flap: Flap,
    painted: list[Painted],
    rng: np.random.Generator,
    *,
    faint: bool,
) -> list[Patch]:
    """Draw flecks of calcium that lie on the flap, 2 to 8 mm inside the outer wall.

    Parameters
    ----------
    stage : Scene
        The patient with the flap.
    faint : bool
        Small and thin flecks of low density.
    """
    places, angles, depths = [], [], []
    for piece in painted:
        on = (
            (np.abs(piece.flap_mm) < 0.5)
            & (piece.wall_mm < -DISPLACED_MM[0] - 0.4)
            & (piece.wall_mm > -DISPLACED_MM[1])
            & piece.segment.own
        )
        voxels = np.argwhere(on)
        grid = piece.segment.patch.grid
        places.append(np.asarray(grid.origin_mm) + voxels * grid.spacing_mm)
        angles.append(flap.angle(piece.segment.arc_mm[on]))
        depths.append(-piece.wall_mm[on])
    place, angle, depth = (np.concatenate(part) for part in (places, angles, depths))
    if not len(place):
        return []
    flecks = []
    for n in rng.choice(len(place), int(rng.integers(1, 4) if faint else rng.integers(2, 9))):
        index = int(np.linalg.norm(course.points_mm - place[n], axis=1).argmin())
        out = (np.cos(angle[n]) * course.first_normal[index]
               + np.sin(angle[n]) * course.second_normal[index])  # fmt: skip
        patch = _fleck(stage, place[n], out, rng, faint=faint)
        patch.extra = {"part": "displaced_calcium", "inside_wall_mm": round(float(depth[n]), 1)}
        flecks.append(patch)
    return flecks


def _fleck(
    stage: Scene, place: Points, out: Points, rng: np.random.Generator, *, faint: bool
) -> Patch:
    """Draw one plate of calcium that lies flat on the flap."""
    size = float(rng.uniform(0.7, 1.2) if faint else np.exp(rng.uniform(0, np.log(4))))
    patch = Patch(stage, FineGrid.around(place, size + 3, 0.45))
    flat = [0.55 if faint else rng.uniform(0.6, 0.9), size, size * rng.uniform(0.5, 1)]
    surface = ball(patch.grid, place, flat, frame_along(out, rng))
    surface += np.float32(0.15) * cloud(patch.grid, rng, 2.0)
    hu = float(rng.uniform(150, 260) if faint else rng.uniform(250, 800))
    patch.raise_to(patch.inside(surface), hu)
    if not patch.mask.any():
        patch.mask[np.unravel_index(surface.argmin(), surface.shape)] = True
    return patch


def blood_hu(scene: Scene) -> float:
    """Return the HU of the blood in the aorta, as drawn for this patient."""
    return float(scene.table.mean[Tissue.AORTA])


def lumen_volumes_mm3(painted: list[Painted]) -> tuple[float, float]:
    """Return the volume of the true and of the false lumen along a dissection, mm³."""
    true = false = 0.0
    for piece in painted:
        inside = (piece.wall_mm < 0) & piece.segment.own
        voxel = piece.segment.patch.grid.spacing_mm**3
        false += float((inside & (piece.flap_mm > 0)).sum()) * voxel
        true += float((inside & (piece.flap_mm <= 0)).sum()) * voxel
    return true, false
