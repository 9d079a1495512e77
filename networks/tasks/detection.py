"""What the two detectors share: lesions anywhere in an organ, found tile by tile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.detection import DILATION_MM, TARGET, Tile, within
from networks.detection_export import export_classifier, export_detector
from networks.detection_losses import classifier_loss, detector_loss, matched
from networks.detection_run import OrganScan, count_marks, scan_scene, torch_finder
from networks.metrics import froc_sensitivity
from networks.nets.crop_classifier import DetectorAndClassifier, crops_at
from networks.nets.detector import DetectorAnswer, peaks_of
from networks.phantoms.lesion import Lesion
from networks.scenes import FIRST_SEED, JUDGE_SEED, default_folder
from networks.tasks.task import Sample, Sampler, Task, option
from networks.tile_sampling import Scans, TileSampler
from networks.tile_scenes import PLANTINGS, Planting, TilePool, start_filling
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

FALSE_POSITIVES = (0.5, 1.0, 1.4, 4.0)
"""A scan, at which sensitivity is told: 1 for nodules, 1.4 for bone."""

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
    """Kinds on which a mark is no false positive where another group is counted."""

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
        start_filling(pool, range(FIRST_SEED, FIRST_SEED + self.pool_size))

    def network(self) -> DetectorAndClassifier:
        """Build both networks."""
        return DetectorAndClassifier(len(self.windows_hu), len(self.kinds))

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
                    for limit in FALSE_POSITIVES
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

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the detector, and the classifier beside it."""
        assert isinstance(network, DetectorAndClassifier)
        export_detector(network.detector, path)
        export_classifier(network.classifier, path.with_name(f"{path.stem}_crops{path.suffix}"))
