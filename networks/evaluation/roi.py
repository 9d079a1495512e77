"""Judge a check that looks at one box: is there a lesion, of which kind, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from networks.evaluation.baseline import FEATURES, cross_validated, organ_features
from networks.evaluation.boxes import Judged, UnseenBoxes, confusion, dice, judge_boxes, onnx_run
from networks.evaluation.told import FIRST_TEST_SEED, mean, told, unseen_profiles
from networks.metrics import Figure, auc, sensitivity, specificity, wilson
from networks.phantoms.lesion import DIFFICULTIES

if TYPE_CHECKING:
    from networks.tasks.roi import RoiTask


@dataclass(frozen=True, slots=True)
class BoxCase:
    """What is counted of one box.

    Attributes
    ----------
    seed : int
        Of the patient.
    scanner, kind, difficulty : str
        Kind and difficulty are empty in a healthy patient.
    ill : bool
    score : float
        Probability that the patient is ill.
    named : str
        The likeliest kind; empty where the network tells none.
    dice : dict
        By label; NaN where the truth has none of it.
    features : (k,) ndarray
        Of the true organ, for the baseline.
    """

    seed: int
    scanner: str
    kind: str
    difficulty: str
    ill: bool
    score: float
    named: str
    dice: dict[str, float]
    features: NDArray[np.float64]


def evaluate_roi(
    task: RoiTask, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
) -> dict[str, Any]:
    """Judge an exported file on unseen patients and the scanner models kept from training.

    Parameters
    ----------
    task : RoiTask
    model : Path
        The exported file.
    thresholds : mapping
        ``mark`` and ``flag``; what is missing is not counted.
    cases : int
        Patients; each is looked at once planted and once healthy.
    workers : int
        Processes that scan.
    """
    boxes = UnseenBoxes(
        task.scenes(planted=1, healthy=1), task.view, FIRST_TEST_SEED, cases, (True, False),
        profiles=unseen_profiles(),
    )  # fmt: skip
    judged = judge_boxes(onnx_run(model, task.windows), boxes, workers)
    shown = track(judged, task.name, total=len(boxes), console=Console(stderr=True))
    counted = [box_case(task, case) for case in shown if case.sample.ill in (0, 1)]
    ill = [case for case in counted if case.ill]
    return told(
        task.name,
        [model],
        cohort={
            "patients": cases,
            "planted": len(ill),
            "healthy": len(counted) - len(ill),
            "scanners": Counter(case.scanner for case in counted),
            "difficulties": Counter(case.difficulty for case in ill),
            "kinds": Counter(case.kind for case in ill),
        },
        thresholds=thresholds,
        strata=strata(task, counted, thresholds),
        baseline=baseline(counted),
        failures=failures(counted, thresholds),
    )


def box_case(task: RoiTask, case: Judged) -> BoxCase:
    """Count a judged box."""
    sample = case.sample
    table = confusion(sample.labels, case.labels, len(task.labels))
    return BoxCase(
        seed=sample.seed,
        scanner=sample.scanner,
        kind=sample.kind,
        difficulty=sample.difficulty,
        ill=sample.ill == 1,
        score=case.score,
        named="" if case.kinds is None else task.kinds[int(case.kinds.argmax())],
        dice=dice(table, task.labels),
        features=organ_features(sample.hu, sample.labels > 0, task.spacing_mm),
    )


def strata(
    task: RoiTask, cases: Sequence[BoxCase], thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the figures of all, by difficulty, by scanner model and by kind."""
    healthy = [case for case in cases if not case.ill]
    lesion = task.labels[task.shape.lesion]

    def group(chosen: Iterable[BoxCase], others: Sequence[BoxCase] = healthy) -> dict[str, Any]:
        return figures([case for case in chosen if case.ill], others, thresholds, lesion)

    found: dict[str, Any] = {"all": group(cases)}
    found["all"]["dice"] = {
        name: mean(case.dice[name] for case in cases) for name in task.labels[1:]
    }
    found["difficulty"] = {
        name: group(case for case in cases if case.difficulty == name) for name in DIFFICULTIES
    }
    found["scanner"] = {
        name: group(
            [case for case in cases if case.scanner == name],
            [case for case in healthy if case.scanner == name],
        )
        for name in sorted({case.scanner for case in cases})
    }
    found["kind"] = {
        name: group(case for case in cases if case.kind == name)
        for name in sorted({case.kind for case in cases if case.ill})
    }
    return found


def figures(
    ill: Sequence[BoxCase],
    healthy: Sequence[BoxCase],
    thresholds: Mapping[str, float],
    lesion: str,
) -> dict[str, Any]:
    """Return AUC, what each threshold finds and spares, Dice of the lesion and kinds told."""
    sick, well = [case.score for case in ill], [case.score for case in healthy]
    counted: dict[str, Any] = {"planted": len(ill), "healthy": len(well), "auc": auc(well, sick)}
    for name, value in thresholds.items():
        counted[name] = {
            "sensitivity": sensitivity(sick, value),
            "specificity": specificity(well, value),
        }
    counted["lesion_dice"] = mean(case.dice[lesion] for case in ill)
    if any(case.named for case in ill):
        counted["kind_right"] = wilson(sum(case.named == case.kind for case in ill), len(ill))
    return counted


def baseline(cases: Sequence[BoxCase]) -> dict[str, Any]:
    """Return the AUC of logistic regression on the true organ's HU and volume."""
    ill = np.array([case.ill for case in cases], bool)
    features = np.array([case.features for case in cases]).reshape(len(cases), -1)
    odds = cross_validated(features, ill, np.array([case.seed for case in cases], np.int64))
    by: dict[str, Figure] = {"all": auc(odds[~ill], odds[ill])}
    for name in DIFFICULTIES:
        chosen = np.array([case.difficulty == name for case in cases], bool)
        by[name] = auc(odds[~ill], odds[chosen])
    return {
        "method": f"logistic regression on {', '.join(FEATURES)} of the true organ, 5 folds",
        "auc": by,
    }


def failures(cases: Sequence[BoxCase], thresholds: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return healthy patients that are flagged, then lesions below the mark, the worst first."""
    over = thresholds.get("flag", np.inf)
    under = thresholds.get("mark", -np.inf)
    wrong = sorted((x for x in cases if not x.ill and x.score >= over), key=lambda x: -x.score)
    missed = [case for case in cases if case.ill and case.score < under]
    missed.sort(key=lambda x: (DIFFICULTIES.index(x.difficulty), x.score))
    return [
        {
            "what": "missed" if case.ill else "flagged though healthy",
            "seed": case.seed,
            "scanner": case.scanner,
            "kind": case.kind,
            "difficulty": case.difficulty,
            "score": case.score,
        }
        for case in [*wrong, *missed]
    ]
