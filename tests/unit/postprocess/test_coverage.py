"""Complete, truncated or absent."""

from __future__ import annotations

import numpy as np
import pytest

from postprocess.coverage import Coverage, coverage

SHAPE = (20, 20, 20)


def seen(*where: slice, tip: tuple[int, ...] | None = None) -> Coverage:
    """Cover an organ that fills `where`, and one voxel more."""
    volume = np.zeros(SHAPE, np.bool_)
    volume[where] = True
    if tip is not None:
        volume[tip] = True
    index = np.argwhere(volume)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(index.min(axis=0), index.max(axis=0)))
    return coverage(volume[box], box=(box[0], box[1], box[2]), shape=SHAPE, edge_fraction=0.05)


MIDDLE = slice(5, 15)


def test_an_organ_inside_the_volume_is_complete() -> None:
    """It touches no edge."""
    assert seen(MIDDLE, MIDDLE, MIDDLE) == Coverage("complete")


@pytest.mark.parametrize(
    ("where", "side"),
    [
        ((slice(0, 10), MIDDLE, MIDDLE), "inferior"),
        ((slice(10, 20), MIDDLE, MIDDLE), "superior"),
        ((MIDDLE, slice(0, 10), MIDDLE), "anterior"),
        ((MIDDLE, slice(10, 20), MIDDLE), "posterior"),
        ((MIDDLE, MIDDLE, slice(0, 10)), "right"),
        ((MIDDLE, MIDDLE, slice(10, 20)), "left"),
    ],
)
def test_an_organ_cut_by_an_edge_is_truncated_there(where: tuple[slice, ...], side: str) -> None:
    """First slice inferior, first row anterior, first column right."""
    assert seen(*where) == Coverage("truncated", (side,))


def test_both_ends_are_named() -> None:
    """A slab through the liver cuts it above and below."""
    assert seen(slice(0, 20), MIDDLE, MIDDLE).truncated_sides == ("inferior", "superior")


def test_a_tip_that_touches_the_edge_does_not_truncate() -> None:
    """One voxel of a largest section of 100 is 1 %, below 5 %."""
    assert seen(slice(1, 10), MIDDLE, MIDDLE, tip=(0, 7, 7)).state == "complete"


def test_the_limit_is_a_part_of_the_largest_section() -> None:
    """Of a largest section of 100 voxels 5 do not truncate and 6 do."""
    volume = np.zeros(SHAPE, np.bool_)
    volume[1:10, MIDDLE, MIDDLE] = True
    box = (slice(0, 10), MIDDLE, MIDDLE)
    volume[0, 5, 5:10] = True
    five = coverage(volume[box], box=box, shape=SHAPE, edge_fraction=0.05)
    volume[0, 5, 10] = True
    six = coverage(volume[box], box=box, shape=SHAPE, edge_fraction=0.05)
    assert (five.state, six.state) == ("complete", "truncated")


def test_an_empty_mask_is_absent() -> None:
    """Not negative: there is nothing to be negative about."""
    box = (slice(0, 2),) * 3
    empty = np.zeros((2, 2, 2), np.bool_)
    assert coverage(empty, box=box, shape=SHAPE, edge_fraction=0.05) == Coverage("absent")
