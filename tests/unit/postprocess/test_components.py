"""Connected pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from postprocess.components import keep_components


def pieces() -> NDArray[np.bool_]:
    """Make pieces of 8, 4 and 1 voxels; the last two touch at a corner only."""
    mask = np.zeros((4, 8, 8), np.bool_)
    mask[0:2, 0:2, 0:2] = True
    mask[3, 4:6, 4:6] = True
    mask[2, 6, 6] = True
    return mask


def test_the_largest_piece_stays() -> None:
    """Eight voxels of thirteen."""
    kept = keep_components(pieces(), largest_only=True)
    assert kept.sum() == 8
    assert kept[0, 0, 0]


def test_pieces_below_the_least_size_go() -> None:
    """Of 8, 4 and 1 voxels those of at least 4 stay; a corner does not connect."""
    assert keep_components(pieces(), min_voxels=4).sum() == 12


def test_a_largest_piece_below_the_least_size_goes_too() -> None:
    """Noise is not an organ because there is nothing larger."""
    assert not keep_components(pieces(), min_voxels=9, largest_only=True).any()


def test_an_empty_mask_stays_empty() -> None:
    """Nothing is connected to nothing."""
    assert not keep_components(np.zeros((2, 2, 2), np.bool_), largest_only=True).any()
