"""Plant coronary calcium of a known Agatston score along the coronary arteries.

The score is that of the product's own rule on a noise-free gated scan of 3 mm with the true
coronary mask (pipelines.md §6.3).
Calcium is so dense that an ideal observer sees nearly every plaque; what spoils a score is faint
and small plaque, whose peak is blurred around the threshold. So the difficulty of a finding is the
harder of two classes: that of d′ over all plaques, and that of their density.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from networks.phantoms.lesion import DIFFICULTIES, FineGrid, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Judge, Patch, cloud, difficulty_of, tube
from networks.phantoms.lesions.calcium.gated import GatedScan
from networks.phantoms.lesions.calcium.mimics import MIMICS
from networks.phantoms.lesions.calcium.tree import (
    COURSE_STEP_MM,
    TERRITORIES,
    TREE,
    Course,
    coronaries,
    course_of,
    tree_of,
)
from networks.phantoms.scene import Scene
from postprocess.agatston import CalciumScore

__all__ = ["CONFOUNDERS", "KINDS", "TERRITORIES", "TREE", "confound", "coronaries", "plant"]

KINDS = ("calcium_minimal", "calcium_mild", "calcium_moderate", "calcium_severe")

CONFOUNDERS = tuple(MIMICS)

SCORE: dict[str, tuple[float, float]] = {
    "calcium_minimal": (1, 10),
    "calcium_mild": (10, 100),
    "calcium_moderate": (100, 300),
    "calcium_severe": (300, 2500),
}
"""Agatston units by kind, the upper end excluded; 100 and 300 are the cuts of CAC-DRS."""

PLAQUES = {"calcium_minimal": (1, 3), "calcium_mild": (1, 7), "calcium_moderate": (3, 13),
           "calcium_severe": (6, 30)}  # fmt: skip
"""How many plaques by kind."""

PEAK_HU = {"easy": (520, 1200), "medium": (310, 490), "hard": (170, 295)}
"""Calcium's HU before the scan blurs it, by what is asked for (pipelines.md §6.3: 130–1200)."""

DENSE_HU = (500.0, 300.0)
"""Plaques whose mean HU before the scan is at least the first are easy, the second medium."""

VESSELS = {"LM": 0.08, "LAD": 0.47, "LCX": 0.17, "RCA": 0.28}
"""How often a plaque lies in which artery."""

SPACING_MM = 0.4
"""Voxel edge of a plaque's patch."""

TRIES = 20
"""Drawings of a patient's plaques before none is planted."""

STEPS = 6
"""Sizes that are tried of one drawing."""

NEAR_ENOUGH = 0.3
"""Natural logarithm of the score over its goal at which a drawing is taken at once."""


@dataclass
class _Plaque:
    """What was drawn of one plaque, at size 1."""

    path_mm: npt.NDArray[np.float64]
    radius_mm: float
    hu: float
    territory: str
    seed: int


def plant(
    scene: Scene,
    rng: np.random.Generator,
    kind: str,
    *,
    difficulty: str = "medium",
    judge: Judge,
) -> list[Lesion]:
    """Plant the coronary calcium of one patient.

    Parameters
    ----------
    scene : Scene
        The patient; not changed. Where it holds no coronary arteries they come first in the list.
    rng : Generator
        Draws number, places, size and density of the plaques.
    kind : str
        One of `KINDS`: the total burden.
    difficulty : str
        What is asked for; what was reached is in the lesions.
    judge : Judge
        d′ on the scan that will be made.

    Returns
    -------
    list of Lesion
        One a plaque, each with its ``territory`` and the figures of the whole patient:
        ``agatston``, ``agatston_by_vessel``, ``volume_score_mm3``, ``plaques`` and
        ``finding_dprime``. The difficulty is the patient's, d′ the plaque's own.

    Raises
    ------
    NoPlaceError
        When the heart is not in view, or no drawing came to the burden.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    tree, missing = _arteries(scene, rng)
    stage = _staged(scene, missing)
    low, high = SCORE[kind]
    empty = GatedScan(scene, tree, missing)
    for _ in range(TRIES):
        goal = float(np.exp(rng.uniform(np.log(low * 1.05), np.log(high * 0.95))))
        drawn = _draw(tree, rng, kind, difficulty)
        size, nearest = 1.0, None
        for _ in range(STEPS):
            plaques = _paint(stage, drawn, size, kind)
            scan = empty.copy()
            scan.add(plaques)
            scores = scan.scores()
            miss = abs(float(np.log(max(scores[0].agatston, 0.2) / goal)))
            if low <= scores[0].agatston < high and (nearest is None or miss < nearest[0]):
                nearest = miss, plaques, scores
            if nearest and nearest[0] < NEAR_ENOUGH:
                break
            ratio = goal / max(scores[0].agatston, 0.2)
            size = float(np.clip(size * np.clip(ratio**0.4, 0.6, 1.6), 0.35, 2.6))
        if nearest:
            return [*missing, *_told(nearest[1], drawn, nearest[2], judge)]
    raise NoPlaceError(f"no drawing of {kind} came to its score")


def confound(
    scene: Scene, rng: np.random.Generator, kind: str, *, judge: Judge | None = None
) -> list[Lesion]:
    """Draw dense things near the heart that are no coronary calcium: one of `CONFOUNDERS`.

    Raises
    ------
    NoPlaceError
        When there is no room for it.
    """
    if kind not in MIMICS:
        raise ValueError(f"kind must be one of {', '.join(CONFOUNDERS)}, not {kind!r}")
    found = []
    for patch in MIMICS[kind](scene, rng):
        dprime = None if judge is None else float(judge(patch.grid, patch.delta_hu))
        found.append(patch.lesion(check="calcium", kind=kind, is_finding=False, dprime=dprime))
    if not found:
        raise NoPlaceError(f"there is no room for {kind}")
    return found


def _arteries(scene: Scene, rng: np.random.Generator) -> tuple[list[Lesion], list[Lesion]]:
    """Return the coronary tree, and what of it the scene does not hold."""
    tree = tree_of(scene)
    if tree:
        return tree, []
    tree = coronaries(scene, rng)
    return tree, tree


def _staged(scene: Scene, lesions: Sequence[Lesion]) -> Scene:
    """Return a scene that also holds some lesions."""
    stage = Scene(scene.anatomy, scene.table, scene.hu)
    stage.add([*scene.lesions, *lesions])
    return stage


def _draw(
    tree: Sequence[Lesion], rng: np.random.Generator, kind: str, difficulty: str
) -> list[_Plaque]:
    """Draw where the plaques of a patient lie, how long, thick and dense they are."""
    courses = {course.territory: course for course in map(course_of, tree)}
    chance = np.array([VESSELS[name] for name in courses])
    # disease favours some arteries of a patient over others
    chance = chance * rng.gamma(1.2, 1.0, len(chance))
    least, most = PLAQUES[kind]
    count = round(float(np.exp(rng.uniform(np.log(least), np.log(most)))))
    burden = KINDS.index(kind)
    drawn = []
    for _ in range(count):
        name = list(courses)[rng.choice(len(chance), p=chance / chance.sum())]
        length = float(np.exp(rng.normal(np.log(2.0 + 1.3 * burden), 0.5)))
        radius = float(np.exp(rng.normal(np.log(0.65 + 0.12 * burden), 0.22)))
        drawn.append(
            _Plaque(
                _stretch(courses[name], length, rng), radius,
                float(rng.uniform(*PEAK_HU[difficulty])), name, int(rng.integers(2**31)),
            )
        )  # fmt: skip
    return drawn


def _stretch(course: Course, length_mm: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return a stretch of an artery's wall; the first third of an artery is diseased most."""
    points = course.points_mm
    count = len(points)
    middle = int(np.clip(rng.beta(1.1, 2.6) * count, 1, count - 2))
    tangent = points[middle + 1] - points[middle - 1]
    side = np.cross(tangent, rng.standard_normal(3))
    side /= max(float(np.linalg.norm(side)), 1e-6)
    half = max(1, round(0.5 * length_mm / COURSE_STEP_MM))
    near = points[max(middle - half, 0) : middle + half + 1]
    jump = np.linalg.norm(near - points[middle], axis=1) > 1.2 * length_mm + 2 * COURSE_STEP_MM
    near = near[~jump]
    share = min(1.0, length_mm / (COURSE_STEP_MM * max(len(near) - 1, 1)))
    near = points[middle] + (near - points[middle]) * share
    return near + side * course.radius_mm[middle] * rng.uniform(0.55, 1.0)


