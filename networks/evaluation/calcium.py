"""Judge the calcium check: the Agatston score by the network's arteries against the true one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from networks.evaluation.anatomy import look_up
from networks.evaluation.boxes import Run, confusion, dice, onnx_run
from networks.evaluation.told import FIRST_TEST_SEED, mean, told, unseen_profiles
from networks.metrics import Figure, bland_altman, bootstrap, kappa
from networks.phantoms.case import Case, CasePlan
from networks.phantoms.cohort import SPLITS, cohort, plan_cohort
from networks.phantoms.lesion import DIFFICULTIES
from networks.phantoms.region import Axes, RegionGrid
from networks.roi_sampling import padded_multiple
from networks.scenes import SPACINGS_MM, organ_box
from postprocess.agatston import calcium_scores
from preprocess.grid import Grid
from preprocess.resample import resample

if TYPE_CHECKING:
    from networks.tasks.calcium import CalciumTask

PIXEL_MM = 0.75
"""Of the scan: about 380 mm on 512 columns."""

SLICE_MM = 3.0
"""Contiguous slices, soft kernel, 120 kVp: what the rule is defined for."""

CATEGORIES = (1.0, 100.0, 300.0)
"""Agatston units from which CAC-DRS is A1, A2 and A3 (pipelines.md §2.4)."""

LEAST_RELATIVE = 10.0
"""Truth from which differences are also told as a share: of a score of 2, one pixel is half."""


@dataclass(frozen=True)
class HeartScan:
    """The box of a heart on the scan's own grid, with its truth.

    Attributes
    ----------
    plan : CasePlan
    hu : (S, R, C) ndarray of int16
    grid : RegionGrid
    labels : (D, H, W) ndarray of uint8 or None
        On the network's grid; None where no artery was planted.
    agatston : float
        The truth: of the noise-free gated scan.
    difficulty : str
        That was reached; empty without calcium.
    """

    plan: CasePlan
    hu: NDArray[np.int16]
    grid: RegionGrid
    labels: NDArray[np.uint8] | None
    agatston: float
    difficulty: str


@dataclass(frozen=True, slots=True)
class Scored:
    """What is counted of one heart."""

    plan: CasePlan
    difficulty: str
    truth: float
    found: float
    by_hand: float
    """Score of everything of 130 HU in the network's heart, arteries or not."""

    dice: dict[str, float]


def evaluate_calcium(task: CalciumTask, model: Path, *, cases: int) -> dict[str, Any]:
    """Judge an exported file on unseen patients and the scanner models kept from training.

    Parameters
    ----------
    task : CalciumTask
    model : Path
        The exported file.
    cases : int
        Patients; a quarter of them have no calcium.
    """
    run = onnx_run(model, task.windows)
    scans = cohort(plans(cases), partial(scan_heart, task), processes=1)
    scored = [score(task, run, scan) for scan in scans]
    worst = sorted(scored, key=lambda x: -abs(x.found - x.truth))
    return told(
        task.name,
        [model],
        cohort={
            "patients": len(scored),
            "planted": sum(x.plan.check is not None for x in scored),
            "healthy": sum(x.plan.check is None for x in scored),
            "scanners": Counter(x.plan.profile for x in scored),
            "difficulties": Counter(x.difficulty for x in scored if x.difficulty),
            "kinds": Counter(x.plan.kind for x in scored if x.plan.kind),
        },
        thresholds={},
        strata=strata(task, scored),
        baseline={
            "method": "the rule on all of 130 HU and more in the network's heart",
            **figures(scored, lambda x: x.by_hand),
        },
        failures=[
            {"what": f"{x.found:.0f} for {x.truth:.0f}", "seed": x.plan.seed,
             "scanner": x.plan.profile, "kind": x.plan.kind or "none",
             "difficulty": x.difficulty}
            for x in worst
        ],
    )  # fmt: skip


