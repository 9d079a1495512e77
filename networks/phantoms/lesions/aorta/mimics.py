"""What looks like an acute aorta and is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.aorta.dissection import blood_hu
from networks.phantoms.lesions.aorta.haematoma import Crescent, bulge
from networks.phantoms.lesions.aorta.segments import ramp, segments, wave
from networks.phantoms.lesions.aorta.wall import wall_plaque
from networks.phantoms.lesions.brush import Patch, cloud

Draw = Callable[[AortaCourse, np.random.Generator], list[Patch]]


def mural_calcified_plaque(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Draw calcium where it belongs, at the wall; more of it and larger in the old."""
    age = course.scene.anatomy.patient.age_years
    many = float(np.clip((age - 40) / 40, 0.15, 1.0))
    count = int(rng.integers(2, 4 + round(10 * many)))
    # calcium gathers in the arch and above the bifurcation
    places = course.length_mm * rng.beta(0.9, 0.9, count)
    return [
        wall_plaque(course, rng, int(np.clip(course.index(place), 4, len(course.points_mm) - 5)),
                    calibre=0.7 + 0.5 * many)
        for place in places
    ]  # fmt: skip


def unfolded_aorta(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Widen and bend the descending aorta of the old to the left, without anything in it."""
    low = course.subclavian_mm + 20
    middle = float(rng.uniform(low, max(low + 30, 0.65 * course.length_mm)))
    index = course.index(middle)
    left = np.array([0.0, 0.0, 1.0])
    turn = np.arctan2(left @ course.second_normal[index], left @ course.first_normal[index])
    pieces = bulge(
        course, rng, middle, length_mm=float(rng.uniform(70, 170)),
        wider_mm=float(rng.uniform(3, 9)), turn=float(turn + rng.normal(0, 0.3)),
        blood=blood_hu(course.scene),
    )  # fmt: skip
    return [piece.patch for piece in pieces]


def ectasia(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Widen a stretch of the aorta all around by 2 to 7 mm: dilated, not dissected."""
    ascending = course.top > 0 and rng.random() < 0.6
    middle = (
        float(rng.uniform(0.25, 0.6)) * course.subclavian_mm
        if ascending
        else float(rng.uniform(0.35, 0.95)) * course.length_mm
    )
    pieces = bulge(
        course, rng, middle, length_mm=float(rng.uniform(50, 120)),
        wider_mm=float(rng.uniform(2, 7)), turn=None, blood=blood_hu(course.scene),
    )  # fmt: skip
    return [piece.patch for piece in pieces]


def streak(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Draw faint straight lines through the aorta, as leads and arms beside the body cause.

    Unlike a flap they run straight on beyond the wall, and stay in the plane of the slice.
    """
    index = int(rng.integers(6, len(course.points_mm) - 6))
    place = course.points_mm[index] + [0, *rng.normal(0, 4, 2)]
    half_z = float(rng.uniform(2.5, 9))
    patch = Patch(course.scene, FineGrid.around(place, (half_z + 2, 48, 48), 0.8))
    z, y, x = patch.grid.offsets(place)
    angle = rng.uniform(0, np.pi)
    total = np.zeros(patch.grid.shape, np.float32)
    for _ in range(int(rng.integers(1, 5))):
        lean = angle + rng.normal(0, 0.05)
        across = np.cos(lean) * y - np.sin(lean) * x + rng.normal(0, 7)
        along = np.sin(lean) * y + np.cos(lean) * x
        wide = rng.uniform(0.7, 1.5)
        line = np.exp(-0.5 * (across / wide) ** 2)
        line *= np.clip(1.25 - np.hypot(along, across) / 40, 0, 1)
        line = line * np.clip(1 - (np.abs(z) / half_z) ** 4, 0, 1)
        total += rng.choice([-1.0, 1.0]) * rng.uniform(8, 25) * line.astype(np.float32)
    patch.hu = patch.base + total
    patch.mask = (np.abs(total) > 5) & (course.wall_on(patch.grid) < 0)
    return [patch] if patch.mask.any() else []


def pulsation_double_contour(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Draw the ghost of the beating ascending aorta: two crescents on opposite sides of its wall.

    A line of lower HU inside and half of the blood's contrast outside look like a flap and a false
    lumen.
    """
    if not course.top:
        return []
    middle = float(rng.uniform(28, 62))
    half = float(rng.uniform(12, 26))
    first, last = max(middle - half, 4.0), middle + half
    turn, out = float(rng.uniform(0, np.pi)), float(rng.uniform(1.8, 3.6))
    patches = []
    for segment in segments(course, first, last, margin_mm=out + 4):
        along, across = segment.turned(turn)
        facing = (along / np.maximum(np.hypot(along, across), 0.5)) ** 2
        shape = ramp(segment.arc_mm, first, last, 10.0)
        side = np.clip(2.4 * facing - 1.4, 0, 1) * shape * segment.own
        patch, wall = segment.patch, segment.wall_mm
        ghost = patch.inside(wall - out * side) * (1 - patch.inside(wall)) * segment.room
        ghost = ghost * rng.uniform(0.45, 0.75)
        gap = np.exp(-0.5 * ((wall + 1.2) / 0.8) ** 2) * side * patch.inside(wall)
        hu = patch.base + ghost * (blood_hu(course.scene) - patch.base)
        hu = hu - rng.uniform(15, 38) * gap
        segment.paint(hu, (ghost > 0.25) | (gap > 0.5))
        patches.append(patch)
    return patches


def mural_thrombus(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Draw atheroma: 20 to 40 HU, rough, with its calcium outside it, at the wall."""
    length = float(rng.uniform(25, 90))
    first = float(rng.uniform(course.subclavian_mm, max(course.length_mm - length - 8, 1.0)))
    crescent = Crescent(
        first_mm=first, last_mm=first + length, thick_mm=float(rng.uniform(2.5, 7)),
        half_degrees=float(rng.uniform(45, 120)), turn=float(rng.uniform(0, 2 * np.pi)),
        twist=float(rng.normal(0, 0.01)), outwards=0.0, rough_mm=float(rng.uniform(0.4, 1.0)),
        seed=int(rng.integers(2**31)),
    )  # fmt: skip
    lower = float(rng.uniform(20, 40)) - blood_hu(course.scene)
    patches = []
    for layer in crescent.paint(course):
        grain = lower + 3 * cloud(layer.segment.patch.grid, rng, 4.0)
        patches.append(layer.finish(grain, blood_hu(course.scene)))
    for _ in range(int(rng.integers(1, 5))):
        index = course.index(float(rng.uniform(first, first + length)))
        patches.append(wall_plaque(course, rng, index))
    return patches


def visible_wall(course: AortaCourse, rng: np.random.Generator) -> list[Patch]:
    """Draw a wall that stands out against thin blood: an even ring, as in anaemia."""
    length = float(rng.uniform(90, 220))
    first = float(rng.uniform(4, max(course.length_mm - length - 4, 5.0)))
    last = min(first + length, course.length_mm - 2)
    thick, wall_hu = float(rng.uniform(1.2, 1.9)), float(rng.uniform(5, 12))
    thin_blood = float(rng.uniform(4, 11))
    uneven = wave(rng, 29.0, 53.0)
    patches = []
    for segment in segments(course, first, last, margin_mm=4):
        shape = ramp(segment.arc_mm, first, last, 15.0) * segment.own
        patch, wall = segment.patch, segment.wall_mm
        inside = patch.inside(wall)
        ring = inside * patch.inside(-(wall + thick * (1 + 0.1 * uneven(segment.arc_mm))))
        hu = patch.base + shape * (wall_hu * ring - thin_blood * (inside - ring))
        segment.paint(hu.astype(np.float32), (ring * shape) > 0.5)
        patches.append(patch)
    return patches


MIMICS: dict[str, Draw] = {
    "mural_calcified_plaque": mural_calcified_plaque,
    "unfolded_aorta": unfolded_aorta,
    "ectasia": ectasia,
    "streak": streak,
    "pulsation_double_contour": pulsation_double_contour,
    "mural_thrombus": mural_thrombus,
    "visible_wall": visible_wall,
}
"""Confounder → what draws it; an empty list where it found no room."""
