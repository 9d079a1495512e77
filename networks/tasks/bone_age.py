"""The bone age network: months, and whether the image is one left hand, from a hand radiograph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.export import ParityError, open_session, write_onnx
from networks.hand_sampling import HandSample, HandSampler, fitted
from networks.metrics import auc
from networks.nets.radiograph_net import CELL, WIDTHS, RadiographFile, RadiographNet, Reading, Scale
from networks.phantoms.hand_growth import CENTRES, Child
from networks.phantoms.hand_xray import Floats
from networks.scenes import FIRST_SEED, JUDGE_SEED
from networks.sizes import FULL, MOST_2D, full_widths
from networks.tasks.task import Sample, Task

if TYPE_CHECKING:
    from networks.engine import Plan

MONTHS = Scale(middle=114.0, spread=60.0)
"""Of the bone ages that are drawn: 12 to 216."""

CANVAS = (352, 448)
"""Rows and columns of a batch: two grown hands at `BoneAgeTask.spacing_mm`."""

LINEAR_MONTHS = 6.0
"""Errors beyond it count linearly."""

MONTHS_WEIGHT = 4.0
"""Of an error in units of the scale's spread, against the two doubts."""

PLACES_WEIGHT = 0.5

STAGES_WEIGHT = 6.0
"""Of where each centre of ossification is, and how far it is: what an age is read off."""

MONTHS_TOLERANCE = 0.05
"""Largest difference in months between the exported file and torch."""

CHANCE_TOLERANCE = 1e-3

JUDGED_HANDS = 100