def plans(cases: int) -> list[CasePlan]:
    """Plan the patients: a quarter each easy, medium, hard and without calcium."""
    each = max(1, cases // 4)
    drawn = []
    for place, difficulty in enumerate(DIFFICULTIES):
        drawn += plan_cohort(
            "test", check="calcium", planted=each, healthy=0 if place else each,
            difficulty=difficulty, confounders=("calcium",),
            first=FIRST_TEST_SEED - SPLITS["test"][0] + (place + min(place, 1)) * each,
        )  # fmt: skip
    profiles = unseen_profiles()
    return [
        replace(
            plan, profile=profiles[plan.seed % len(profiles)].name, kernel="soft",
            thickness_mm=SLICE_MM, spacing_mm=SPACINGS_MM[plan.seed % len(SPACINGS_MM)],
        )
        for plan in drawn
    ]  # fmt: skip


def scan_heart(task: CalciumTask, case: Case) -> HeartScan:
    """Scan the box of a heart on slices of 3 mm, as the scanner would."""
    low, high = organ_box(case.scene.anatomy, task.box.organs)
    margin = np.asarray(task.box.margin_mm)
    grid = RegionGrid.over(low - margin, high + margin, (SLICE_MM, PIXEL_MM, PIXEL_MM))
    hu = np.clip(np.rint(case.region(grid)), -1024, 3071).astype(np.int16)
    found = [x for x in case.lesions if x.check == "calcium" and x.is_finding]
    labels = None
    if found:
        fine = Grid(grid.shape, grid.affine).resampled(task.spacing_mm)
        axes = tuple(
            (fine.affine[2 - n, 3] + step * np.arange(count)).astype(np.float32)
            for n, (step, count) in enumerate(zip(task.spacing_mm, fine.shape, strict=True))
        )
        labels = task.paint(tissues_at(case, axes), tuple(case.lesions), axes)
    return HeartScan(
        plan=case.plan,
        hu=hu,
        grid=grid,
        labels=labels,
        agatston=float(found[0].extra["agatston"]) if found else 0.0,
        difficulty=found[0].difficulty or "" if found else "",
    )


def tissues_at(case: Case, axes: Axes) -> NDArray[np.uint8]:
    """Return the nearest tissue for every voxel of a grid."""
    scene = case.scene
    index = [
        np.clip(np.rint((axis - low) / scene.spacing_mm).astype(int), 0, count - 1)
        for axis, low, count in zip(axes, scene.origin_mm, scene.anatomy.labels.shape, strict=True)
    ]
    return scene.anatomy.labels[np.ix_(*index)]


def score(task: CalciumTask, run: Run, scan: HeartScan) -> Scored:
    """Score a scan on its own pixels, by the arteries that the network draws."""
    spacing = scan.grid.spacing_mm
    hu = resample(scan.hu, spacing_mm=spacing, target_spacing_mm=task.spacing_mm)
    multiple = padded_multiple(task.shape.multiple)
    behind = [(0, -size % multiple) for size in hu.shape]
    padded = np.pad(np.clip(np.rint(hu), -1024, 3071).astype(np.int16), behind, mode="edge")
    s, r, c = hu.shape
    labels = run(padded)["labels"][0, :s, :r, :c]
    own = Grid(scan.grid.shape, scan.grid.affine)
    native = look_up(labels, own.resampled(task.spacing_mm).affine, own.shape, own.affine)
    coronary = np.where(native > 1, native - 1, 0).astype(np.uint8)
    territories = len(task.labels) - 2
    return Scored(
        plan=scan.plan,
        difficulty=scan.difficulty,
        truth=scan.agatston,
        found=calcium_scores(scan.hu, coronary, spacing_mm=spacing, count=territories)[0].agatston,
        by_hand=calcium_scores(scan.hu, native > 0, spacing_mm=spacing)[0].agatston,
        dice={}
        if scan.labels is None
        else dice(confusion(scan.labels, labels, len(task.labels)), task.labels),
    )


def strata(task: CalciumTask, scored: Sequence[Scored]) -> dict[str, Any]:
    """Return the figures of all, by difficulty, by scanner model and by kind."""
    found: dict[str, Any] = {"all": figures(scored)}
    found["all"]["dice"] = {
        name: mean(x.dice[name] for x in scored if x.dice) for name in task.labels[1:]
    }
    without = [x for x in scored if not x.difficulty]
    found["difficulty"] = {
        name: figures([*(x for x in scored if x.difficulty == name), *without])
        for name in DIFFICULTIES
    }
    found["scanner"] = {
        name: figures([x for x in scored if x.plan.profile == name])
        for name in sorted({x.plan.profile for x in scored})
    }
    found["kind"] = {
        name: figures([x for x in scored if x.plan.kind == name])
        for name in sorted({x.plan.kind for x in scored if x.plan.kind})
    }
    found["kind"]["none"] = figures(without)
    return found


def figures(
    scored: Sequence[Scored], measure: Callable[[Scored], float] = lambda x: x.found
) -> dict[str, Any]:
    """Return bias, limits of agreement and agreement of categories.

    ``bias_share`` is the summed difference as a share of the summed truth; ``relative`` the
    differences as shares of the mean of both, of scores of `LEAST_RELATIVE` and more.
    """
    found = np.array([measure(x) for x in scored], np.float64)
    truth = np.array([x.truth for x in scored], np.float64)
    large = truth >= LEAST_RELATIVE
    absolute = bland_altman(found, truth)
    relative = bland_altman(found[large], truth[large], relative=True)
    return {
        "scans": len(scored),
        "bias": absolute.bias,
        "limits": [absolute.lower_limit, absolute.upper_limit],
        "bias_share": _share(found, truth),
        "relative": {
            "scans": int(large.sum()),
            "bias": relative.bias,
            "limits": [relative.lower_limit, relative.upper_limit],
        },
        "category_kappa": kappa(category(found), category(truth), len(CATEGORIES) + 1),
        "category_right": mean((category(found) == category(truth)).astype(float)),
    }


def category(agatston: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the category A0 to A3 as a number."""
    return np.searchsorted(CATEGORIES, agatston, side="right")


def _share(found: NDArray[np.float64], truth: NDArray[np.float64]) -> Figure:
    def share(chosen: NDArray[np.intp]) -> float:
        total = float(truth[chosen].sum())
        return float(found[chosen].sum()) / total - 1 if total else float("nan")

    return bootstrap(share, len(truth))
