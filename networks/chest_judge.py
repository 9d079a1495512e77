"""Run the chest's network over whole studies, weigh its parts, and say how well it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from networks.chest_scenes import ChestPool, Planting
from networks.chest_study import EVALUATED, Study, labels_here
from networks.metrics import auc, wilson
from networks.nets.chest_net import NEIGHBOURS, ChestFile, ChestNet
from networks.nets.tile_encoder import CLIP_HU, EMBEDDED
from networks.phantoms.lesion import DIFFICULTIES

PARTS = ("survey", "linear", "vote")
"""What is fused, in the order of `ChestFile`'s ``parts``."""

LEAST_POSITIVE = 3
"""Studies with a label, for its AUC to be told."""

RIDGE = 0.02
"""Pull of a label's own offset to the common one, per (study, label) pair that is known."""

Bank = tuple[Tensor, Tensor]
"""(B, EMBEDDED) float16 vectors and their (B, L) uint8 labels."""


def no_bank() -> Bank:
    """Return a bank whose vote says nothing, for a network that has none yet."""
    labels = torch.zeros(NEIGHBOURS, len(EVALUATED), dtype=torch.uint8)
    return torch.zeros(NEIGHBOURS, EMBEDDED, dtype=torch.float16), labels


@dataclass(frozen=True, slots=True)
class WholeStudy:
    """A scan of a whole chest with its truth.

    Attributes
    ----------
    hu : (S, R, C) ndarray of int16
        At 1.5 mm, axes multiples of a tile.
    truth : (L,) ndarray of int8
        1, 0, or −1 where it is not asked.
    findings : tuple of (label, difficulty, tiles)
        Each label of each finding, and the places of the tiles that hold it.
    seed, scanner
        Of the patient, and the name of the profile.
    """

    hu: NDArray[np.int16]
    truth: NDArray[np.int8]
    findings: tuple[tuple[int, str, NDArray[np.int64]], ...]
    seed: int
    scanner: str


class WholeStudies(Dataset[WholeStudy]):
    """Plantings of patients that training never sees, always scanned the same way."""

    def __init__(
        self, pool: ChestPool, seeds: Sequence[int], *, scans: int = 1, scanner: str | None = None
    ) -> None:
        self.pool, self.seeds, self.scanner, self.scans = pool, seeds, scanner, scans
        self.each = pool.planted + pool.healthy

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.seeds) * self.each * self.scans

    def __getitem__(self, index: int) -> WholeStudy:
        """Return one; all scans of a patient follow each other."""
        if index >= len(self):
            raise IndexError(index)
        place, scan = divmod(index, self.scans)
        patient, number = divmod(place, self.each)
        seed = self.seeds[patient]
        planting: Planting = self.pool.plantings(seed)[number]
        rng = np.random.default_rng((seed, 31, number, scan))
        study = Study.draw(self.pool, planting, rng, scanner=self.scanner)
        findings = [
            (n, lesion.difficulty or "", study.holders(lesion))
            for lesion in study.scene.lesions
            if lesion.is_finding
            for n in labels_here(lesion)
        ]
        return WholeStudy(
            study.whole(rng), study.labels(), tuple(findings), seed, study.profile.name
        )


@dataclass(frozen=True, slots=True)
class JudgedStudy:
    """A whole study, and what the network said of it.

    Attributes
    ----------
    study : WholeStudy
        Without its voxels.
    parts : (3, L) ndarray of float32
        Log odds, by `PARTS`.
    logits : (L,) ndarray of float32
        Fused.
    where : (L,) ndarray of int64
        The tile that says it most.
    kept : (K,) ndarray of int64
        The tiles that were embedded.
    """

    study: WholeStudy
    parts: NDArray[np.float32]
    logits: NDArray[np.float32]
    where: NDArray[np.int64]
    kept: NDArray[np.int64]


