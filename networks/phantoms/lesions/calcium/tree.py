"""The coronary arteries, which the anatomy does not draw, in the fat on the heart's surface.

The courses are the textbook's: two arteries leave the aortic root, the right one and the circumflex
run around the heart in the groove between atria and ventricles, the anterior descending one runs
in the groove between the ventricles to the apex.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions.brush import Patch, cloud, tube
from networks.phantoms.lesions.heart import FAT, HEART, HeartFrame
from networks.phantoms.lesions.nested import nested_grid
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

Points = npt.NDArray[np.float64]

TERRITORIES = ("LM", "LAD", "LCX", "RCA")
"""Left main, left anterior descending, left circumflex and right coronary artery; a label map
numbers them from 1. Side branches belong to the artery that they leave."""

TREE = "coronary_tree"
"""Kind of the lesions that hold the arteries."""

SPACING_MM = 0.75
"""Largest voxel edge of the arteries' patches."""

WALL_MM = 0.35
"""Wall of an artery, which belongs to its mask."""

COURSE_STEP_MM = 2.0
"""Between the points of a course that the truth holds."""

CARVED = (*HEART, *FAT)
"""Where the fat of the grooves may replace what is there."""

GROOVE = 0.36
"""Place of the groove between atria and ventricles along the long axis, from base to apex."""

# angles in degrees around the long axis: 0 in front and above, 90 to the left and behind
LAD_ANGLE, LCX_ANGLES, RCA_ANGLES, PDA_ANGLE = -4.0, (28.0, 142.0), (-52.0, -168.0), 186.0


@dataclass(frozen=True)
class Course:
    """One artery with its side branches, as tubes.

    Attributes
    ----------
    territory : str
        One of `TERRITORIES`.
    points_mm : (n, 3) ndarray of float64
        Axis (z, y, x) LPS mm, from the ostium on; branches follow the main course.
    radius_mm : (n,) ndarray of float64
        Of the lumen.
    """

    territory: str
    points_mm: Points
    radius_mm: npt.NDArray[np.float64]


def coronaries(scene: Scene, rng: np.random.Generator) -> list[Lesion]:
    """Draw the coronary arteries and the fat they lie in.

    Parameters
    ----------
    scene : Scene
        The patient; not changed.
    rng : Generator
        Draws the courses, their width and the fat.

    Returns
    -------
    list of Lesion
        One for each of `TERRITORIES`, which is no finding: ``territory``, ``course_lps_mm`` and
        ``radius_mm`` in its truth, the arteries' lumen and wall as its mask.

    Raises
    ------
    NoPlaceError
        When the heart is not in view.
    """
    heart = HeartFrame(scene)
    courses = draw_courses(heart, rng)
    places = np.concatenate([course.points_mm for course in courses])
    margin = 10.0
    low, high = places.min(axis=0) - margin, places.max(axis=0) + margin
    grid = nested_grid(scene, low, high, SPACING_MM)
    patch = Patch(scene, grid)
    lean = 0.06 * (scene.anatomy.patient.bmi - 24)
    depth = float(np.clip(3.6 + lean + rng.normal(0, 0.6), 2.0, 5.5))
    lumen = np.full(grid.shape, 99.0, np.float32)
    groove = np.full(grid.shape, 99.0, np.float32)
    owner = np.zeros(grid.shape, np.uint8)
    for number, course in enumerate(courses):
        for part in _branches(course):
            distance = tube(grid, part.points_mm, part.radius_mm, reach_mm=1.5)
            around = tube(grid, part.points_mm, part.radius_mm + depth, reach_mm=3.5)
            nearer = around < groove
            groove[nearer] = around[nearer]
            owner[nearer] = number
            np.minimum(lumen, distance, out=lumen)
    room = np.clip(patch.share(*CARVED) * 2 - 0.4, 0, 1)
    groove += np.float32(1.5) * cloud(grid, rng, 8.0)
    fat = float(scene.table.mean[Tissue.PERICARDIAL_FAT]) + 7 * cloud(grid, rng, 2.5)
    patch.lay(patch.inside(groove, 2.2) * room, fat, own=False)
    patch.lay(patch.inside(lumen), float(scene.table.mean[Tissue.LEFT_HEART]) - 2)
    patch.mask = lumen < WALL_MM
    found = []
    for number, course in enumerate(courses):
        own = copy.copy(patch)
        mine = owner == number
        own.hu = np.where(mine, patch.hu, patch.base)
        own.mask = patch.mask & mine
        own.site = course.territory
        own.extra = {
            "territory": course.territory,
            "course_lps_mm": np.round(course.points_mm[:, ::-1], 1).tolist(),
            "radius_mm": np.round(course.radius_mm, 2).tolist(),
        }
        found.append(own.lesion(check="calcium", kind=TREE, is_finding=False))
    return found


def tree_of(scene: Scene) -> list[Lesion]:
    """Return the arteries that a scene already holds, in the order of `TERRITORIES`."""
    tree = [lesion for lesion in scene.lesions if lesion.kind == TREE]
    return sorted(tree, key=lambda lesion: TERRITORIES.index(lesion.extra["territory"]))


