"""The pool of label maps that training draws from."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from networks.labels import ANATOMY_LABELS
from networks.phantoms.tissue import organ_table
from networks.pool import FIRST_SEED, UNSEEN_SEED, AnatomyPool


def test_a_kept_anatomy_is_the_one_drawn(tmp_path: Path) -> None:
    """An index that is asked for twice is drawn once, and its picks lie in their organs."""
    pool = AnatomyPool(tmp_path)
    drawn = pool.get(0)
    before = pool.path(0).stat().st_mtime_ns
    again = pool.get(0)
    assert pool.path(0).stat().st_mtime_ns == before
    np.testing.assert_array_equal(drawn.tissues, again.tissues)
    organs = organ_table()[again.tissues]
    for label in np.flatnonzero(again.counts):
        assert (organs[tuple(again.picks[label].T)] == label).all()
    assert again.counts.sum() == organs.size
    assert len(again.counts) == len(ANATOMY_LABELS)


def test_an_interrupted_draw_leaves_no_anatomy(tmp_path: Path) -> None:
    """A half-written file never has the name of a whole one."""
    pool = AnatomyPool(tmp_path)
    pool.path(0).with_suffix(".123.part").write_bytes(b"half")
    assert not pool.path(0).exists()


def test_training_never_reaches_the_seeds_that_judge() -> None:
    """The largest pool ends far below the first unseen seed."""
    assert FIRST_SEED + 100_000 < UNSEEN_SEED