def _paint(stage: Scene, drawn: Sequence[_Plaque], size: float, kind: str) -> list[Lesion]:
    """Paint plaques one after the other, each over those before it."""
    scene = _staged(stage, ())
    painted = []
    for plaque in drawn:
        rng = np.random.default_rng(plaque.seed)
        middle = plaque.path_mm.mean(axis=0)
        path = middle + (plaque.path_mm - middle) * size**0.5
        radius = plaque.radius_mm * size
        low, high = path.min(axis=0) - radius - 1.5, path.max(axis=0) + radius + 1.5
        grid = FineGrid.around(0.5 * (low + high), 0.5 * (high - low), SPACING_MM)
        patch = Patch(scene, grid)
        taper = 1 - 0.45 * np.abs(np.linspace(-1, 1, len(path))) ** 2
        surface = tube(grid, path, radius * taper)
        surface += np.float32(0.22 * radius) * cloud(grid, rng, max(1.2, 1.3 * radius))
        grain = 1 + 0.12 * np.clip(cloud(grid, rng, 1.6), -2, 2)
        patch.raise_to(patch.inside(surface), plaque.hu * grain)
        if not patch.mask.any():  # thinner than a voxel: the densest one is its own
            patch.mask[np.unravel_index(surface.argmin(), surface.shape)] = True
        patch.site = plaque.territory
        patch.extra = {"territory": plaque.territory, "plaque_hu": round(plaque.hu)}
        painted.append(patch.lesion(check="calcium", kind=kind, is_finding=True))
        scene.add(painted[-1:])
    return painted


def _told(
    plaques: Sequence[Lesion],
    drawn: Sequence[_Plaque],
    scores: tuple[CalciumScore, ...],
    judge: Judge,
) -> list[Lesion]:
    """Tell the truth about a patient's plaques."""
    own = [float(judge(lesion.grid, lesion.delta_hu)) for lesion in plaques]
    together = float(np.sqrt(np.sum(np.square(own))))
    weight = [lesion.volume_mm3 for lesion in plaques]
    density = float(np.average([plaque.hu for plaque in drawn], weights=weight))
    dense = "easy" if density >= DENSE_HU[0] else "medium" if density >= DENSE_HU[1] else "hard"
    difficulty = max(difficulty_of(together), dense, key=DIFFICULTIES.index)
    total = scores[0]
    patient = {
        "agatston": round(total.agatston, 1),
        "agatston_by_vessel": {
            name: round(score.agatston, 1)
            for name, score in zip(TERRITORIES, scores[1:], strict=True)
        },
        "volume_score_mm3": round(total.volume_mm3, 1),
        "plaques": len(plaques),
        "mean_plaque_hu": round(density),
        "finding_dprime": round(together, 2),
    }
    return [
        replace(lesion, difficulty=difficulty, dprime=dprime, extra=lesion.extra | patient)
        for lesion, dprime in zip(plaques, own, strict=True)
    ]
