"""Grow a volume to the size that a network takes, and cut its answer back."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.arrays import Array, array_namespace
from preprocess.exceptions import ArrayError


def padded_shape(
    shape: Sequence[int], *, multiple: int = 1, minimum: int = 1
) -> tuple[int, int, int]:
    """Give the smallest shape that holds `shape`: each axis a multiple, none below the minimum."""
    if multiple < 1 or minimum < 1:
        raise ArrayError(f"multiple and minimum must be positive, not {multiple} and {minimum}.")
    s, r, c = (-(-max(n, minimum) // multiple) * multiple for n in shape)
    return s, r, c


def pad(volume: Array, *, multiple: int = 1, minimum: int = 1) -> Array:
    """Repeat the last slice, row and column until the volume has its padded shape.

    Parameters
    ----------
    volume : (S, R, C) array
        Any dtype.
    multiple, minimum : int
        Voxels, for each axis.

    Returns
    -------
    (S', R', C') array
        The volume lies at the start of each axis, so its affine still holds.

    Notes
    -----
    Repeating the edge instead of writing air keeps a network from seeing a surface where the
    scan merely ends.
    """
    shape = padded_shape(volume.shape, multiple=multiple, minimum=minimum)
    widths = [(0, new - old) for old, new in zip(volume.shape, shape)]
    return array_namespace(volume).pad(volume, widths, mode="edge")


def crop_back(padded: Array, shape: Sequence[int]) -> Array:
    """Undo `pad`: the leading part of the last three axes.

    Raises
    ------
    ArrayError
        When the array is smaller than `shape`.
    """
    s, r, c = shape
    if any(have < want for have, want in zip(padded.shape[-3:], shape)):
        raise ArrayError(f"cannot cut {tuple(shape)} out of {tuple(padded.shape)}.")
    return padded[..., :s, :r, :c]
