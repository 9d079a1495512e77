"""What the two detectors share: lesions anywhere in an organ, found tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from networks.background import start_filling
from networks.detection import DILATION_MM, TARGET, Tile, within
from networks.detection_export import export_classifier, export_detector
from networks.detection_losses import classifier_loss, detector_loss, matched
from networks.detection_run import OrganScan, count_marks, scan_scene, torch_finder
from networks.evaluation.thresholds import count_threshold, share_threshold
from networks.metrics import froc_sensitivity
from networks.nets.crop_classifier import DetectorAndClassifier, crops_at
from networks.nets.detector import DetectorAnswer, peaks_of
from networks.phantoms.lesion import Lesion
from networks.scenes import FIRST_SEED, HEALTHY_SEED, JUDGE_SEED, default_folder
from networks.tasks.task import Sample, Sampler, Task, option
from networks.tile_sampling import Scans, TileSampler
from networks.tile_scenes import PLANTINGS, Planting, TilePool
from postprocess.detections import Peaks

if TYPE_CHECKING:
    from networks.engine import Plan

CROPS = 8
"""Marks of each tile that the crop classifier learns from."""

SHOWN = 3
"""Of them, at most this many are the lesions themselves, found or not."""

JUDGED_PATIENTS = 8

JUDGED_LESIONS, JUDGED_MIMICS = 8, 5
"""Lesions and confounders of each patient that validation looks at."""

HEALTHY_SCANS = 4
"""Of each healthy patient, each on another scanner and with other confounders."""

MARK_PART = 0.8
"""Of the false marks that a check may make a scan, how many its threshold is set for."""

SHAKE_VOXELS = 2.0
"""SD of what such a mark is off the centre."""


@dataclass(frozen=True)
class Answer:
    """What both networks said of a batch."""

    detector: DetectorAnswer
    lesion: Tensor
    """(n,) logits of the crops."""

    kinds: Tensor
    """(n, kinds) logits of the crops."""

    is_lesion: Tensor
    """(n,) as `networks.detection_losses.matched` gives it."""

    is_kind: Tensor
    """(n,)."""


class TensorTiles:
    """The tiles of a `TileSampler` as tensors."""

    def __init__(self, sampler: TileSampler) -> None:
        self.sampler = sampler

    def draw(self, number: int) -> Sample:
        """Return ``hu``, ``rows``, ``heat`` and ``weight`` of one tile."""
        sample = self.sampler.sample(number)
        names = ("hu", "rows", "heat", "weight")
        return {name: torch.from_numpy(getattr(sample, name)) for name in names}


@dataclass
class DetectionTask(Task):
    """Find the lesions of a check, measure them and name their kind."""

    tile: ClassVar[Tile]
    kinds: ClassVar[tuple[str, ...]]
    windows_hu: ClassVar[tuple[tuple[float, float], ...]]
    scans: ClassVar[Scans]
    spared: ClassVar[tuple[str, ...]]
    """Findings: kinds on which a mark is no false positive where another group is counted."""

    limits: ClassVar[tuple[float, ...]] = (0.5, 1.0, 1.4, 4.0)
    """False marks a scan at which sensitivity is told."""

    false_marks: ClassVar[float]
    """False marks a scan that the check may make."""

    flag_share: ClassVar[float]
    """Share of healthy patients that may be flagged (pipelines.md §7.3)."""

    blob_hu: ClassVar[tuple[float, float]]
    """HU to which the baseline clips."""

    dark_blobs: ClassVar[bool] = False
    """Whether the baseline marks what is darker than its surroundings as well."""

    validate_every: ClassVar[int] = 1000

    plan: ClassVar[dict[str, Any]] = {"batch": 2, "rate": 1.5e-3}

    pool_first: int = option(12)
    pool_size: int = option(200)
    pool_every: int = option(20)

    @classmethod
    def planting(cls) -> Planting:
        """Return what is planted into the patients."""
        return PLANTINGS[cls.name]

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder of the scenes."""
        return default_folder()

    def prepare(self) -> None:
        """Draw the first patients, and begin to draw the others in the background."""
        pool = TilePool(self.pool, self.planting())
        first = range(FIRST_SEED, FIRST_SEED + min(self.pool_first, self.pool_size))
        for child in start_filling(pool, first, processes=2):
            child.join()
        start_filling(pool, range(FIRST_SEED, FIRST_SEED + self.pool_size), processes=1)

    def network(self) -> DetectorAndClassifier:
        """Build both networks."""
        return DetectorAndClassifier(len(self.windows_hu), len(self.kinds), self.size)

    def sampler(self, seed: int) -> Sampler:
        """Return scanned tiles of pooled patients."""
        return TensorTiles(
            TileSampler(
                TilePool(self.pool, self.planting()),
                self.tile,
                self.kinds,
                self.scans,
                seed,
                first_seed=FIRST_SEED,
                first=self.pool_first,
                size=self.pool_size,
                every=self.pool_every,
            )
        )

    def windows(self, hu: Tensor) -> Tensor:
        """Scale (N, D, H, W) HU into the (N, channels, D, H, W) input."""
        value = hu.float()
        return torch.stack(
            [(value.clamp(low, high) - low) / (high - low) for low, high in self.windows_hu], dim=1
        )

    def forward(self, network: nn.Module, batch: Sample) -> Answer:
        """Run the detector on tiles, and the classifier on its marks and on the lesions."""
        assert isinstance(network, DetectorAndClassifier)
        volume = self.windows(batch["hu"])
        answer = network.detector(volume)
        marks = self.marks(answer, batch["rows"])
        lesion, kind = matched(marks, batch["rows"], self.tile.spacing_mm)
        said, kinds = network.classifier(crops_at(volume, marks))
        return Answer(answer, said, kinds, lesion.flatten(), kind.flatten())

    @torch.no_grad()
    def marks(self, answer: DetectorAnswer, rows: Tensor) -> Tensor:
        """Return (N, CROPS, 3) voxels: up to `SHOWN` lesions, then the strongest peaks."""
        marks = peaks_of(answer, CROPS)[:, :, 1:4]
        for tile, told in enumerate(rows):
            shown = told[told[:, 5] == TARGET][:SHOWN, :3]
            count = len(shown)
            if count:
                shaken = shown + SHAKE_VOXELS * torch.randn_like(shown)
                marks[tile] = torch.cat([shaken, marks[tile, : CROPS - count]])
        return marks

    def loss(self, outputs: Any, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the terms of both networks."""
        crop = classifier_loss(outputs.lesion, outputs.kinds, outputs.is_lesion, outputs.is_kind)
        return detector_loss(outputs.detector, batch) | crop

    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return what share of lesions is found on unseen patients, and whether kinds are told."""
        assert isinstance(network, DetectorAndClassifier)
        finder = torch_finder(network, self.tile, self.windows_hu, bf16=plan.bf16)
        return self.figures([(scan, finder.find(scan.hu, scan.mask)) for scan in self.judged])

    @cached_property
    def judged(self) -> list[OrganScan]:
        """The scans that validation looks at."""
        pool = TilePool(self.pool, self.planting())
        scans = []
        for seed in range(JUDGE_SEED, JUDGE_SEED + JUDGED_PATIENTS):
            scene = pool.get(seed)
            lesions = [x for x in scene.lesions if x.kind in self.kinds][:JUDGED_LESIONS]
            lesions += [x for x in scene.lesions if x.kind not in self.kinds][:JUDGED_MIMICS]
            tissues = self.planting().tissues
            scans.append(scan_scene(scene, pool.patients, tissues, self.tile, self.scans, lesions))
        return scans

    @classmethod
    def groups(cls) -> dict[str, Callable[[Lesion], bool]]:
        """Return the lesions whose sensitivity is told apart, by name; the first counts."""
        raise NotImplementedError

    @classmethod
    def ranked(cls, peaks: Peaks) -> NDArray[np.float64]:
        """Return the scores by which marks are ranked."""
        return peaks.scores

    @classmethod
    def flaggable(cls, peaks: Peaks) -> NDArray[np.bool_]:
        """Return which marks may flag a study."""
        return np.ones(len(peaks), bool)

    def figures(self, found: Sequence[tuple[OrganScan, Peaks]]) -> dict[str, Any]:
        """Return FROC figures of some scans by group, and the share of kinds told."""
        told: dict[str, Any] = {"scans": len(found)}
        for name, belongs in self.groups().items():
            cases = [
                count_marks(
                    scan, peaks, self.ranked(peaks),
                    [x for x in scan.lesions if x.kind in self.kinds and belongs(x)],
                    [x for x in scan.lesions if x.kind in self.spared and not belongs(x)],
                )
                for scan, peaks in found
            ]  # fmt: skip
            told[name] = {
                "lesions": sum(case.lesions for case in cases),
                **{
                    f"at_{limit:g}": froc_sensitivity(cases, limit).rounded()
                    for limit in self.limits
                },
            }
        told["kind_right"] = self._kinds_right(found)
        return told

    def _kinds_right(self, found: Sequence[tuple[OrganScan, Peaks]]) -> float:
        """Return the share of lesions marked whose kind is right."""
        right = []
        for scan, peaks in found:
            points = peaks.points_mm(scan.grid.affine)[:, ::-1]
            for lesion in scan.lesions:
                hits = np.flatnonzero(within(points, lesion, DILATION_MM))
                if lesion.kind in self.kinds and len(hits):
                    right.append(self.kinds[int(peaks.kinds[hits[0]].argmax())] == lesion.kind)
        return round(float(np.mean(right)), 3) if right else float("nan")

    def calibrate(self, network: nn.Module, plan: Plan, patients: int = 250) -> dict[str, Any]:
        """Set mark by the false marks a healthy scan, flag by the share of healthy scans."""
        from networks.evaluation.marks import healthy_scans, study_score

        assert isinstance(network, DetectorAndClassifier)
        finder = torch_finder(network, self.tile, self.windows_hu, bf16=plan.bf16)
        scans = healthy_scans(self, HEALTHY_SEED, patients, scans=HEALTHY_SCANS)
        total = patients * HEALTHY_SCANS
        marks, studies = [], []
        for scan in track(scans, self.name, total=total, console=Console(stderr=True)):
            peaks = finder.find(scan.hu, scan.mask)
            marks.append(self.ranked(peaks))
            studies.append(study_score(self, peaks))
        return {
            "check": self.name,
            "score": "probability",
            "healthy": total,
            "patients": patients,
            "seeds": [HEALTHY_SEED, HEALTHY_SEED + patients],
            "mark": count_threshold(marks, MARK_PART * self.false_marks),
            "flag": share_threshold(studies, self.flag_share),
        }

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge the exported files on patients and scanner models that training never sees."""
        from networks.evaluation.marks import evaluate_marks

        return evaluate_marks(self, model, thresholds, cases=cases)

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the detector, and the classifier beside it."""
        assert isinstance(network, DetectorAndClassifier)
        export_detector(network.detector, path)
        export_classifier(network.classifier, path.with_name(f"{path.stem}_crops{path.suffix}"))