@torch.no_grad()
def judge(
    network: ChestNet, bank: Bank, studies: Dataset[WholeStudy], *, workers: int, device: str
) -> Iterator[JudgedStudy]:
    """Run the network on studies, one after another, as the exported file would."""
    file, (low, high) = ChestFile(network).eval(), CLIP_HU
    vectors, labels = (x.to(device) for x in bank)
    for study in DataLoader(studies, batch_size=None, num_workers=workers, collate_fn=_same):
        volume = (torch.from_numpy(study.hu).to(device).float() - low) / (high - low)
        _, where, parts, kept, _, _ = file(volume[None, None], vectors, labels)
        logits = network.fused(parts[:, 0], parts[:, 1], parts[:, 2])
        yield JudgedStudy(
            WholeStudy(
                np.empty((0, 0, 0), np.int16), study.truth, study.findings, study.seed,
                study.scanner,
            ),
            *(x[0].cpu().numpy() for x in (parts, logits, where, kept)),
        )  # fmt: skip


def _same(study: WholeStudy) -> WholeStudy:
    return study


def fit_fusion(judged: Sequence[JudgedStudy]) -> tuple[Tensor, Tensor]:
    """Weigh survey, linear head and vote on studies that are neither learnt nor in the bank.

    Returns
    -------
    mix : (3,) tensor
        Not below 0.
    offset : (L,) tensor
    """
    parts = torch.from_numpy(np.stack([case.parts for case in judged]))
    truth = torch.from_numpy(np.stack([case.study.truth for case in judged]).astype(np.float32))
    known = (truth >= 0).float()
    raw = torch.tensor([0.0, 0.0, 0.0], requires_grad=True)
    common = torch.zeros(1, requires_grad=True)
    own = torch.zeros(truth.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([raw, common, own], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        logits = (functional.softplus(raw)[None, :, None] * parts).sum(1) + common + own
        each = functional.binary_cross_entropy_with_logits(
            logits, truth.clamp(min=0), reduction="none"
        )
        loss = (each * known).sum() / known.sum() + RIDGE * (own**2).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    return functional.softplus(raw).detach(), (common + own).detach()


def figures(judged: Iterable[JudgedStudy]) -> dict[str, Any]:
    """Return how well labels are told from each other, by part, and where findings are seen.

    ``auc`` is the mean over labels that enough studies have; ``difficulty`` the share of findings
    of which a tile was embedded, and that of those whose best tile holds them.
    """
    cases = list(judged)
    truth = np.stack([case.study.truth for case in cases])
    scores = {"fused": np.stack([case.logits for case in cases])} | {
        name: np.stack([case.parts[n] for case in cases]) for n, name in enumerate(PARTS)
    }
    told: dict[str, Any] = {"studies": len(cases)}
    enough = ((truth == 1).sum(axis=0) >= LEAST_POSITIVE) & (truth == 0).any(axis=0)
    asked = np.flatnonzero(enough & EVALUATED)
    told["labels"] = len(asked)
    told["auc"] = {
        name: round(float(np.mean([_auc(values[:, n], truth[:, n]) for n in asked])), 3)
        for name, values in scores.items()
        if len(asked)
    }
    told["difficulty"] = {}
    for difficulty in DIFFICULTIES:
        kept = placed = count = 0
        for case in cases:
            for n, named, tiles in case.study.findings:
                if named == difficulty and len(tiles):
                    count += 1
                    kept += bool(np.isin(tiles, case.kept).any())
                    placed += bool(case.where[n] in tiles)
        told["difficulty"][difficulty] = {
            "findings": count,
            "embedded": wilson(kept, count).rounded(),
            "placed": wilson(placed, count).rounded(),
        }
    return told


def label_aucs(judged: Sequence[JudgedStudy]) -> dict[int, list[float]]:
    """Return the AUC of each label that some studies have, by index, with its interval."""
    truth = np.stack([case.study.truth for case in judged])
    logits = np.stack([case.logits for case in judged])
    return {
        int(n): auc(logits[truth[:, n] == 0, n], logits[truth[:, n] == 1, n]).rounded()
        for n in np.flatnonzero(EVALUATED)
        if (truth[:, n] == 1).any() and (truth[:, n] == 0).any()
    }


def _auc(values: NDArray[np.float32], truth: NDArray[np.int8]) -> float:
    return auc(values[truth == 0], values[truth == 1]).value