def course_of(lesion: Lesion) -> Course:
    """Return the course of an artery from its truth."""
    points = np.asarray(lesion.extra["course_lps_mm"], np.float64)[:, ::-1]
    return Course(lesion.extra["territory"], points, np.asarray(lesion.extra["radius_mm"]))


def draw_courses(heart: HeartFrame, rng: np.random.Generator) -> list[Course]:
    """Draw the courses of the four arteries of one heart, in the order of `TERRITORIES`."""
    calibre = float(np.clip(rng.normal(1.0, 0.12), 0.78, 1.3))
    groove = GROOVE + float(rng.normal(0, 0.02))
    tilt = float(rng.normal(0, 5))

    def ring(first: float, last: float, share: float, count: int = 9) -> list[Points]:
        return [heart.surface(share, angle + tilt) for angle in np.linspace(first, last, count)]

    def down(angle: float, start: float, end: float, count: int = 8) -> list[Points]:
        return [heart.surface(share, angle + tilt) for share in np.linspace(start, end, count)]

    def fine(knots: list[Points]) -> Points:
        return _winding(heart, knots, rng)

    root = heart.root_mm()
    lad = down(LAD_ANGLE, groove + 0.08, float(rng.uniform(0.9, 0.97)))
    last = LCX_ANGLES[0] + (LCX_ANGLES[1] - LCX_ANGLES[0]) * float(rng.uniform(0.65, 1.0))
    lcx = ring(LCX_ANGLES[0], last, groove - 0.03)
    rca = ring(*RCA_ANGLES, groove - 0.02, 11)
    left = root + _towards(root, 0.6 * lad[0] + 0.4 * lcx[0], 14.0)
    right = root + _towards(root, rca[0], 14.0)
    descending = fine([left, *lad])
    fork = int(np.clip(round(float(rng.uniform(7, 13)) / COURSE_STEP_MM), 3, 7))
    main, descending = descending[: fork + 1], descending[fork:]
    circumflex = fine([main[-1], *lcx])
    right_artery = fine([right, *rca])
    diagonal = fine([descending[len(descending) // 4], *down(28, 0.6, 0.78, 3)])
    marginal = fine([circumflex[len(circumflex) // 2], *down(82, 0.54, 0.74, 3)])
    posterior = fine([right_artery[-1], *down(PDA_ANGLE, groove + 0.12, 0.78, 4)])
    wide = calibre * np.array([2.2, 1.85, 1.7, 1.9])
    return [
        _course("LM", (main, wide[0], 0.95)),
        _course("LAD", (descending, wide[1], 0.5), (diagonal, 1.0 * calibre, 0.7)),
        _course("LCX", (circumflex, wide[2], 0.55), (marginal, 1.0 * calibre, 0.7)),
        _course("RCA", (right_artery, wide[3], 0.7), (posterior, 1.05 * calibre, 0.7)),
    ]


def _towards(start: Points, goal: Points, length_mm: float) -> Points:
    way = goal - start
    return way * (length_mm / max(float(np.linalg.norm(way)), 1e-6))


def _winding(heart: HeartFrame, knots: list[Points], rng: np.random.Generator) -> Points:
    """Lead a path over the heart from knot to knot, smooth and a little winding."""
    path = heart.over(_even(np.asarray(knots, np.float64)))
    path = _even(ndimage.gaussian_filter1d(path, 1.2, axis=0, mode="nearest"))
    wind = ndimage.gaussian_filter1d(rng.standard_normal(path.shape), 2.5, axis=0)
    along = COURSE_STEP_MM * np.arange(len(path))
    path[1:] += (1.7 * wind * np.clip(along / 10, 0, 1)[:, None])[1:]
    return path


def _even(path: Points) -> Points:
    """Return points of a path `COURSE_STEP_MM` apart."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1) + 1e-9)])
    fine = np.linspace(0, length[-1], max(4, round(length[-1] / COURSE_STEP_MM) + 1))
    return np.stack([np.interp(fine, length, path[:, axis]) for axis in range(3)], axis=-1)


def _course(territory: str, *parts: tuple[Points, float, float]) -> Course:
    """Join paths that each taper to a share of their radius."""
    points = np.concatenate([path for path, _, _ in parts])
    radii = [radius * np.linspace(1, taper, len(path)) for path, radius, taper in parts]
    return Course(territory, points, np.concatenate(radii))


def _branches(course: Course) -> list[Course]:
    """Cut a course where the next point is not its neighbour."""
    jump = np.linalg.norm(np.diff(course.points_mm, axis=0), axis=1) > 4 * COURSE_STEP_MM
    cuts = np.flatnonzero(jump) + 1
    return [
        Course(course.territory, points, radii)
        for points, radii in zip(
            np.split(course.points_mm, cuts), np.split(course.radius_mm, cuts), strict=True
        )
    ]
