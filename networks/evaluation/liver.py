"""Judge the liver's network: agreement of grades, and who asks for action.

With the image alone, with blood values, and with a report; beside rules that need no network.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from networks.evaluation.baseline import FEATURES, cross_validated, organ_features
from networks.evaluation.thresholds import FILE, NAMES
from networks.evaluation.told import FIRST_TEST_SEED, told, unseen_profiles
from networks.export import open_session
from networks.liver_figures import GRADES, MODALITIES, RECALL_GRADE, Judged, figures
from networks.liver_sampling import LIVER, SPLEEN, LiverSample, UnseenLivers
from networks.metrics import Figure, auc, sensitivity, specificity
from networks.phantoms.lesion import DIFFICULTIES
from networks.tasks.roi import windowed

if TYPE_CHECKING:
    from networks.tasks.liver import LiverTask

DRAWS = 2
"""Looks at each patient, at different fat and on different scanners."""

Cuts = dict[str, dict[str, float]]
"""Target → mark and flag → value."""


def evaluate_liver(task: LiverTask, model: Path, *, cases: int, workers: int = 0) -> dict[str, Any]:
    """Judge an exported file on unseen patients and the scanner models kept from training.

    Parameters
    ----------
    task : LiverTask
    model : Path
        The exported file; `networks.evaluation.thresholds.FILE` of its folder has the cuts.
    cases : int
        Patients, of each stage equally many; each is looked at `DRAWS` times.
    workers : int
        Processes that scan.
    """
    livers = UnseenLivers(task.view(), FIRST_TEST_SEED, cases, DRAWS, profiles=unseen_profiles())
    judged = list(answers(model, task.windows_hu, livers, workers))
    cuts, names = cuts_of(model.parent.parent / FILE), livers.view.names
    truth = {target: Counter(str(case.truth(target)) for case in judged) for target in GRADES}
    strata: dict[str, Any] = {"all": group(judged, names, cuts)}
    for name, told_by in (("scanner", _scanner), ("difficulty", _difficulty)):
        strata[name] = {
            value: group([case for case in judged if value in told_by(case)], names, cuts)
            for value in sorted({value for case in judged for value in told_by(case)})
        }
    return told(
        task.name,
        [model],
        cohort={"patients": cases, "looks": len(judged), "grades": truth},
        thresholds={f"{t}_{n}": value for t, named in cuts.items() for n, value in named.items()},
        strata=strata,
        baseline=baseline(judged),
        failures=failures(judged),
    )


def answers(
    model: Path,
    windows_hu: tuple[tuple[float, float], ...],
    livers: UnseenLivers,
    workers: int = 0,
) -> Iterator[Judged]:
    """Run an exported file on livers, with less and with more of the chart."""
    session = open_session(model)
    loader = DataLoader(livers, batch_size=None, num_workers=workers)
    for sample in track(loader, "liver", total=len(livers), console=Console(stderr=True)):
        volume = windowed(torch.from_numpy(sample.box.hu)[None], windows_hu).numpy()
        scores: dict[str, tuple[float, ...]] = {}
        for modality in MODALITIES:
            clinical, words = given(sample, modality)
            found = session.run(
                ["scores"],
                {"volume": volume, "clinical": clinical[None], "tokens": words[None]},
            )[0][0]
            scores[modality] = (float(found[0]), float(found[1]))
        yield Judged(sample, scores)


def given(sample: LiverSample, modality: str) -> tuple[Any, Any]:
    """Return the clinical values and the tokens that one of `MODALITIES` has."""
    serum, text = "serum" in modality, "text" in modality
    return (
        sample.clinical if serum else np.full_like(sample.clinical, np.nan),
        sample.tokens if text else np.zeros_like(sample.tokens),
    )


def group(judged: Sequence[Judged], names: Sequence[str], cuts: Cuts) -> dict[str, Any]:
    """Return the figures of some livers, and what each cut finds and spares."""
    counted: dict[str, Any] = {"livers": len(judged), **figures(judged, names)}
    for place, target in enumerate(GRADES):
        high = np.array([case.truth(target) >= RECALL_GRADE for case in judged], bool)
        for modality in MODALITIES:
            scores = np.array([case.scores[modality][place] for case in judged])
            counted[target][modality] |= {
                name: {
                    "sensitivity": sensitivity(scores[high], cut),
                    "specificity": specificity(scores[~high], cut),
                }
                for name, cut in cuts.get(target, {}).items()
            }
    return counted


def baseline(judged: Sequence[Judged]) -> dict[str, Any]:
    """Return the AUC of logistic regression on HU and volumes of the true liver and spleen."""
    features = np.array(
        [
            np.concatenate(
                [
                    organ_features(case.sample.box.hu, case.sample.box.labels == label, (3, 3, 3))
                    for label in (LIVER, SPLEEN)
                ]
            )
            for case in judged
        ]
    )
    seeds = np.array([case.sample.box.seed for case in judged], np.int64)
    by: dict[str, Figure] = {}
    for target in GRADES:
        high = np.array([case.truth(target) >= RECALL_GRADE for case in judged], bool)
        odds = cross_validated(features, high, seeds)
        by[target] = auc(odds[~high], odds[high])
    return {
        "method": f"logistic regression on {', '.join(FEATURES)} of liver and spleen, 5 folds",
        "auc": by,
    }


def failures(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """Return livers that are graded wrong by more than one, with everything given; worst first."""
    wrong = []
    for place, target in enumerate(GRADES):
        for case in judged:
            score = case.scores[MODALITIES[-1]][place]
            if abs(score - case.truth(target)) > 1:
                wrong.append(
                    {
                        "what": target,
                        "truth": case.truth(target),
                        "score": score,
                        "seed": case.sample.box.seed,
                        "scanner": case.sample.box.scanner,
                        "difficulty": case.sample.box.difficulty,
                    }
                )
    return sorted(wrong, key=lambda x: -abs(x["score"] - x["truth"]))


def cuts_of(path: Path) -> Cuts:
    """Return mark and flag of each target; nothing of what the file lacks."""
    if not path.exists():
        return {}
    kept = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        target: {n: float(kept[target][n]["value"]) for n in NAMES if n in kept[target]}
        for target in GRADES
        if target in kept
    }


def _scanner(case: Judged) -> tuple[str, ...]:
    return (case.sample.box.scanner,)


def _difficulty(case: Judged) -> tuple[str, ...]:
    """Return of what difficulty its fibrosis is; livers without any stand beside all of them."""
    return (case.sample.box.difficulty,) if case.sample.fibrosis else tuple(DIFFICULTIES)
