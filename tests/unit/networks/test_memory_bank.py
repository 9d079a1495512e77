"""The memory bank: what it may hold, and that it is what it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from networks.memory_bank import (
    ARRAYS,
    DESCRIPTION,
    FIRST_TEST_SEED,
    MOST_OF_A_LABEL,
    MOST_OF_A_PHANTOM,
    BankError,
    MemoryBank,
    build,
)

NAMES = ("ggo", "mass", "cyst")


def candidates(count: int = 4000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ggo is common, cyst rare, half of the tiles are healthy."""
    rng = np.random.default_rng(3)
    labels = np.zeros((count, 3), np.uint8)
    for column, share in enumerate((0.4, 0.08, 0.01)):
        labels[:, column] = rng.random(count) < share
    labels[count // 2 :] = 0
    return rng.standard_normal((count, 8)), labels, rng.integers(100_000, 101_000, count)


@pytest.fixture(scope="module")
def bank() -> MemoryBank:
    embedded, labels, sources = candidates()
    return build(embedded, labels, sources, names=NAMES, encoder="e" * 64)


def test_a_bank_keeps_the_limits(bank: MemoryBank) -> None:
    """No label has more than 500 tiles, and no phantom more than two of one label."""
    assert max(bank.counts.values()) == MOST_OF_A_LABEL
    for column in range(len(NAMES)):
        of = bank.sources[bank.labels[:, column] > 0]
        assert np.unique(of, return_counts=True)[1].max() <= MOST_OF_A_PHANTOM
    assert np.unique(bank.sources[bank.labels.sum(1) == 0], return_counts=True)[1].max() <= 2


def test_rare_labels_are_kept_first(bank: MemoryBank) -> None:
    """Every candidate with the rare label is in the bank, since none of them meets a limit."""
    assert bank.counts["cyst"] == int(candidates()[1][:, 2].sum())


def test_healthy_tiles_are_counted_by_group() -> None:
    """Each kind of healthy tile has a limit of its own."""
    rng = np.random.default_rng(0)
    bank = build(
        rng.standard_normal((3000, 8)), np.zeros((3000, 3)), np.arange(3000),
        names=NAMES, encoder="e", groups=np.arange(3000) % 3,
    )  # fmt: skip
    assert bank.counts["healthy"] == 3 * MOST_OF_A_LABEL


def test_a_phantom_kept_for_tests_is_refused() -> None:
    """A bank that holds a test phantom would judge itself."""
    with pytest.raises(BankError, match="kept for tests"):
        build(np.ones((1, 8)), np.zeros((1, 3)), [FIRST_TEST_SEED], names=NAMES, encoder="e")


def test_a_saved_bank_comes_back_with_its_digest(bank: MemoryBank, tmp_path: Path) -> None:
    """Arrays, names and digest survive the files, and the description counts the tiles."""
    bank.save(tmp_path)
    again = MemoryBank.load(tmp_path, encoder=bank.encoder)
    assert again.digest == bank.digest
    assert np.array_equal(again.embedded, bank.embedded)
    told = json.loads((tmp_path / DESCRIPTION).read_text())
    assert (told["tiles"], told["digest"]) == (len(bank.embedded), bank.digest)


def test_a_changed_array_is_refused(bank: MemoryBank, tmp_path: Path) -> None:
    """A tile that has got another label does not pass under the old digest."""
    bank.save(tmp_path)
    labels = bank.labels.copy()
    labels[0, 0] ^= 1
    np.savez(tmp_path / ARRAYS, embedded=bank.embedded, labels=labels, sources=bank.sources)
    with pytest.raises(BankError, match="digest"):
        MemoryBank.load(tmp_path)


def test_a_bank_of_another_encoder_is_refused(bank: MemoryBank, tmp_path: Path) -> None:
    """Embeddings of two networks cannot be compared."""
    bank.save(tmp_path)
    with pytest.raises(BankError, match="encoder"):
        MemoryBank.load(tmp_path, encoder="f" * 64)


def test_an_unreadable_bank_is_refused(tmp_path: Path) -> None:
    """A folder without a bank is named, not a stack trace."""
    with pytest.raises(BankError, match="no readable bank"):
        MemoryBank.load(tmp_path)


def test_reviewed_tiles_change_the_digest(bank: MemoryBank) -> None:
    """A site's tiles come behind the others, marked as reviewed, under a digest of their own."""
    grown = bank.added(np.ones((2, 8)), [[0, 1, 0], [0, 0, 0]], [1, 1], encoder=bank.encoder)
    assert grown.digest != bank.digest
    assert grown.counts["mass"] == bank.counts["mass"] + 1
    assert grown.sources[-2:].tolist() == [-1, -1]
    assert np.array_equal(grown.embedded[:-2], bank.embedded)


def test_reviewed_tiles_must_fit(bank: MemoryBank) -> None:
    """Tiles of another network, or beyond a label's limit, are refused."""
    with pytest.raises(BankError, match="do not fit"):
        bank.added(np.ones((1, 8)), [[0, 1, 0]], [1], encoder="f" * 64)
    with pytest.raises(BankError, match="the most"):
        bank.added(np.ones((1, 8)), [[1, 0, 0]], [1], encoder=bank.encoder)


def test_the_digest_covers_names_and_encoder(bank: MemoryBank) -> None:
    """The same arrays under other names, or of another encoder, are another bank."""
    renamed = replace(bank, names=("ggo", "cyst", "mass"))
    assert len({bank.digest, renamed.digest, replace(bank, encoder="x").digest}) == 3


def test_vectors_must_have_length_one(bank: MemoryBank) -> None:
    """Cosines are products only between unit vectors."""
    with pytest.raises(BankError, match="length 1"):
        replace(bank, embedded=(bank.embedded * 2).astype(np.float16))
