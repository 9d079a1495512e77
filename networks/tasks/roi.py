"""What the checks that look at one box have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from networks.background import start_filling
from networks.evaluation.boxes import (
    Judged,
    UnseenBoxes,
    confusion,
    dice,
    judge_boxes,
    torch_run,
)
from networks.evaluation.thresholds import share_threshold
from networks.export import LEAST_AGREEMENT, ParityError, open_session, write_onnx
from networks.losses import class_weights, kind_loss, level_loss, patient_loss
from networks.metrics import auc, sensitivity, threshold_for
from networks.nets.roi_net import RoiAnswer, RoiFile, RoiNet, RoiShape
from networks.phantoms.lesion import Lesion
from networks.phantoms.region import Axes
from networks.roi_crops import CropSampler
from networks.roi_sampling import RoiSampler, View, padded_multiple
from networks.scenes import (
    FIRST_SEED,
    HEALTHY_SEED,
    JUDGE_SEED,
    Box,
    ScenePool,
    default_folder,
)
from networks.sizes import FULL
from networks.tasks.task import Sample, Task, option

if TYPE_CHECKING:
    from networks.engine import Plan

PATIENT_WEIGHT = 0.5

KIND_WEIGHT = 0.3

WEIGHED_SAMPLES = 16
"""Boxes whose voxels are counted for the class weights."""

JUDGED_PATIENTS = 40

HEALTHY_PATIENTS = 250
"""That set thresholds."""

HEALTHY_VARIANTS = 4
"""Plantings of confounders into each of them: the 1,000 phantoms of pipelines.md §7.3. Another
planting costs a fifth of another patient."""

MARK_SHARE = 0.05
"""Share of healthy boxes in which a lesion is shown to the reader."""

SCORE_TOLERANCE = 2e-3
"""Largest difference of a probability between the exported file and torch."""

HEAT_TOLERANCE = 3
"""Largest difference of the lesion map in 255ths, but for a share as for the labels."""


def windowed(hu: Tensor, windows_hu: tuple[tuple[float, float], ...]) -> Tensor:
    """Scale (N, D, H, W) HU into (N, channels, D, H, W) windows of 0 to 1."""
    value = hu.float()
    scaled = [(value.clamp(low, high) - low) / (high - low) for low, high in windows_hu]
    return torch.stack(scaled, dim=1)


@dataclass
class RoiTask(Task):
    """One check's box: where it lies, what is labelled in it, how large the network is."""

    box: ClassVar[Box]
    spacing_mm: ClassVar[tuple[float, float, float]]
    windows_hu: ClassVar[tuple[tuple[float, float], ...]]
    """``[[recipe.channels]]`` of the manifest."""

    labels: ClassVar[tuple[str, ...]]
    """Names by label value; the first is the background."""

    shape: ClassVar[RoiShape]
    kinds: ClassVar[tuple[str, ...]] = ()
    """What the differential tells apart, in the order of the output."""

    cut: ClassVar[tuple[float, float]] = (0.1, 0.35)
    """How often the end of a scan cuts the box, and how much of it; see `View.cut`."""

    flag_share: ClassVar[float] = 0.01
    """Share of healthy patients that may be flagged (pipelines.md §7.3)."""

    plan: ClassVar[dict[str, Any]] = {"accumulate": 2}

    crop: ClassVar[tuple[int, int, int]] = (32, 64, 64)
    """Voxels of a part of a box, where training looks at parts."""

    pool_first: int = option(24)
    pool_size: int = option(400)
    pool_every: int = option(16)
    crops: int = option(0)
    """Parts that are cut out of each scanned box; 0: whole boxes."""

    judged: int = JUDGED_PATIENTS
    """Patients that validation looks at, each once healthy and once planted."""

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder of all pools of scenes; they keep their versions apart."""
        return default_folder()

    @classmethod
    def paint(
        cls, tissues: NDArray[np.uint8], lesions: tuple[Lesion, ...], axes: Axes
    ) -> NDArray[np.uint8]:
        """Return the labels of a grid; see `networks.roi_sampling.Painter`."""
        raise NotImplementedError

    # --- data -----------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """How the network looks at its box."""
        multiple = padded_multiple(self.shape.multiple)
        return View(self.box, self.spacing_mm, multiple, self.paint, self.cut)

    def scenes(self, **variants: int) -> ScenePool:
        """Return the pool of the box's scenes."""
        return ScenePool(self.pool, self.box, **variants)

    def prepare(self) -> None:
        """Draw in the background: first what training begins with, then what judges it."""
        seeds = list(range(FIRST_SEED, FIRST_SEED + self.pool_size))
        judged = list(range(JUDGE_SEED, JUDGE_SEED + self.judged))
        first = seeds[: self.pool_first]
        start_filling(self.scenes(), [*first, *judged, *seeds[self.pool_first :]])

    def sampler(self, seed: int) -> TensorBoxes:
        """Return boxes of pooled scenes, scanned anew."""
        boxes = RoiSampler(
            self.scenes(),
            self.view,
            seed,
            first_seed=FIRST_SEED,
            first=self.pool_first,
            size=self.pool_size,
            every=max(1, self.pool_every // max(1, self.crops)),
        )
        if not self.crops:
            return TensorBoxes(boxes, self.kinds)
        parts = CropSampler(boxes, self.crop, self.crops, self.shape.lesion)
        return TensorBoxes(parts, self.kinds)

    @cached_property
    def weights(self) -> Tensor:
        """Class weights of the first boxes."""
        counts = torch.zeros(len(self.labels), dtype=torch.int64)
        sampler = self.sampler(0)
        for number in range(WEIGHED_SAMPLES):
            labels = sampler.draw(number)["labels"].flatten().long()
            counts += torch.bincount(labels, minlength=len(self.labels))
        return class_weights(counts)

    # --- learning -------------------------------------------------------------------------

    def network(self) -> RoiNet:
        """Build the network of this box."""
        return RoiNet(self.shape.full if self.size == FULL else self.shape)

    def windows(self, hu: Tensor) -> Tensor:
        """Scale (N, D, H, W) HU into the (N, channels, D, H, W) input."""
        return windowed(hu, self.windows_hu)

    def forward(self, network: nn.Module, batch: Sample) -> RoiAnswer:
        """Window a batch and run the network on it."""
        answer: RoiAnswer = network(self.windows(batch["hu"]))
        return answer

    def loss(self, outputs: RoiAnswer, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the terms of labels, patient and kind.

        The weights of rare classes fall to their square root as the network matures: in full they
        find them early, but fatten their borders.
        """
        weights = self.weights.to(batch["hu"].device) ** (1 - 0.5 * maturity)
        terms = {"labels": level_loss(outputs.levels, batch["labels"], weights)}
        if outputs.score is not None:
            terms["patient"] = PATIENT_WEIGHT * patient_loss(outputs.score, batch["ill"])
        if outputs.kinds is not None:
            terms["kind"] = KIND_WEIGHT * kind_loss(outputs.kinds, batch["kind"])
        return terms

    # --- judging --------------------------------------------------------------------------

    def answers(self, network: nn.Module, plan: Plan, boxes: UnseenBoxes) -> Iterator[Judged]:
        """Run the network on boxes that it has not seen, one after another."""
        assert isinstance(network, RoiNet)
        return judge_boxes(torch_run(network, self.windows, plan), boxes, plan.workers)

    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return Dice by label, and how patients and kinds are told apart."""
        boxes = UnseenBoxes(self.scenes(), self.view, JUDGE_SEED, self.judged, (False, True))
        return self.figures(list(self.answers(network, plan, boxes)))

    def figures(self, judged: list[Judged]) -> dict[str, Any]:
        """Return the figures of some judged boxes."""
        told: dict[str, Any] = {"dice": self._dice(judged)}
        if not self.shape.lesion:
            return told
        healthy = [case.score for case in judged if case.sample.ill == 0]
        ill = [case for case in judged if case.sample.ill == 1]
        told["auc"] = auc(healthy, [case.score for case in ill]).rounded()
        threshold = threshold_for(healthy, MARK_SHARE) if len(healthy) >= 20 else float("nan")
        for difficulty in ("easy", "medium", "hard"):
            scores = [case.score for case in ill if case.sample.difficulty == difficulty]
            told[difficulty] = {
                "auc": auc(healthy, scores).rounded(),
                "found": sensitivity(scores, threshold).rounded(),
            }
        named = [case for case in ill if case.kinds is not None]
        right = sum(self.kinds[int(x.kinds.argmax())] == x.sample.kind for x in named)  # type: ignore[union-attr]
        if named:
            told["kind_right"] = round(right / len(named), 3)
        return told

    def _dice(self, judged: list[Judged]) -> dict[str, float]:
        """Return the Dice of each label over all voxels of all boxes."""
        count = len(self.labels)
        table = sum(confusion(x.sample.labels, x.labels, count) for x in judged)
        return {name: round(value, 3) for name, value in dice(table, self.labels).items()}

    def calibrate(
        self, network: nn.Module, plan: Plan, patients: int = HEALTHY_PATIENTS
    ) -> dict[str, Any]:
        """Set the thresholds at the budget's percentile of healthy phantoms."""
        if not self.shape.lesion:
            raise NotImplementedError(f"{self.name} has no thresholds")
        boxes = UnseenBoxes(
            self.scenes(planted=0, healthy=HEALTHY_VARIANTS), self.view, HEALTHY_SEED, patients,
            (False,), variants=HEALTHY_VARIANTS,
        )  # fmt: skip
        shown = track(self.answers(network, plan, boxes), description=self.name, total=len(boxes))
        scores = [case.score for case in shown]
        return {
            "check": self.name,
            "score": "probability",
            "healthy": len(boxes),
            "patients": patients,
            "seeds": [HEALTHY_SEED, HEALTHY_SEED + patients],
            "mark": share_threshold(scores, MARK_SHARE),
            "flag": share_threshold(scores, self.flag_share),
        }

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge an exported file on patients and scanner models that training never sees."""
        from networks.evaluation.roi import evaluate_roi

        return evaluate_roi(self, model, thresholds, cases=cases, workers=workers)

    # --- export ---------------------------------------------------------------------------

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the network and compare the file with torch on a box of smooth noise."""
        assert isinstance(network, RoiNet)
        file = RoiFile(network).eval()
        channels, multiple = self.shape.channels, padded_multiple(self.shape.multiple)
        size = (2 * multiple, 3 * multiple, 2 * multiple)
        axes = {0: "n", 2: "d", 3: "h", 4: "w"}
        flat = {"labels": {0: "n", 1: "d", 2: "h", 3: "w"}, "score": {0: "n"}, "kinds": {0: "n"}}
        flat["lesion"] = flat["labels"]
        write_onnx(
            file,
            path,
            inputs={"volume": torch.zeros(1, channels, *size)},
            outputs=file.outputs,
            dynamic={"volume": axes} | {name: flat[name] for name in file.outputs},
        )
        volume = smooth_boxes(channels, (2 * multiple, 2 * multiple, 3 * multiple))
        with torch.no_grad():
            ours = dict(zip(file.outputs, file(volume), strict=True))
        given = open_session(path).run(list(file.outputs), {"volume": volume.numpy()})
        hold_to(ours, dict(zip(file.outputs, given, strict=True)))


class TensorBoxes:
    """The boxes of a sampler as tensors."""

    def __init__(self, boxes: RoiSampler | CropSampler, kinds: tuple[str, ...]) -> None:
        self.boxes = boxes
        self.kinds = kinds

    def draw(self, number: int) -> Sample:
        """Return (D, H, W) ``hu`` and ``labels``, and the scalars ``ill`` and ``kind``."""
        sample = self.boxes.sample(number)
        known = sample.ill == 1 and sample.kind in self.kinds
        return {
            "hu": torch.from_numpy(sample.hu),
            "labels": torch.from_numpy(sample.labels),
            "ill": torch.tensor(sample.ill),
            "kind": torch.tensor(self.kinds.index(sample.kind) if known else -1),
        }


def smooth_boxes(channels: int, shape: tuple[int, int, int]) -> Tensor:
    """Draw two boxes (2, channels, D, H, W) of smooth noise in [0, 1] to compare runtimes on."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, channels, *(size // 8 for size in shape), generator=rng)
    return nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=False)


def hold_to(ours: dict[str, Tensor], theirs: dict[str, NDArray[Any]]) -> None:
    """Compare torch's answers with a file's.

    Raises
    ------
    ParityError
        For the first output that differs by more than its tolerance.
    """
    for name, value in ours.items():
        mine, other = value.numpy(), theirs[name]
        if mine.dtype != other.dtype or mine.shape != other.shape:
            raise ParityError(f"{name} is {other.dtype} {other.shape}")
        if name in ("labels", "lesion"):
            apart = np.abs(mine.astype(np.int16) - other.astype(np.int16))
            share = float((apart <= (HEAT_TOLERANCE if name == "lesion" else 0)).mean())
            if share < LEAST_AGREEMENT:
                raise ParityError(f"{name} is torch's in {share:.4%} of voxels only")
        elif float(np.abs(mine - other).max()) > SCORE_TOLERANCE:
            raise ParityError(f"{name} differs by {float(np.abs(mine - other).max()):.4f}")
