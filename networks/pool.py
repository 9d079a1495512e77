"""A pool of phantom label maps, drawn once and kept on disk.

Drawing an anatomy takes seconds, painting a patch of it takes a fraction of
one. So the label maps are drawn beforehand by a few low-priority processes,
and training paints, warps and crops them anew at every step.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import networks.phantoms
from networks.background import start_filling
from networks.labels import ANATOMY_LABELS
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.tissue import organ_table

FIRST_SEED = 100_000
"""Training anatomies are drawn from this seed on; 900,000 and up are never trained on."""

UNSEEN_SEED = 900_000
"""First seed of the phantoms that judge."""

SPACING_MM = 3.0
"""Grid of the anatomy network."""

PICKS = 128
"""Voxels kept of each class, from which patch centres are drawn."""

DRAWN_BY = (
    "abdomen",
    "anatomy",
    "body",
    "bowel",
    "canvas",
    "chest",
    "fields",
    "patient",
    "skeleton",
    "tissue",
)
"""The modules of `networks.phantoms` on which a label map depends."""


def default_folder() -> Path:
    """Return a folder of this code's own, so that no map of older phantoms is taken for new."""
    digest = hashlib.sha256()
    for name in DRAWN_BY:
        digest.update(Path(networks.phantoms.__path__[0], f"{name}.py").read_bytes())
    return Path(tempfile.gettempdir()) / f"onescan-anatomies-{digest.hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class PooledAnatomy:
    """One label map and the voxels a patch may be centred on.

    Attributes
    ----------
    tissues : (S, R, C) ndarray of uint8
        Fine tissue classes on the 3 mm grid.
    picks : (K, PICKS, 3) ndarray of int16
        Random voxels of each organ label; −1 where the label is absent.
    counts : (K,) ndarray of int64
        Voxels of each organ label.
    """

    tissues: NDArray[np.uint8]
    picks: NDArray[np.int16]
    counts: NDArray[np.int64]


def with_picks(tissues: NDArray[np.uint8], seed: int) -> PooledAnatomy:
    """Count the organs of a tissue map and choose voxels of each."""
    organs = organ_table()[tissues]
    classes = len(ANATOMY_LABELS)
    rng = np.random.default_rng((seed, 1))
    picks = np.full((classes, PICKS, 3), -1, np.int16)
    for label in range(classes):
        found = np.flatnonzero(organs == label)
        if found.size:
            chosen = rng.choice(found, PICKS)
            picks[label] = np.stack(np.unravel_index(chosen, organs.shape), 1)
    return PooledAnatomy(tissues, picks, np.bincount(organs.ravel(), minlength=classes))


def keep(drawn: PooledAnatomy, path: Path) -> None:
    """Write an anatomy to disk; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    with partial.open("wb") as file:
        np.savez(file, tissues=drawn.tissues, picks=drawn.picks, counts=drawn.counts)
    partial.rename(path)


class AnatomyPool:
    """Label maps by index, read from a folder or drawn on the spot.

    Parameters
    ----------
    folder : Path
        Where label maps are kept, one file a seed.
    first_seed : int
        Seed of index 0.
    """

    def __init__(self, folder: Path, first_seed: int = FIRST_SEED) -> None:
        self.folder = folder
        self.first_seed = first_seed

    def path(self, index: int) -> Path:
        """Where the label map of an index is kept."""
        return self.folder / f"{self.first_seed + index}.npz"

    def get(self, index: int) -> PooledAnatomy:
        """Return one anatomy; the same whether it was kept or is drawn now."""
        path = self.path(index)
        if not path.exists():
            self.draw(index)
        with np.load(path) as stored:
            return PooledAnatomy(stored["tissues"], stored["picks"], stored["counts"])

    def draw(self, index: int) -> None:
        """Draw one anatomy and keep it."""
        seed = self.first_seed + index
        tissues = np.ascontiguousarray(sample_anatomy(seed, spacing_mm=SPACING_MM).labels)
        keep(with_picks(tissues, seed), self.path(index))

    def fill(self, indices: Sequence[int]) -> None:
        """Draw every missing anatomy of some indices, in order."""
        for index in indices:
            if not self.path(index).exists():
                self.draw(index)

    def counts(self, indices: range) -> NDArray[np.int64]:
        """Voxels of each organ label over a range of indices."""
        return np.sum([self.get(index).counts for index in indices], axis=0)


def main() -> None:
    """Fill a pool from the command line: ``python -m networks.pool --size N``."""
    parser = argparse.ArgumentParser(description="Draw phantom label maps for training.")
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    pool, indices = AnatomyPool(arguments.folder), range(arguments.size)
    for child in start_filling(pool, indices, arguments.processes):
        child.join()


if __name__ == "__main__":
    main()