@dataclass
class BoneAgeTask(Task):
    """Read a hand at 0.8 mm."""

    name = "bone_age"
    validate_every = 400
    plan = {"batch": 16, "workers": 1, "rate": 4e-3}  # noqa: RUF012 - a default nobody changes

    spacing_mm: ClassVar[float] = 0.8
    percentiles: ClassVar[tuple[float, float]] = (1.0, 99.5)
    """``[[recipe.channels]]`` of the manifest."""

    values: ClassVar[tuple[str, ...]] = ("bone_age_months", "mirrored", "unfit")
    """Columns of the output ``scores``."""

    clinical: ClassVar[tuple[str, ...]] = ("sex", "age_months")
    """Columns of the input ``clinical``; the age is not looked at."""

    judged: int = JUDGED_HANDS

    @classmethod
    def default_pool(cls) -> Path:
        """Return any folder: nothing is drawn beforehand."""
        return Path()

    def prepare(self) -> None:
        """Do nothing: a hand is drawn in 20 ms."""

    def network(self) -> nn.Module:
        """Build the untrained network."""
        widths = full_widths((2, 2, 2, 2), MOST_2D) if self.size == FULL else WIDTHS
        return RadiographNet(
            parts=len(CENTRES), doubts=len(self.values) - 1, words=1, widths=widths
        )

    def hand_sampler(self, first_seed: int, **more: Any) -> HandSampler:
        """Return hands on the network's grid."""
        return HandSampler(
            spacing_mm=self.spacing_mm, percentiles=self.percentiles, first_seed=first_seed, **more
        )

    def sampler(self, seed: int) -> TensorHands:
        """Return hands, each laid somewhere on the canvas."""
        return TensorHands(self.hand_sampler(FIRST_SEED, seed=seed))

    def forward(self, network: nn.Module, batch: Sample) -> Reading:
        """Run the network on a batch."""
        reading: Reading = network(batch["image"], batch["sex"], batch["inside"])
        return reading

    def loss(self, outputs: Reading, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the terms of months, places and stages, of hands only, and of the two doubts."""
        is_hand = 1 - batch["unfit"]
        hands = is_hand.sum().clamp(min=1)
        target = (batch["months"] - MONTHS.middle) / MONTHS.spread
        beta = LINEAR_MONTHS / MONTHS.spread
        number, *_ = outputs.numbers.unbind(1)
        apart = functional.smooth_l1_loss(number, target, reduction="none", beta=beta)
        # a centre that was cut off has no cell
        cell, is_there = batch["cells"].clamp(min=0), (batch["cells"] >= 0) * is_hand[:, None]
        missed = -outputs.places.gather(2, cell[..., None])[..., 0].clamp(min=-20) * is_there
        entropy = functional.binary_cross_entropy_with_logits
        far = entropy(outputs.stages, batch["stages"], reduction="none").mean(2) * is_there
        return {
            "months": MONTHS_WEIGHT * (apart * is_hand).sum() / hands,
            "places": PLACES_WEIGHT * missed.sum() / is_there.sum().clamp(min=1),
            "stages": STAGES_WEIGHT * far.sum() / is_there.sum().clamp(min=1),
            "mirrored": entropy(outputs.numbers[:, 1], batch["mirrored"], weight=is_hand),
            "unfit": entropy(outputs.numbers[:, 2], batch["unfit"]),
        }

    @torch.no_grad()
    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return errors in months, and how the doubts are told, on unseen hands."""
        hands = self.hand_sampler(JUDGE_SEED, variants=1)
        file = RadiographFile(network, {0: MONTHS}).eval()  # type: ignore[arg-type]
        apart, mirrored, unfit = [], {0: [], 1: []}, {0: [], 1: []}
        for number in range(self.judged):
            sample = hands.sample(number)
            image = torch.from_numpy(sample.image)[None, None, None].to(plan.device)
            sex = torch.tensor([[sample.sex]], device=plan.device)
            with plan.autocast():
                months, is_mirrored, is_unfit = file(image, sex)[0].float().tolist()
            unfit[int(sample.kind == "unfit")].append(is_unfit)
            if sample.kind != "unfit":
                apart.append(months - sample.child.bone_age_months)
                mirrored[int(sample.kind == "mirrored")].append(is_mirrored)
        return {
            "mean_absolute_error": round(float(np.abs(apart).mean()), 2),
            "bias": round(float(np.mean(apart)), 2),
            "mirrored_auc": auc(mirrored[0], mirrored[1]).rounded()[0],
            "unfit_auc": auc(unfit[0], unfit[1]).rounded()[0],
        }

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the network and compare the file with torch on hands."""
        assert isinstance(network, RadiographNet)
        file = ServedFile(RadiographFile(network, {0: MONTHS})).eval()
        free = {"volume": {0: "n", 3: "h", 4: "w"}, "clinical": {0: "n"}, "scores": {0: "n"}}
        write_onnx(
            file,
            path,
            inputs={
                "volume": torch.zeros(1, 1, 1, *CANVAS),
                "clinical": torch.zeros(1, len(self.clinical)),
            },
            outputs=("scores",),
            dynamic=free,
        )
        volume, clinical = self.examples()
        with torch.no_grad():
            ours = file(volume, clinical).numpy()
        given = {"volume": volume.numpy(), "clinical": clinical.numpy()}
        theirs = open_session(path).run(["scores"], given)[0]
        apart = np.abs(ours - theirs).max(axis=0)
        if not (apart[0] <= MONTHS_TOLERANCE and (apart[1:] <= CHANCE_TOLERANCE).all()):
            raise ParityError(f"scores differ by {apart.tolist()}")

    def examples(self) -> tuple[Tensor, Tensor]:
        """Return two hands, and the clinical values of a girl and of someone unknown."""
        hands = self.hand_sampler(JUDGE_SEED, variants=1, usual=True)
        rng = np.random.default_rng(0)
        images = [fitted(hands.sample(number).image, CANVAS, rng)[0] for number in range(2)]
        clinical = torch.tensor([[0.0, 100.0], [float("nan")] * 2])
        return torch.from_numpy(np.stack(images))[:, None, None], clinical

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge an exported file on whole radiographs of hands that training never sees."""
        from networks.evaluation.months import evaluate_months

        return evaluate_months(self, model, cases=cases)


class ServedFile(nn.Module):
    """The file as it is served: it is given all clinical values and reads the first."""

    def __init__(self, file: RadiographFile) -> None:
        super().__init__()
        self.file = file

    def forward(self, volume: Tensor, clinical: Tensor) -> Tensor:
        """Map (N, 1, 1, H, W) windows and (N, 2) values to (N, 3)."""
        scores: Tensor = self.file(volume, clinical[:, :1])
        return scores


class TensorHands:
    """The samples of hands as tensors of one size."""

    def __init__(self, hands: HandSampler) -> None:
        self.hands = hands

    def draw(self, number: int) -> Sample:
        """Return ``image inside sex cells stages``, and the scalars ``months mirrored unfit``."""
        sample: HandSample = self.hands.sample(number)
        rng = np.random.default_rng([self.hands.seed, number, 8])
        image, inside, shift = fitted(sample.image, CANVAS, rng)
        return {
            "image": torch.from_numpy(image)[None],
            "inside": functional.max_pool2d(torch.from_numpy(inside)[None], CELL),
            "sex": torch.tensor([sample.sex]),
            "cells": torch.from_numpy(cells(sample.places + np.float32(shift), inside)),
            "stages": torch.tensor(stages(sample.child)),
            "months": torch.tensor(sample.child.bone_age_months, dtype=torch.float32),
            "mirrored": torch.tensor(float(sample.kind == "mirrored")),
            "unfit": torch.tensor(float(sample.kind == "unfit")),
        }


def cells(places: Floats, inside: Floats) -> NDArray[np.int64]:
    """Return the number of the cell in which each place lies; −1 where it is not in the image."""
    rows, columns = np.floor(places).astype(np.int64).T
    high, wide = inside.shape
    held = (rows >= 0) & (rows < high) & (columns >= 0) & (columns < wide)
    held[held] = inside[rows[held], columns[held]] > 0
    return np.where(held, rows // CELL * (wide // CELL) + columns // CELL, -1)


def stages(child: Child) -> list[list[float]]:
    """Return size and fusion of every centre, 0 to 1."""
    each = [child.stage(name) for name in CENTRES]
    return [[stage.size, stage.fusion] for stage in each]


TASK = BoneAgeTask
