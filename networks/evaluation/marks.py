"""Judge a check that marks lesions anywhere in an organ: free response, by size and by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from networks.detection import DILATION_MM, within
from networks.detection_run import Finder, OrganScan, count_marks, onnx_finder, scan_scene
from networks.evaluation.baseline import blobs
from networks.evaluation.told import FIRST_TEST_SEED, mean, told, unseen_profiles
from networks.metrics import Figure, MarkedCase, auc, froc_sensitivity, specificity, wilson
from networks.phantoms.lesion import Lesion
from networks.phantoms.profiles import ScannerProfile
from networks.scenes import BARE_SHARE
from networks.tile_scenes import TilePool
from postprocess.detections import Peaks

if TYPE_CHECKING:
    from networks.tasks.detection import DetectionTask

FINDINGS, MIMICS = 6, 3
"""Lesions and confounders of a planted scan; of the latter up to so many in a healthy one."""


Ranked = Callable[[Peaks], NDArray[np.float64]]
Belongs = Callable[[Lesion], bool]


@dataclass(frozen=True)
class MarkedScan:
    """A scan without its pixels, and what was marked on it.

    Attributes
    ----------
    scan : OrganScan
    peaks : Peaks
        Of the networks.
    blobs : Peaks or None
        Of the baseline; a healthy scan has none.
    """

    scan: OrganScan
    peaks: Peaks
    blobs: Peaks | None

    @property
    def planted(self) -> bool:
        """Whether the patient has findings."""
        return self.blobs is not None


def wanted_and_others(
    task: DetectionTask, pool: TilePool, seed: int
) -> tuple[list[Lesion], list[Lesion]]:
    """Return the lesions of a kept patient that the check is to find, and what looks like them."""
    lesions = pool.get(seed).lesions
    wanted = [x for x in lesions if x.kind in task.spared]
    return wanted, [x for x in lesions if x.kind not in task.spared]


def healthy_scans(
    task: DetectionTask,
    first_seed: int,
    patients: int,
    *,
    scans: int = 1,
    profiles: Sequence[ScannerProfile] = (),
) -> Iterator[OrganScan]:
    """Scan patients without a finding; most of them hold what looks like one.

    Parameters
    ----------
    scans : int
        Of each patient, each with other confounders.
    profiles : sequence of ScannerProfile
        Scanners, in turn; by default those for training, drawn.
    """
    pool = TilePool(task.pool, task.planting())
    for seed in range(first_seed, first_seed + patients):
        _, others = wanted_and_others(task, pool, seed)
        for number in range(scans):
            rng = np.random.default_rng((seed, 29, number))
            held = 0 if rng.random() < BARE_SHARE else 1 + int(rng.integers(MIMICS))
            chosen = [others[n] for n in rng.permutation(len(others))[:held]]
            yield _scan(task, pool, seed, chosen, profiles, number)


def planted_scans(
    task: DetectionTask, first_seed: int, patients: int, *, profiles: Sequence[ScannerProfile] = ()
) -> Iterator[OrganScan]:
    """Scan patients with some of their lesions, and with what looks like them."""
    pool = TilePool(task.pool, task.planting())
    for seed in range(first_seed, first_seed + patients):
        wanted, others = wanted_and_others(task, pool, seed)
        order = np.random.default_rng((seed, 31)).permutation(len(others))[:MIMICS]
        chosen = [*wanted[:FINDINGS], *(others[n] for n in order)]
        yield _scan(task, pool, seed, chosen, profiles, 0)


def _scan(
    task: DetectionTask,
    pool: TilePool,
    seed: int,
    lesions: Sequence[Lesion],
    profiles: Sequence[ScannerProfile],
    number: int,
) -> OrganScan:
    profile = profiles[(seed + number) % len(profiles)] if profiles else None
    return scan_scene(
        pool.get(seed), pool.patients, task.planting().tissues, task.tile, task.scans, lesions,
        profile=profile, number=number,
    )  # fmt: skip


def classifier_of(task: DetectionTask, model: Path) -> Path:
    """Return the classifier of a detector: beside it, or the model of its own in a repository."""
    beside = model.with_name(f"{model.stem}_crops{model.suffix}")
    return beside if beside.exists() else model.parents[2] / f"{task.name}_crops/1/model.onnx"


def evaluate_marks(
    task: DetectionTask, model: Path, thresholds: Mapping[str, float], *, cases: int
) -> dict[str, Any]:
    """Judge the exported files on unseen patients and the scanner models kept from training.

    Parameters
    ----------
    task : DetectionTask
    model : Path
        The exported detector; see `classifier_of`.
    thresholds : mapping
        ``mark`` and ``flag``; what is missing is not counted.
    cases : int
        Patients; each is looked at once planted and once healthy.
    """
    crops = classifier_of(task, model)
    finder = onnx_finder(model, crops, task.tile, task.windows_hu)
    profiles = unseen_profiles()
    console = Console(stderr=True)
    marked = []
    for planted, scans in (
        (True, planted_scans(task, FIRST_TEST_SEED, cases, profiles=profiles)),
        (False, healthy_scans(task, FIRST_TEST_SEED, cases, profiles=profiles)),
    ):
        name = f"{task.name}, {'planted' if planted else 'healthy'}"
        for scan in track(scans, name, total=cases, console=console):
            marked.append(mark(task, finder, scan, planted=planted))
    lesions = [x for m in marked if m.planted for x in m.scan.lesions]
    return told(
        task.name,
        [model, crops],
        cohort={
            "patients": cases,
            "planted": sum(m.planted for m in marked),
            "healthy": sum(not m.planted for m in marked),
            "scanners": Counter(m.scan.scanner for m in marked),
            "kinds": Counter(x.kind for x in lesions),
        },
        thresholds=thresholds,
        strata=strata(task, marked, thresholds),
        baseline=baseline(task, marked),
        failures=failures(task, marked, thresholds),
    )


def mark(task: DetectionTask, finder: Finder, scan: OrganScan, *, planted: bool) -> MarkedScan:
    """Run the networks and the baseline over a scan, and let go of its pixels."""
    peaks = finder.find(scan.hu, scan.mask)
    by_hand = None
    if planted:
        by_hand = blobs(
            scan.hu, scan.mask, task.tile.spacing_mm, task.blob_hu, dark=task.dark_blobs
        )
    nothing = np.zeros((0, 0, 0), np.int16)
    light = OrganScan(scan.seed, scan.scanner, nothing, nothing.astype(bool), scan.grid,
                      scan.lesions)  # fmt: skip
    return MarkedScan(light, peaks, by_hand)


def counted(
    task: DetectionTask, scan: MarkedScan, belongs: Belongs, peaks: Peaks, scores: NDArray[Any]
) -> MarkedCase:
    """Count the marks of one scan against the lesions of one group."""
    return count_marks(
        scan.scan, peaks, scores,
        [x for x in scan.scan.lesions if x.kind in task.kinds and belongs(x)],
        [x for x in scan.scan.lesions if x.kind in task.spared and not belongs(x)],
    )  # fmt: skip


def strata(
    task: DetectionTask, marked: Sequence[MarkedScan], thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """Return the figures of each group of lesions, by scanner model and by kind."""
    primary, belongs = next(iter(task.groups().items()))
    found: dict[str, Any] = {"all": figures(task, marked, belongs, thresholds)}
    found["all"]["group"] = primary
    found["all"]["kind_right"] = kind_right(task, marked)
    found["group"] = {
        name: figures(task, marked, chosen, thresholds) for name, chosen in task.groups().items()
    }
    found["scanner"] = {
        name: figures(task, [m for m in marked if m.scan.scanner == name], belongs, thresholds)
        for name in sorted({m.scan.scanner for m in marked})
    }
    kinds = sorted({x.kind for m in marked for x in m.scan.lesions if x.kind in task.kinds})
    found["kind"] = {
        kind: figures(task, marked, _both(kind, belongs), thresholds)
        for kind in kinds
        if any(x.kind == kind and belongs(x) for m in marked for x in m.scan.lesions)
    }
    return found


def _both(kind: str, belongs: Belongs) -> Belongs:
    return lambda lesion: lesion.kind == kind and belongs(lesion)


def figures(
    task: DetectionTask,
    marked: Sequence[MarkedScan],
    belongs: Belongs,
    thresholds: Mapping[str, float],
) -> dict[str, Any]:
    """Return FROC, and what each threshold finds and leaves, of one group of lesions.

    ``auc`` sets the score of each lesion, 0 where it is missed, against the highest score of each
    healthy scan, as if every patient had one lesion.
    """
    planted = [m for m in marked if m.planted]
    cases = [counted(task, m, belongs, m.peaks, task.ranked(m.peaks)) for m in planted]
    others = [m.peaks for m in marked if not m.planted]
    highest = [float(task.ranked(peaks).max()) if len(peaks) else 0.0 for peaks in others]
    lesions = sum(case.lesions for case in cases)
    hit = np.concatenate([c.scores[c.hits >= 0] for c in cases] or [np.zeros(0)])
    best = np.concatenate([hit, np.zeros(lesions - len(hit))])
    flaggable = [
        counted(task, m, belongs, kept := m.peaks.take(task.flaggable(m.peaks)), task.ranked(kept))
        for m in planted
    ]
    counts: dict[str, Any] = {
        "scans": len(planted),
        "lesions": lesions,
        "healthy": len(others),
        "auc": auc(highest, best),
        "froc": {f"{limit:g}": froc_sensitivity(cases, limit) for limit in task.limits},
    }
    if "mark" in thresholds:
        value = thresholds["mark"]
        false = [((c.scores >= value) & (c.hits < 0)).sum() for c in cases]
        counts["mark"] = {
            "sensitivity": wilson(int((hit >= value).sum()), lesions),
            "false_positives": mean(map(float, false)),
            "false_positives_healthy": mean(
                float((task.ranked(peaks) >= value).sum()) for peaks in others
            ),
        }
    if "flag" in thresholds:
        value = thresholds["flag"]
        over = sum(int(((c.scores >= value) & (c.hits >= 0)).sum()) for c in flaggable)
        counts["flag"] = {
            "sensitivity": wilson(over, lesions),
            "specificity": specificity([study_score(task, p) for p in others], value),
        }
    return counts


def study_score(task: DetectionTask, peaks: Peaks) -> float:
    """Return the highest score of the marks that may flag a study; 0 without one."""
    kept = peaks.take(task.flaggable(peaks))
    return float(task.ranked(kept).max()) if len(kept) else 0.0


def kind_right(task: DetectionTask, marked: Sequence[MarkedScan]) -> Figure:
    """Return the share of marked lesions whose likeliest kind is theirs."""
    right = hits = 0
    for m in marked:
        points = m.peaks.points_mm(m.scan.grid.affine)[:, ::-1]
        for lesion in m.scan.lesions:
            near = np.flatnonzero(within(points, lesion, DILATION_MM))
            if lesion.kind in task.kinds and len(near):
                hits += 1
                right += task.kinds[int(m.peaks.kinds[near[0]].argmax())] == lesion.kind
    return wilson(right, hits)


def baseline(task: DetectionTask, marked: Sequence[MarkedScan]) -> dict[str, Any]:
    """Return the FROC of blobs, by group."""
    planted = [(m, m.blobs) for m in marked if m.blobs is not None]
    return {
        "method": "differences of Gaussians, 4 to 17 mm, in the true organ",
        "froc": {
            name: {
                f"{limit:g}": froc_sensitivity(
                    [counted(task, m, chosen, found, found.scores) for m, found in planted], limit
                )
                for limit in task.limits
            }
            for name, chosen in task.groups().items()
        },
    }


def failures(
    task: DetectionTask, marked: Sequence[MarkedScan], thresholds: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return healthy scans that are flagged, then the largest lesions that are not marked."""
    over, under = thresholds.get("flag", np.inf), thresholds.get("mark", -np.inf)
    wrong = [
        {"what": "flagged though healthy", "seed": m.scan.seed, "scanner": m.scan.scanner,
         "kind": ", ".join(sorted({x.kind for x in m.scan.lesions})),
         "score": study_score(task, m.peaks)}
        for m in marked
        if not m.planted and study_score(task, m.peaks) >= over
    ]  # fmt: skip
    _, belongs = next(iter(task.groups().items()))
    missed: list[dict[str, Any]] = []
    for m in marked:
        kept = m.peaks.take(task.ranked(m.peaks) >= under)
        points = kept.points_mm(m.scan.grid.affine)[:, ::-1]
        missed += [
            {"what": "missed", "seed": m.scan.seed, "scanner": m.scan.scanner, "kind": x.kind,
             "difficulty": x.difficulty, "diameter_mm": x.diameter_mm}
            for x in m.scan.lesions
            if m.planted and x.kind in task.kinds and belongs(x)
            and not within(points, x, DILATION_MM).any()
        ]  # fmt: skip
    missed.sort(key=lambda told: -float(told["diameter_mm"]))
    return [*sorted(wrong, key=lambda told: -float(told["score"])), *missed]
