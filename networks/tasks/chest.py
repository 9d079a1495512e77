"""The chest network: 73 findings from tiles of 24 mm, a survey at 6 mm and a memory bank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor, nn

from networks.background import start_filling
from networks.chest_export import encoder_digest, export_chest
from networks.chest_judge import Bank, JudgedStudy, WholeStudies, figures, judge, no_bank
from networks.chest_sampling import ChestSampler
from networks.chest_scenes import BOX, ChestPool
from networks.chest_study import EVALUATED
from networks.memory_bank import ARRAYS, DESCRIPTION, MemoryBank
from networks.metrics import Figure, threshold_for, wilson
from networks.nets.chest_net import ChestAnswer, ChestNet
from networks.nets.tile_encoder import contrastive_loss, known_entropy
from networks.phantoms.chest_labels import LABEL_NAMES
from networks.scenes import (
    FIRST_SEED,
    HEALTHY_SEED,
    JUDGE_SEED,
    Box,
    default_folder,
)
from networks.tasks.task import Sample, Task, option

if TYPE_CHECKING:
    from networks.engine import Plan

WHOLE_WEIGHT = 0.3

JUDGED_PATIENTS = 12

HEALTHY_PATIENTS = 250

HEALTHY_SCANS = 4
"""Of each: 1,000 healthy studies set the thresholds (pipelines.md §7.3)."""

MARK_SHARE = 0.01
"""Share of healthy studies in which a label is shown to the reader, each label by itself."""

FLAG_SHARE = 0.01
"""Share of healthy studies that may be flagged for any label (pipelines.md §7.3)."""

SPREAD_SHARE = 0.9
"""A label's logits on healthy studies spread from their median to this quantile."""


@dataclass
class ChestTask(Task):
    """Choose tiles, embed them so that those of one label lie together, label the study."""

    name: ClassVar[str] = "chest"
    box: ClassVar[Box] = BOX
    labels: ClassVar[tuple[str, ...]] = LABEL_NAMES

    validate_every: ClassVar[int] = 2000

    plan: ClassVar[dict[str, Any]] = {"rate": 1.5e-3}

    pool_first: int = option(24)
    pool_size: int = option(100)
    pool_every: int = option(4)
    bank: str = option("")
    """Folder of the memory bank, once there is one."""

    judged: int = JUDGED_PATIENTS
    """Patients that validation looks at, each with all its plantings."""

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder of all pools."""
        return default_folder()

    # --- data -----------------------------------------------------------------------------

    def plantings(self, **counts: int) -> ChestPool:
        """Return the pool of planted patients."""
        return ChestPool(self.pool, **counts)

    def prepare(self) -> None:
        """Draw the first patients, and begin to draw the others in the background."""
        pool = self.plantings()
        seeds = list(range(FIRST_SEED, FIRST_SEED + self.pool_size))
        for child in start_filling(pool, seeds[: self.pool_first], processes=1):
            child.join()
        judged = list(range(JUDGE_SEED, JUDGE_SEED + self.judged))
        start_filling(pool, [*seeds[self.pool_first :], *judged], processes=1)

    def sampler(self, seed: int) -> TensorGroups:
        """Return tiles of four patients at a time, scanned anew."""
        return TensorGroups(
            ChestSampler(
                self.plantings(),
                seed,
                first_seed=FIRST_SEED,
                first=self.pool_first,
                size=self.pool_size,
                every=self.pool_every,
            )
        )

    # --- learning -------------------------------------------------------------------------

    def network(self) -> ChestNet:
        """Build the network; a label without a phantom is masked in it."""
        network = ChestNet(len(self.labels), self.size)
        network.evaluated.copy_(torch.tensor(EVALUATED))
        return network

    def forward(self, network: nn.Module, batch: Sample) -> ChestAnswer:
        """Look at the tiles of one group; groups differ in shape, so a batch is one."""
        tiles, survey = (batch[name][0].float() / 1000 for name in ("tiles", "survey"))
        answer: ChestAnswer = network(tiles, batch["places"][0], survey)
        return answer

    def loss(self, outputs: ChestAnswer, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the terms of the embedding, of its linear head, of the survey and the scorer."""
        labels = batch["labels"][0].flatten(0, 1)
        patient = batch["patients"][0].repeat_interleave(batch["labels"].shape[2])
        return {
            "contrast": contrastive_loss(outputs.embedded, labels, patient),
            "tiles": known_entropy(outputs.tiles, labels),
            "whole": WHOLE_WEIGHT * known_entropy(outputs.whole, batch["study"][0]),
            "worth": known_entropy(outputs.worth[:, None], any_finding(labels)[:, None]),
        }

    # --- judging --------------------------------------------------------------------------

    def bank_tensors(self) -> Bank:
        """Return the memory bank, or one that says nothing before there is any."""
        if not self.bank:
            return no_bank()
        kept = MemoryBank.load(Path(self.bank))
        return torch.from_numpy(kept.embedded), torch.from_numpy(kept.labels)

    def judged_studies(self, network: nn.Module, plan: Plan, bank: Bank) -> list[JudgedStudy]:
        """Run the network on the studies of the judged patients."""
        assert isinstance(network, ChestNet)
        seeds = range(JUDGE_SEED, JUDGE_SEED + self.judged)
        studies = WholeStudies(self.plantings(), seeds)
        return list(judge(network, bank, studies, workers=plan.workers, device=plan.device))

    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Return how well labels are told by each part, and where findings are seen."""
        return figures(self.judged_studies(network, plan, self.bank_tensors()))

    def calibrate(
        self,
        network: nn.Module,
        plan: Plan,
        patients: int = HEALTHY_PATIENTS,
        scans: int = HEALTHY_SCANS,
    ) -> dict[str, Any]:
        """Set the mark and the flag of every label on healthy phantoms.

        Raises
        ------
        ValueError
            When the network has no memory bank yet, or there are too few studies.
        """
        assert isinstance(network, ChestNet)
        if not self.bank:
            raise ValueError("build the bank first: python -m networks.chest_bank CHECKPOINT")
        seeds = range(HEALTHY_SEED, HEALTHY_SEED + patients)
        studies = WholeStudies(self.plantings(planted=0, healthy=1), seeds, scans=scans)
        running = judge(
            network, self.bank_tensors(), studies, workers=plan.workers, device=plan.device
        )
        shown = list(track(running, description=self.name, total=len(studies)))
        return {
            "check": self.name,
            "score": "probability",
            "healthy": len(shown),
            "patients": patients,
            "seeds": [HEALTHY_SEED, HEALTHY_SEED + patients],
            "bank": MemoryBank.load(Path(self.bank)).digest,
            **thresholds(shown),
        }

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge an exported file on patients and scanner models that training never sees."""
        from networks.evaluation.chest import evaluate_chest

        return evaluate_chest(self, model, cases=cases, workers=workers)

    # --- export ---------------------------------------------------------------------------

    def export(self, network: nn.Module, path: Path) -> None:
        """Write the network, and hold the file to torch's answers."""
        assert isinstance(network, ChestNet)
        export_chest(network, path)

    def export_data(self, network: nn.Module, folder: Path) -> list[Path]:
        """Write the memory bank; without one there is nothing to compare with.

        Raises
        ------
        networks.memory_bank.BankError
            When it is broken, or of another network's tiles.
        """
        assert isinstance(network, ChestNet)
        if not self.bank:
            return []
        MemoryBank.load(Path(self.bank), encoder=encoder_digest(network)).save(folder)
        return [folder / ARRAYS, folder / DESCRIPTION]


