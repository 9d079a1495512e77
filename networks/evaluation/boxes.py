"""Boxes of patients that training never sees, and what a network says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from networks.export import open_session
from networks.nets.roi_net import RoiFile, RoiNet
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.profiles import ScannerProfile
from networks.roi_sampling import RoiSample, View
from networks.scene_file import Case
from networks.scenes import ScenePool

if TYPE_CHECKING:
    from networks.engine import Plan

STAND_IN = 40_000
"""From a patient in whom the organ is not to be seen to the one who stands in; within the split."""

Windows = Callable[[Tensor], Tensor]
"""(N, D, H, W) HU → (N, channels, D, H, W)."""

Run = Callable[[NDArray[np.int16]], dict[str, NDArray[Any]]]
"""(D, H, W) HU → the outputs of the exported file, by name."""


def torch_run(network: RoiNet, windows: Windows, plan: Plan) -> Run:
    """Wrap a network in the interface of the exported file."""
    file = RoiFile(network)

    def run(hu: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        volume = windows(torch.from_numpy(hu)[None].to(plan.device))
        with torch.no_grad(), plan.autocast():
            given = file(volume)
        plain = [x.float() if x.is_floating_point() else x for x in given]
        return {name: x.cpu().numpy() for name, x in zip(file.outputs, plain, strict=True)}

    return run


def onnx_run(path: Path, windows: Windows, threads: int = 2) -> Run:
    """Open an exported file."""
    session = open_session(path, threads)
    names = [output.name for output in session.get_outputs()]

    def run(hu: NDArray[np.int16]) -> dict[str, NDArray[Any]]:
        given = session.run(names, {"volume": windows(torch.from_numpy(hu)[None]).numpy()})
        return dict(zip(names, given, strict=True))

    return run


class UnseenBoxes(Dataset[RoiSample]):
    """Boxes of patients that training never sees, scanned once and always the same way.

    Parameters
    ----------
    pool : ScenePool
    view : View
    first_seed, count : int
        The patients.
    groups : tuple of bool
        Whether each patient is looked at ill, healthy or both.
    variants : int
        Variants of each patient and group.
    profiles : sequence of ScannerProfile
        Scanners, in turn; by default those for training, drawn.
    """

    def __init__(
        self,
        pool: ScenePool,
        view: View,
        first_seed: int,
        count: int,
        groups: tuple[bool, ...],
        *,
        variants: int = 1,
        profiles: Sequence[ScannerProfile] = (),
    ) -> None:
        self.pool, self.view, self.profiles = pool, view, tuple(profiles)
        self.places = [
            (first_seed + n, ill, variant)
            for n in range(count)
            for ill in groups
            for variant in range(variants)
        ]

    def __len__(self) -> int:
        """Return how many boxes there are."""
        return len(self.places)

    def __getitem__(self, index: int) -> RoiSample:
        """Return one box; that of another variant where the patient has no such one."""
        if index >= len(self):
            raise IndexError(index)
        seed, ill, variant = self.places[index]
        case = self._case(seed)
        fitting = [x for x in case.variants if x.ill == ill] or list(case.variants)
        rng = np.random.default_rng((seed, 17, int(ill), variant))
        profile = self.profiles[(seed + variant) % len(self.profiles)] if self.profiles else None
        return self.view.look(
            case, fitting[variant % len(fitting)], rng, varied=False, profile=profile
        )

    def _case(self, seed: int) -> Case:
        """Return a patient; another one stands in for who has no such organ."""
        while True:
            try:
                return self.pool.get(seed)
            except NoPlaceError:
                seed += STAND_IN


@dataclass(frozen=True, slots=True)
class Judged:
    """A box and what the network said of it."""

    sample: RoiSample
    labels: NDArray[np.uint8]
    score: float
    """Probability that the patient is ill; 0 where the network gives none."""

    kinds: NDArray[np.float32] | None
    """Probability of each kind, given a lesion."""


def judge_boxes(run: Run, boxes: Dataset[RoiSample], workers: int = 0) -> Iterator[Judged]:
    """Run a network on boxes that it has not seen, one after another."""
    for sample in DataLoader(boxes, batch_size=None, num_workers=workers):
        given = run(sample.hu)
        yield Judged(
            sample=sample,
            labels=given["labels"][0],
            score=float(given["score"][0, 0]) if "score" in given else 0.0,
            kinds=given["kinds"][0] if "kinds" in given else None,
        )


def confusion(truth: NDArray[np.uint8], found: NDArray[np.uint8], count: int) -> NDArray[np.int64]:
    """Return how often each true label was given each label, (count, count)."""
    flat = truth.ravel().astype(np.intp) * count + found.ravel()
    return np.bincount(flat, minlength=count**2).reshape(count, count)


def dice(table: NDArray[np.int64], labels: Sequence[str]) -> dict[str, float]:
    """Return the Dice of each label but the background; NaN where the truth has none of it."""
    total, held = table.sum(axis=0) + table.sum(axis=1), table.sum(axis=1)
    return {
        name: float(2 * table[n, n] / total[n]) if held[n] else float("nan")
        for n, name in enumerate(labels)
        if n
    }
