"""The anatomy network: every voxel of a patch one of 15 labels, at 3 mm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.background import start_filling
from networks.export import (
    LEAST_AGREEMENT,
    ParityError,
    agreement,
    export_network,
)
from networks.inference import dice_by_class, label_volume, torch_run, windows
from networks.labels import ANATOMY_LABELS
from networks.losses import class_weights, segmentation_loss
from networks.phantoms.tissue import organ_table
from networks.pool import UNSEEN_SEED, AnatomyPool, default_folder
from networks.sampling import AnatomySampler, NoiseBank, sample_rng, scan
from networks.sizes import FULL, full_widths
from networks.tasks.task import Sample, Sampler, Task, option
from networks.unet import WIDTHS, UNet

if TYPE_CHECKING:
    from networks.engine import Plan

VALIDATION_PHANTOMS = 10

SLAB_SLICES = 30
"""Thickness of the slab that validation cuts: 90 mm, as short abdominal series are."""


class TensorSampler:
    """The patches of `networks.sampling.AnatomySampler` as tensors."""

    def __init__(self, sampler: AnatomySampler) -> None:
        self.sampler = sampler

    def draw(self, number: int) -> Sample:
        """Return the (D, H, W) ``hu`` and ``labels`` of one step."""
        sample = self.sampler.draw(number)
        return {"hu": torch.from_numpy(sample.hu), "labels": torch.from_numpy(sample.labels)}


class Validation:
    """Unseen phantoms, whole and as a 90 mm slab, painted and scanned once.

    Parameters
    ----------
    pool : AnatomyPool
        Its first seed is `networks.pool.UNSEEN_SEED`.
    count : int
    """

    def __init__(self, pool: AnatomyPool, count: int) -> None:
        bank = NoiseBank(seed=1)
        self.cases: list[tuple[NDArray[np.int16], NDArray[np.uint8]]] = []
        for index in range(count):
            tissues = pool.get(index).tissues
            whole = scan(sample_rng(pool.first_seed, index), tissues, bank)
            self.cases.append((whole, organ_table()[tissues]))

    def dice(self, network: nn.Module, *, bf16: bool) -> dict[str, dict[str, float]]:
        """Return the mean Dice per class on whole volumes and on slabs through the liver."""
        run = torch_run(network, bf16=bf16)
        whole, slab = [], []
        for hu, truth in self.cases:
            whole.append(dice_by_class(label_volume(run, hu), truth, ANATOMY_LABELS))
            middle = int(np.median(np.argwhere(truth == ANATOMY_LABELS.index("liver"))[:, 0]))
            cut = slice(max(0, middle - SLAB_SLICES // 2), middle + SLAB_SLICES // 2)
            found = label_volume(run, np.ascontiguousarray(hu[cut]))
            slab.append(dice_by_class(found, truth[cut], ANATOMY_LABELS))
        return {"whole": mean_by_class(whole), "slab": mean_by_class(slab)}


def mean_by_class(cases: list[dict[str, float]]) -> dict[str, float]:
    """Average each class over the cases that hold it."""
    means = {}
    for name in cases[0]:
        held = [case[name] for case in cases if not math.isnan(case[name])]
        means[name] = round(float(np.mean(held)), 3) if held else float("nan")
    return means


@dataclass
class AnatomyTask(Task):
    """Segment 14 organs on the whole scan."""

    name = "anatomy"

    pool_first: int = option(32)
    pool_size: int = option(400)
    pool_every: int = option(8)
    widths: tuple[int, ...] = option(WIDTHS)

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder of the label maps that this code draws."""
        return default_folder()

    def prepare(self) -> None:
        """Draw the label maps that are missing, in the background."""
        start_filling(AnatomyPool(self.pool), range(self.pool_size))

    def network(self) -> UNet:
        """Build the U-Net."""
        widths = full_widths((2, 2, 2, 2)) if self.size == FULL else tuple(self.widths)
        return UNet(widths=widths)

    def sampler(self, seed: int) -> Sampler:
        """Return warped and scanned patches of pooled label maps."""
        pool = AnatomyPool(self.pool)
        return TensorSampler(
            AnatomySampler(
                pool, seed, first=self.pool_first, size=self.pool_size, every=self.pool_every
            )
        )

    @cached_property
    def weights(self) -> Tensor:
        """Class weights of the first anatomies."""
        return class_weights(
            torch.from_numpy(AnatomyPool(self.pool).counts(range(self.pool_first)))
        )

    @cached_property
    def judge(self) -> Validation:
        """The phantoms that validation looks at."""
        return Validation(AnatomyPool(self.pool, UNSEEN_SEED), VALIDATION_PHANTOMS)

    def forward(self, network: nn.Module, batch: Sample) -> list[Tensor]:
        """Return the logits at three resolutions."""
        supervised: list[Tensor] = network.supervised(windows(batch["hu"]))  # type: ignore[operator]
        return supervised

    def loss(self, outputs: Any, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return cross-entropy and Dice.

        Rare classes are found early by their weights, which are annealed away: later they would
        only fatten their borders.
        """
        weights = self.weights.to(batch["hu"].device) ** (1 - maturity)
        return {"segmentation": segmentation_loss(outputs, batch["labels"], weights)}

    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return the Dice of each organ."""
        on_cpu = network if plan.device == "cpu" else self.copy_on_cpu(network)
        return dict(self.judge.dice(on_cpu, bf16=plan.bf16))

    def copy_on_cpu(self, network: nn.Module) -> nn.Module:
        """Return the network's weights in a network on the CPU."""
        copy = self.network()
        copy.load_state_dict({key: value.cpu() for key, value in network.state_dict().items()})
        return copy.eval()

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the labelling network."""
        assert isinstance(network, UNet)
        export_network(network, path)
        share = agreement(network, path)
        if share < LEAST_AGREEMENT:
            raise ParityError(f"the file gives torch's label on {share:.4%} of voxels only")


TASK = AnatomyTask