class TensorGroups:
    """The groups of a sampler as tensors."""

    def __init__(self, groups: ChestSampler) -> None:
        self.groups = groups

    def draw(self, number: int) -> Sample:
        """Return ``tiles``, ``places``, ``survey``, ``labels``, ``study`` and ``patients``."""
        group = self.groups.group(number)
        names = ("tiles", "places", "survey", "labels", "study", "patients")
        return {name: torch.from_numpy(getattr(group, name)) for name in names}


def any_finding(labels: Tensor) -> Tensor:
    """Return whether tiles hold any finding, (M,): 1, 0, or −1 where it is not known.

    Parameters
    ----------
    labels : (M, L) tensor of int8
    """
    asked = labels[:, torch.tensor(EVALUATED, device=labels.device)]
    held, doubtful = (asked == 1).any(1), (asked < 0).any(1)
    return torch.where(held, 1, torch.where(doubtful, -1, 0))


def thresholds(healthy: Sequence[JudgedStudy]) -> dict[str, Any]:
    """Return mark and flag of every label, as probabilities.

    A mark is the percentile of its label. So few studies may be flagged for any of them that no
    label has a percentile of its own: all flags lie equally many spreads above their medians.
    """
    truth = np.stack([case.study.truth for case in healthy])
    logits = np.stack([case.logits for case in healthy]).astype(np.float64)
    asked = np.flatnonzero(EVALUATED)
    held: NDArray[np.float64] = np.where(truth == 0, logits, np.nan)[:, asked]
    middle = np.nanmedian(held, axis=0)
    spread = np.maximum(np.nanquantile(held, SPREAD_SHARE, axis=0) - middle, 1e-6)
    highest = np.nanmax((held - middle) / spread, axis=1)
    level = threshold_for(highest, FLAG_SHARE)
    flags = middle + level * spread
    marks = np.array([threshold_for(x[~np.isnan(x)], MARK_SHARE) for x in held.T])
    marks = np.minimum(marks, flags)
    flagged = wilson(int((held >= flags).any(axis=1).sum()), len(held))
    marked = (held >= marks).sum() / len(held)

    def named(values: NDArray[np.float64]) -> dict[str, float]:
        chances = 1 / (1 + np.exp(-values))
        return {LABEL_NAMES[n]: float(f"{p:.6g}") for n, p in zip(asked, chances, strict=True)}

    return {
        "mark": {
            "values": named(marks),
            "at": "greater_or_equal",
            "share": MARK_SHARE,
            "a_study": round(float(marked), 3),
        },
        "flag": {
            "values": named(flags),
            "at": "greater_or_equal",
            "share": FLAG_SHARE,
            "measured": Figure(*flagged).rounded(4),
        },
    }


TASK = ChestTask
