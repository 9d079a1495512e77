"""What the two detectors share: lesions anywhere in an organ, found tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from networks.detection import TARGET, Tile
from networks.detection_export import export_classifier, export_detector
from networks.detection_losses import classifier_loss, detector_loss, matched
from networks.nets.crop_classifier import DetectorAndClassifier, crops_at
from networks.nets.detector import DetectorAnswer, peaks_of
from networks.scenes import FIRST_SEED, default_folder
from networks.tasks.task import Sample, Sampler, Task, option
from networks.tile_sampling import Scans, TileSampler
from networks.tile_scenes import PLANTINGS, Planting, TilePool, start_filling

if TYPE_CHECKING:
    from networks.engine import Plan

CROPS = 8
"""Marks of each tile that the crop classifier learns from."""

SHOWN = 3
"""Of them, at most this many are the lesions themselves, found or not."""

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
        """Return what share of lesions is found at one false positive a scan."""
        return {}

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the detector, and the classifier beside it."""
        assert isinstance(network, DetectorAndClassifier)
        export_detector(network.detector, path)
        export_classifier(network.classifier, path.with_name(f"{path.stem}_crops{path.suffix}"))
