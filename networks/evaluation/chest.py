"""Judge the chest's network with its memory bank: each label by itself, and where it is seen."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader

from networks.chest_judge import LEAST_POSITIVE, WholeStudies, WholeStudy
from networks.chest_study import EVALUATED
from networks.evaluation.baseline import cross_validated
from networks.evaluation.thresholds import FILE, NAMES
from networks.evaluation.told import FIRST_TEST_SEED, mean, told, unseen_profiles
from networks.export import open_session
from networks.memory_bank import MemoryBank
from networks.metrics import Figure, auc, wilson
from networks.nets.tile_encoder import CLIP_HU
from networks.phantoms.chest_labels import LABEL_NAMES
from networks.phantoms.lesion import DIFFICULTIES

if TYPE_CHECKING:
    from networks.tasks.chest import ChestTask

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Of the HU of a whole box: what the baseline knows."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelledStudy:
    """A study without its pixels, and what was said of it.

    Attributes
    ----------
    truth : (L,) ndarray of int8
        1, 0, or −1 where it is not asked.
    chance : (L,) ndarray of float64
        Probability of each label.
    placed : tuple of (label, difficulty, bool)
        Of each finding, whether the tile that says it most holds it.
    features : (k,) ndarray
        For the baseline.
    seed : int
    scanner : str
    """

    truth: NDArray[np.int8]
    chance: Floats
    placed: tuple[tuple[int, str, bool], ...]
    features: Floats
    seed: int
    scanner: str


def evaluate_chest(task: ChestTask, model: Path, *, cases: int, workers: int = 0) -> dict[str, Any]:
    """Judge an exported file on unseen patients and the scanner models kept from training.

    Parameters
    ----------
    task : ChestTask
    model : Path
        The exported file; its folder holds the bank and the thresholds.
    cases : int
        Patients, each with all its plantings and once healthy.
    workers : int
        Processes that scan.
    """
    folder = model.parent.parent
    bank = MemoryBank.load(folder)
    judged = list(_answers(task, model, bank, cases, workers))
    cuts = _cuts(folder / FILE)
    strata: dict[str, Any] = {"all": _group(judged, cuts)}
    strata["scanner"] = {
        name: _group([case for case in judged if case.scanner == name], cuts)
        for name in sorted({case.scanner for case in judged})
    }
    strata["difficulty"] = {
        name: _difficulty(judged, name, cuts) for name in DIFFICULTIES if _has(judged, name)
    }
    strata["label"] = _labels(judged, cuts)
    return told(
        task.name,
        [model],
        cohort={
            "patients": cases,
            "planted": sum(bool((case.truth == 1).any()) for case in judged),
            "healthy": sum(not (case.truth == 1).any() for case in judged),
        },
        thresholds={},
        strata=strata,
        baseline=_baseline(judged),
        failures=_failures(judged, cuts),
        bank={"digest": bank.digest, "tiles": len(bank.embedded)},
        not_evaluated=[LABEL_NAMES[n] for n in np.flatnonzero(~np.asarray(EVALUATED))],
    )


def _answers(
    task: ChestTask, model: Path, bank: MemoryBank, cases: int, workers: int
) -> Iterator[LabelledStudy]:
    session, (low, high) = open_session(model), CLIP_HU
    pool, scanners = task.plantings(), unseen_profiles()
    for place, scanner in enumerate(scanners):
        seeds = range(FIRST_TEST_SEED + place, FIRST_TEST_SEED + cases, len(scanners))
        studies = WholeStudies(pool, seeds, scanner=scanner.name)
        loader = DataLoader(studies, batch_size=None, num_workers=workers, collate_fn=_same)
        shown = track(
            loader, f"chest, {scanner.name}", total=len(studies), console=Console(stderr=True)
        )
        for study in shown:
            volume = ((study.hu.astype(np.float32) - low) / (high - low))[None, None]
            fed = {"volume": volume, "bank": bank.embedded, "bank_labels": bank.labels}
            chance, where = session.run(["labels", "where"], fed)
            yield LabelledStudy(
                study.truth,
                chance[0].astype(np.float64),
                tuple((n, named, bool(where[0][n] in tiles)) for n, named, tiles in study.findings),
                np.quantile(study.hu, QUANTILES),
                study.seed,
                study.scanner,
            )


def _same(study: WholeStudy) -> WholeStudy:
    return study


def _cuts(path: Path) -> dict[str, Floats]:
    """Read mark and flag of every label, (L,); NaN where there is none."""
    if not path.exists():
        return {}
    kept = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: np.array([kept[name]["values"].get(label, np.nan) for label in LABEL_NAMES])
        for name in NAMES
        if "values" in kept.get(name, {})
    }


def _asked(judged: Sequence[LabelledStudy]) -> NDArray[np.int64]:
    """Return the labels of which enough studies have one."""
    truth = np.stack([case.truth for case in judged])
    enough = ((truth == 1).sum(axis=0) >= LEAST_POSITIVE) & (truth == 0).any(axis=0)
    return np.flatnonzero(enough & np.asarray(EVALUATED))


def _aucs(judged: Sequence[LabelledStudy], labels: Sequence[int]) -> list[float]:
    truth = np.stack([case.truth for case in judged])
    chance = np.stack([case.chance for case in judged])
    return [auc(chance[truth[:, n] == 0, n], chance[truth[:, n] == 1, n]).value for n in labels]


def _group(judged: Sequence[LabelledStudy], cuts: dict[str, Floats]) -> dict[str, Any]:
    """Return the mean AUC of the labels, what marks and flags find, and how many healthy have."""
    labels = _asked(judged)
    counted: dict[str, Any] = {"studies": len(judged), "labels": len(labels)}
    counted["auc"] = mean(_aucs(judged, labels))
    truth = np.stack([case.truth for case in judged])
    chance = np.stack([case.chance for case in judged])
    healthy = ~(truth == 1).any(axis=1)
    for name, cut in cuts.items():
        over = chance >= cut
        held = truth == 1
        counted[name] = {
            "sensitivity": wilson(int((over & held).sum()), int(held.sum())),
            "healthy_with_any": wilson(
                int((over[healthy] & (truth[healthy] == 0)).any(axis=1).sum()), int(healthy.sum())
            ),
        }
    return counted


def _has(judged: Sequence[LabelledStudy], difficulty: str) -> bool:
    return any(named == difficulty for case in judged for _, named, _ in case.placed)


def _difficulty(
    judged: Sequence[LabelledStudy], difficulty: str, cuts: dict[str, Floats]
) -> dict[str, Any]:
    """Return, over the findings of a difficulty, what marks and flags find and what is placed."""
    found = [
        (case.chance[n], n, placed)
        for case in judged
        for n, named, placed in case.placed
        if named == difficulty and EVALUATED[n]
    ]
    counted: dict[str, Any] = {
        "findings": len(found),
        "placed": wilson(sum(placed for _, _, placed in found), len(found)),
    }
    for name, cut in cuts.items():
        over = sum(bool(chance >= cut[n]) for chance, n, _ in found)
        counted[name] = {"sensitivity": wilson(over, len(found))}
    return counted


def _labels(judged: Sequence[LabelledStudy], cuts: dict[str, Floats]) -> dict[str, Any]:
    """Return the figures of each label that enough studies have."""
    truth = np.stack([case.truth for case in judged])
    chance = np.stack([case.chance for case in judged])
    counted = {}
    for n in _asked(judged):
        held, free = truth[:, n] == 1, truth[:, n] == 0
        counted[LABEL_NAMES[n]] = {
            "studies": int(held.sum()),
            "auc": auc(chance[free, n], chance[held, n]),
            **{
                name: {"sensitivity": wilson(int((chance[held, n] >= cut[n]).sum()), held.sum())}
                for name, cut in cuts.items()
            },
        }
    return counted


def _baseline(judged: Sequence[LabelledStudy]) -> dict[str, Any]:
    """Return the mean AUC of logistic regression on the quantiles of the box's HU."""
    features = np.stack([case.features for case in judged])
    groups = np.array([case.seed for case in judged])
    truth = np.stack([case.truth for case in judged])
    values = []
    for n in _asked(judged):
        known = truth[:, n] >= 0
        odds = cross_validated(features[known], truth[known, n] == 1, groups[known])
        held = truth[known, n] == 1
        values.append(auc(odds[~held], odds[held]).value)
    told: Figure = mean(values)
    return {"method": "logistic regression on the quantiles of the box's HU", "auc": told}


def _failures(judged: Sequence[LabelledStudy], cuts: dict[str, Floats]) -> list[dict[str, Any]]:
    """Return findings of easy and medium difficulty far below their mark, the lowest first."""
    if "mark" not in cuts:
        return []
    missed = [
        {
            "what": f"{LABEL_NAMES[n]} missed",
            "seed": case.seed,
            "scanner": case.scanner,
            "difficulty": named,
            "score": float(case.chance[n]),
        }
        for case in judged
        for n, named, _ in case.placed
        if named != "hard" and EVALUATED[n] and case.chance[n] < cuts["mark"][n]
    ]
    return sorted(missed, key=lambda case: (case["score"], case["seed"]))
