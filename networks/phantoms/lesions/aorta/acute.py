"""Draw the acute syndromes to a detectability: flap, haematoma, rupture, and their company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.aorta.dissection import (
    Flap,
    Painted,
    blood_hu,
    displaced_calcium,
    lumen_volumes_mm3,
    paint_flap,
)
from networks.phantoms.lesions.aorta.haematoma import (
    Crescent,
    around_the_aorta,
    bulge,
    pericardial_blood,
)
from networks.phantoms.lesions.brush import DPRIME, Judge, Patch, difficulty_of
from networks.phantoms.scene import Scene

Drawn = tuple[list[Patch], dict[str, Any], float]
"""Patches, the truth about the finding, and d′ of its soft parts together."""

TRIES = 8
"""Drawings of one finding before the nearest is taken."""

EXTENT_MM = {"easy": (120, 400), "medium": (70, 220), "hard": (40, 110)}
"""Length along the aorta that is drawn."""

FLAP_STRENGTH = (0.3, 2.0)
"""Of a flap of 10 HU: 3 to 20 HU over the blood (pipelines.md §6.3)."""

HAEMATOMA_HU = (50.0, 75.0)
"""Fresh blood in the wall (pipelines.md §6.3)."""

HAEMATOMA_UNIT_HU = 15.0
"""Contrast at which a haematoma is painted first."""

LEAST_CONTRAST_HU = 5.0
"""Of a haematoma, where the blood itself is near 50 HU."""

CALCIUM_DISPLACED = {"easy": 0.9, "medium": 0.7, "hard": 0.5}
"""How often a dissection has displaced calcium: 70 % in all (pipelines.md §6.3)."""

TYPE_A = 0.6
"""Share of the dissections that involve the ascending aorta [M: 60–70 % in registries]."""

PERICARDIAL_BLOOD = 0.3
"""How often an easy type A finding has blood in the pericardium, which would give others away."""


def dissection(
    course: AortaCourse, rng: np.random.Generator, difficulty: str, judge: Judge
) -> Drawn:
    """Draw flap, widening, displaced calcium and, of type A, blood in the pericardium."""
    length: float | None = None
    type_a = bool(course.top) and rng.random() < TYPE_A
    goal = float(rng.uniform(*DPRIME[difficulty]))
    best: tuple[float, float, float, Flap, list[Painted]] | None = None
    for _ in range(TRIES):
        first, last = _extent(course, rng, difficulty, type_a, length)
        flap = Flap.draw(rng, first, last, easy=difficulty == "easy")
        painted = paint_flap(course, flap)
        nominal = _together([(p.segment.patch, p.soft_hu) for p in painted], judge)
        strength, reached = _strength(nominal, goal, difficulty, FLAP_STRENGTH, rng)
        miss = abs(float(np.log(max(reached, 1e-3) / goal)))
        if best is None or miss < best[0]:
            best = miss, strength, reached, flap, painted
        if difficulty_of(reached) == difficulty and reached >= DPRIME["hard"][0]:
            best = miss, strength, reached, flap, painted
            break
        length = float(np.clip((last - first) * np.clip(goal / reached, 0.4, 2), 25, 420))
    assert best is not None
    _, strength, reached, flap, painted = best
    for piece in painted:
        piece.finish(strength, blood_hu(course.scene), flap.thick_mm)
        piece.segment.patch.extra = {"part": "flap"}
    patches = [piece.segment.patch for piece in painted]
    true_lumen, false_lumen = lumen_volumes_mm3(painted)
    truth = {
        **_extent_truth(course, flap.first_mm, flap.last_mm, flap.wider_mm),
        "flap_hu": round(Flap.UNIT_HU * strength, 1),
        "flap_mm": round(flap.thick_mm, 1),
        "true_lumen_mm3": round(true_lumen),
        "false_lumen_mm3": round(false_lumen),
    }
    if rng.random() < CALCIUM_DISPLACED[difficulty]:
        stage = _staged(course.scene, patches)
        flecks = displaced_calcium(
            stage, course, flap, painted, rng, faint=difficulty == "hard"
        )  # fmt: skip
        patches += flecks
    truth["calcium_displaced"] = any("inside_wall_mm" in patch.extra for patch in patches)
    if type_a and difficulty == "easy" and rng.random() < PERICARDIAL_BLOOD:
        patches += _pericardial(course.scene, rng)
    return patches, truth, reached


def intramural_haematoma(
    course: AortaCourse, rng: np.random.Generator, difficulty: str, judge: Judge
) -> Drawn:
    """Draw a crescent of fresh blood in the wall."""
    blood = blood_hu(course.scene)
    allowed = np.maximum(np.array(HAEMATOMA_HU) - blood, LEAST_CONTRAST_HU) / HAEMATOMA_UNIT_HU
    outwards = {"easy": (0.1, 0.45), "medium": (0.0, 0.1), "hard": (0.0, 0.0)}[difficulty]
    around = {"easy": (60, 150), "medium": (50, 120), "hard": (35, 75)}[difficulty]
    thickness = {"easy": (7, 15), "medium": (5.5, 9), "hard": (5, 6.5)}[difficulty]
    goal = float(rng.uniform(*DPRIME[difficulty]))
    type_a = bool(course.top) and rng.random() < 0.5
    length: float | None = None
    narrow, best = 1.0, None
    for _ in range(TRIES):
        first, last = _extent(course, rng, difficulty, type_a, length)
        crescent = Crescent(
            first_mm=first, last_mm=last, thick_mm=float(rng.uniform(*thickness)),
            half_degrees=narrow * float(rng.uniform(*around)),
            turn=float(rng.uniform(0, 2 * np.pi)), twist=float(rng.normal(0, 0.006)),
            outwards=float(rng.uniform(*outwards)), rough_mm=0.25, seed=int(rng.integers(2**31)),
        )  # fmt: skip
        layers = crescent.paint(course)
        nominal = _together(
            [(layer.segment.patch, HAEMATOMA_UNIT_HU * layer.share) for layer in layers], judge
        )
        strength, reached = _strength(nominal, goal, difficulty, tuple(allowed), rng)
        miss = abs(float(np.log(max(reached, 1e-3) / goal)))
        if best is None or miss < best[0]:
            best = miss, strength, reached, crescent, layers
        if difficulty_of(reached) == difficulty and reached >= DPRIME["hard"][0]:
            best = miss, strength, reached, crescent, layers
            break
        length = float(np.clip((last - first) * np.clip(goal / reached, 0.4, 2), 25, 420))
        narrow = float(np.clip(narrow * (goal / reached) ** 0.5, 0.4, 1.3))
    assert best is not None
    _, strength, reached, crescent, layers = best
    contrast = HAEMATOMA_UNIT_HU * strength
    patches = [layer.finish(contrast, blood) for layer in layers]
    for patch in patches:
        patch.extra = {"part": "haematoma"}
    truth = {
        **_extent_truth(course, crescent.first_mm, crescent.last_mm,
                        crescent.outwards * crescent.thick_mm),
        "haematoma_hu": round(blood + contrast, 1),
        "haematoma_mm": round(crescent.thick_mm, 1),
    }  # fmt: skip
    if type_a and difficulty == "easy" and rng.random() < PERICARDIAL_BLOOD:
        patches += _pericardial(course.scene, rng)
    return patches, truth, reached


def ruptured_aorta(
    course: AortaCourse, rng: np.random.Generator, difficulty: str, judge: Judge
) -> Drawn:
    """Draw an aneurysm of the descending aorta and the blood that left it."""
    size = float(rng.uniform(*{"easy": (18, 34), "medium": (11, 18), "hard": (7, 11)}[difficulty]))
    wider = float(rng.uniform(8, 22))
    low = course.subclavian_mm + 30
    middle = float(rng.uniform(low, max(course.length_mm - 25, low + 1)))
    pieces = bulge(
        course, rng, middle, length_mm=float(rng.uniform(55, 110)), wider_mm=wider,
        turn=float(rng.uniform(0, 2 * np.pi)) if rng.random() < 0.4 else None,
        blood=blood_hu(course.scene),
    )  # fmt: skip
    patches = [piece.patch for piece in pieces]
    for patch in patches:
        patch.extra = {"part": "aneurysm"}
    stage = _staged(course.scene, patches)
    hu = float(rng.uniform(45, 70))
    leak = around_the_aorta(course.within(stage), rng, course.index(middle), size_mm=size, hu=hu)
    leak.extra = {"part": "leak", "leak_hu": round(hu)}
    reached = float(judge(leak.grid, leak.delta_hu))
    truth = _extent_truth(course, middle - 30, middle + 30, wider)
    return [*patches, leak], truth, reached


def _extent(
    course: AortaCourse,
    rng: np.random.Generator,
    difficulty: str,
    type_a: bool,
    length_mm: float | None,
) -> tuple[float, float]:
    """Draw the arcs at which a finding begins and ends."""
    low, high = EXTENT_MM[difficulty]
    length = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    if length_mm is not None:
        length = length_mm * float(rng.uniform(0.9, 1.1))
    end = course.length_mm - 4
    start = float(rng.uniform(6, 22) if type_a else course.subclavian_mm + rng.uniform(2, 25))
    if not type_a and difficulty != "easy":  # anywhere below the subclavian artery
        start = float(rng.uniform(start, max(start + 1, end - length)))
    return start, float(min(start + length, end))


def _extent_truth(
    course: AortaCourse, first_mm: float, last_mm: float, wider_mm: float
) -> dict[str, Any]:
    """Tell type, extent and calibre; the type is by the ascending aorta, before the arch's top."""
    low, high = course.index(first_mm), course.index(last_mm)
    calibre = 2 * float(course.radius_mm[low : high + 1].max()) + 2 * 0.7 * wider_mm
    ascending = course.top > 0 and first_mm < course.subclavian_mm
    return {
        "stanford_type": "A" if ascending else "B",
        "extent_mm": round(last_mm - first_mm, 1),
        "first_arc_mm": round(first_mm, 1),
        "max_diameter_mm": round(calibre, 1),
    }


