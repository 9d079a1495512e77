"""Masks on the grid of the images that they are about: one packed bit plane a frame and segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.instance import Frame
from gateway.results.dicom_source import Floats, plane_affine
from gateway.screening.mask import Mask

Bits = npt.NDArray[np.bool_]

Shown = tuple[int, bytes | Bits]
"""A value of a mask, and the pixels of a plane."""

_DIGITS = 6

STRAIGHT = 1e-3
"""An axis of a mask whose index changes by less than this a pixel does not change along it: half a
voxel over 512 pixels."""


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one segment shows on one frame."""

    value: int
    """Of the mask."""

    position: int
    """Of the frame in its stack, from 0."""

    pixels: bytes | Bits
    """(R, C); packed already where the pixels of a frame fill whole bytes."""


def planes(mask: Mask, frames: Sequence[Frame]) -> Iterator[Plane]:
    """Give the planes on which something of a mask lies, by the voxel nearest to each pixel.

    Parameters
    ----------
    mask : Mask
        On any grid of the frames' space.
    frames : sequence of Frame
        Of one stack.
    """
    back = np.linalg.inv(mask.geometry)[:3]
    last: tuple[object, list[Shown]] = (None, [])
    for position, frame in enumerate(frames):
        plane = plane_affine(frame)
        index = back[:, :3] @ plane
        index[:, 2] += back[:, 3]
        size, axes = (frame.rows, frame.columns), _straight(index)
        if axes is None:
            labels = _gathered(mask.array, index, size)
            shown = [(value, _kept(labels == value)) for value in _values(labels)]
        else:  # thin slices often cut the same slice of a coarse mask: then nothing is new
            held = round(float(index[axes[2], 2]))
            key = (axes, held, np.round(index[list(axes[:2])], _DIGITS).tobytes())
            shown = last[1] if key == last[0] else list(_cut(mask.array, index, size, axes, held))
            last = (key, shown)
        for value, pixels in shown:
            yield Plane(value, position, pixels)


def _cut(
    array: npt.NDArray[np.uint8],
    index: Floats,
    size: tuple[int, int],
    axes: tuple[int, int, int],
    held: int,
) -> Iterator[Shown]:
    """Cut one slice of a mask along its axes for a frame.

    Parameters
    ----------
    index : (3, 3) ndarray of float64
        (row, column, 1) → the mask's (slice, row, column).
    axes : (int, int, int)
        The mask's axes along the frame's rows and columns, and across.
    held : int
        Index along the last of them.
    """
    along_rows, along_columns, across = axes
    if not 0 <= held < array.shape[across]:
        return
    cut = np.take(array, held, axis=across)
    if along_rows > along_columns:
        cut = cut.T
    found = _values(cut)
    if not found:
        return
    rows, known_rows = _nearest(index[along_rows, (0, 2)], size[0], cut.shape[0])
    columns, known_columns = _nearest(index[along_columns, (1, 2)], size[1], cut.shape[1])
    for value in found:
        wide = (cut == value)[:, columns] & known_columns
        if not wide.any(axis=1)[rows[known_rows]].any():
            continue
        if size[1] % 8:
            yield value, _kept(wide[rows] & known_rows[:, None])
            continue
        small = np.packbits(wide, axis=1, bitorder="little")  # rows are many times repeated
        yield value, np.where(known_rows[:, None], small[rows], 0).tobytes()


def plane_of(value: int, position: int, bits: Bits) -> Plane:
    """Make a plane of its bits."""
    return Plane(value, position, _kept(bits))


def _kept(bits: Bits) -> bytes | Bits:
    return bits if bits.size % 8 else np.packbits(bits, bitorder="little").tobytes()


def _straight(index: Floats) -> tuple[int, int, int] | None:
    """Name the mask's axes along the frame's rows and columns, and across; None when oblique."""
    moves = np.abs(index[:, :2]) > STRAIGHT
    if moves.sum() != 2 or not moves.any(axis=0).all():
        return None
    along_rows, along_columns = int(moves[:, 0].argmax()), int(moves[:, 1].argmax())
    if along_rows == along_columns:
        return None
    return along_rows, along_columns, 3 - along_rows - along_columns


def _nearest(
    step: Floats, count: int, held: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Give the index nearest to each pixel along an axis, and whether it is one."""
    index = np.rint(step[0] * np.arange(count) + step[1]).astype(np.intp)
    return np.clip(index, 0, held - 1), (index >= 0) & (index < held)


def _gathered(
    array: npt.NDArray[np.uint8], index: Floats, size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    row, column = np.mgrid[: size[0], : size[1]]
    at = np.rint(
        index[:, 0, None, None] * row + index[:, 1, None, None] * column + index[:, 2, None, None]
    ).astype(np.intp)
    shape = np.array(array.shape)[:, None, None]
    known = ((at >= 0) & (at < shape)).all(axis=0)
    at = np.clip(at, 0, shape - 1)
    return np.where(known, array[at[0], at[1], at[2]], 0).astype(np.uint8)


def _values(labels: npt.NDArray[np.uint8]) -> list[int]:
    return [int(value) for value in np.flatnonzero(np.bincount(labels.ravel())) if value]


def nearest_pixel(point_mm: Sequence[float], frames: Sequence[Frame]) -> tuple[int, int, int]:
    """Give frame, row and column of the pixel nearest to a point."""
    point = np.asarray(point_mm, np.float64)
    best = (np.inf, 0, 0, 0)
    for position, frame in enumerate(frames):
        plane = plane_affine(frame)
        normal = np.cross(plane[:, 1], plane[:, 0])
        solved = np.linalg.solve(
            np.column_stack([plane[:, 0], plane[:, 1], normal]), point - plane[:, 2]
        )
        away = abs(float(solved[2])) * float(np.linalg.norm(normal))
        if away < best[0]:
            row = min(max(round(float(solved[0])), 0), frame.rows - 1)
            column = min(max(round(float(solved[1])), 0), frame.columns - 1)
            best = (away, position, row, column)
    return best[1], best[2], best[3]


def packed(shown: Sequence[Plane]) -> bytes:
    """Put planes one after the other without a gap, the first pixel in the lowest bit."""
    whole = [plane.pixels for plane in shown if isinstance(plane.pixels, bytes)]
    if len(whole) == len(shown):
        return b"".join(whole)
    loose = [plane.pixels.ravel() for plane in shown if not isinstance(plane.pixels, bytes)]
    return np.packbits(np.concatenate(loose), bitorder="little").tobytes()


def by_value(found: Iterator[Plane], values: Mapping[int, object]) -> dict[int, list[Plane]]:
    """Group planes by the values that are wanted."""
    out: dict[int, list[Plane]] = {value: [] for value in values}
    for plane in found:
        if plane.value in out:
            out[plane.value].append(plane)
    return out
