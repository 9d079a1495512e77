"""A memory bank of a few tiles, written as the training writes one."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from networks.memory_bank import MemoryBank
from networks.phantoms.chest_labels import LABEL_NAMES


def tiny_bank(tiles: int = 24, *, encoder: str = "e" * 64, seed: int = 0) -> MemoryBank:
    """Draw unit vectors; tile n has label n."""
    vectors = np.random.default_rng(seed).normal(size=(tiles, 64))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.zeros((tiles, len(LABEL_NAMES)), np.uint8)
    labels[np.arange(tiles), np.arange(tiles)] = 1
    return MemoryBank(
        embedded=vectors.astype(np.float16),
        labels=labels,
        sources=np.full(tiles, 100_000, np.int64),
        names=LABEL_NAMES,
        encoder=encoder,
    )


def write_bank(folder: Path, bank: MemoryBank) -> MemoryBank:
    """Write it into a folder and give it."""
    bank.save(folder)
    return bank
