"""Memory banks: where they lie, whose they are, and that they are what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from networks.phantoms.chest_labels import LABEL_NAMES
from preprocess.bank import Banks, read_bank
from preprocess.exceptions import BankError
from tests.chest_bank import tiny_bank, write_bank

NET = "chest_net"


def test_a_bank_is_read_as_the_training_wrote_it(tmp_path: Path) -> None:
    """Arrays, names and digest; both sides compute the digest alike."""
    written = write_bank(tmp_path / NET, tiny_bank())
    bank = Banks(tmp_path).get(NET, LABEL_NAMES)
    np.testing.assert_array_equal(bank.embedded, written.embedded)
    np.testing.assert_array_equal(bank.labels, written.labels)
    assert bank.digest == written.digest


def test_it_is_read_once_until_it_is_another(tmp_path: Path) -> None:
    """A new bank is taken without a restart."""
    write_bank(tmp_path / NET, tiny_bank())
    banks = Banks(tmp_path)
    first = banks.get(NET, LABEL_NAMES)
    assert banks.get(NET, LABEL_NAMES) is first
    other = write_bank(tmp_path / NET, tiny_bank(30, seed=1))
    assert banks.get(NET, LABEL_NAMES).digest == other.digest


def test_a_site_s_own_bank_replaces_the_released_one(tmp_path: Path) -> None:
    """Of the same network's tiles; another network's would be compared to no purpose."""
    write_bank(tmp_path / "repository" / NET, tiny_bank())
    own = write_bank(tmp_path / "own" / NET, tiny_bank(40, seed=2))
    banks = Banks(tmp_path / "repository", tmp_path / "own")
    assert banks.get(NET, LABEL_NAMES).digest == own.digest
    write_bank(tmp_path / "own" / NET, tiny_bank(encoder="f" * 64))
    with pytest.raises(BankError, match="another network"):
        banks.get(NET, LABEL_NAMES)


def test_what_is_missing_or_not_a_name_is_refused(tmp_path: Path) -> None:
    """A recipe travels from outside: it may not name a path."""
    with pytest.raises(BankError, match="chest_net has no memory bank"):
        Banks(tmp_path).get(NET, LABEL_NAMES)
    with pytest.raises(BankError, match="no name of a model"):
        Banks(tmp_path).get("../chest_net", LABEL_NAMES)


def test_other_labels_are_refused(tmp_path: Path) -> None:
    """Columns are told apart by their order only."""
    write_bank(tmp_path / NET, tiny_bank())
    with pytest.raises(BankError, match="other labels"):
        Banks(tmp_path).get(NET, LABEL_NAMES[::-1])


def test_a_bank_that_was_changed_is_refused(tmp_path: Path) -> None:
    """One label set behind the digest's back; a file that is no archive; too few tiles."""
    bank = write_bank(tmp_path, tiny_bank())
    labels = bank.labels.copy()
    labels[0, 5] = 1
    arrays = {"embedded": bank.embedded, "sources": bank.sources}
    np.savez_compressed(tmp_path / "bank.npz", labels=labels, **arrays)
    with pytest.raises(BankError, match="not what its digest says"):
        read_bank(tmp_path)
    (tmp_path / "bank.npz").write_bytes(b"PK\x03\x04 not an archive")
    with pytest.raises(BankError, match="cannot be read"):
        read_bank(tmp_path)
    write_bank(tmp_path, tiny_bank(19))
    with pytest.raises(BankError, match="do not fit"):
        read_bank(tmp_path)
    (tmp_path / "bank.json").write_text(json.dumps({"labels": []}))
    with pytest.raises(BankError, match="cannot be read"):
        read_bank(tmp_path)