def _strength(
    nominal: float,
    goal: float,
    difficulty: str,
    allowed: Sequence[float],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Return the contrast for a d′ within what occurs, and the d′ that is reached."""
    low, high = float(allowed[0]), float(allowed[1])
    if nominal <= 0:
        return high, 0.0
    fitting = goal / nominal
    if difficulty == "easy" and fitting < high:
        fitting = float(rng.uniform(max(fitting, low), high))
    fitting = float(np.clip(fitting, low, high))
    return fitting, nominal * fitting


def _together(pieces: Sequence[tuple[Patch, Any]], judge: Judge) -> float:
    """Return d′ of patches side by side, which add up in square."""
    return float(np.sqrt(sum(judge(patch.grid, delta) ** 2 for patch, delta in pieces)))


def _staged(scene: Scene, patches: Sequence[Patch]) -> Scene:
    """Return the patient with what was painted."""
    stage = Scene(scene.anatomy, scene.table, scene.hu)
    stage.add(scene.lesions)
    stage.add(
        patch.lesion(check="aorta", kind="stage", is_finding=True)
        for patch in patches
        if patch.mask.any()
    )
    return stage


def _pericardial(scene: Scene, rng: np.random.Generator) -> list[Patch]:
    """Draw blood in the pericardium where the heart is in view."""
    try:
        patch = pericardial_blood(scene, rng)
    except NoPlaceError:
        return []
    patch.extra = {"part": "pericardial_blood"}
    return [patch]


FINDINGS = {
    "dissection": dissection,
    "intramural_haematoma": intramural_haematoma,
    "ruptured_aorta": ruptured_aorta,
}
"""Kind → what draws it."""
