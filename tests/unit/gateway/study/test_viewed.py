"""Slices of a stored series, one at a time, in bounded memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gateway.exceptions import NotFoundError, PixelDataError, TooFewSlicesError
from gateway.study.nifti import nifti_gz, read_nifti_gz
from gateway.study.series import Series
from gateway.study.viewed import PLANES, Viewer, describe, mask_slice
from tests.stored_series import MemoryObjects, decode, make_frame, one_series, series_of

SIDES = [
    np.array(a, float) for a in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, a)) == 1
]
ORIENTATIONS = [(r, c) for r in SIDES for c in SIDES if r @ c == 0]
"""The 24 pairs of row and column directions along the body's axes."""


class Counting(MemoryObjects):
    """Notes which objects are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    def open(self, key: str) -> int:
        self.opened.append(key)
        return super().open(key)


def stored(objects: MemoryObjects, number: int = 6) -> Series:
    planes = np.random.default_rng(3).integers(-1000, 2000, (number, 4, 5)).astype(np.int16)
    return series_of(list(planes), objects)


def turned(objects: MemoryObjects, row: np.ndarray, column: np.ndarray) -> Series:
    """Store planes that run in any direction."""
    normal = np.cross(row, column)
    values = np.random.default_rng(5).integers(-1000, 2000, (6, 4, 5)).astype(np.int16)
    frames = []
    for number, plane in enumerate(values):
        objects.objects[f"k{number}"] = plane.tobytes()
        frames.append(
            make_frame(
                number=number + 1,
                image_position_patient=tuple(3.0 * number * normal),
                image_orientation_patient=(*row, *column),
                object_key=f"k{number}",
            )
        )
    return one_series(frames)


@pytest.mark.parametrize(("row", "column"), ORIENTATIONS)
def test_slices_are_those_of_the_decoded_volume(row: np.ndarray, column: np.ndarray) -> None:
    """In every orientation and along each plane, whichever is asked for first."""
    objects = MemoryObjects()
    series = turned(objects, row, column)
    whole = decode(series, objects)
    for first in (0, 1, 2):
        volume = Viewer(10**6).volume("key", series)
        for axis in (first, (first + 1) % 3, (first + 2) % 3):
            for index in range(whole.shape[axis]):
                got = np.frombuffer(volume.slice(objects, PLANES[axis], index), "<i2")
                assert np.array_equal(got, whole.take(index, axis).ravel())


def test_an_axial_slice_reads_its_own_plane_only_and_once() -> None:
    """A coronal one then reads those that are missing."""
    objects = Counting()
    volume = Viewer(10**6).volume("key", stored(objects))
    for _ in range(2):
        volume.slice(objects, "axial", 2)
    assert objects.opened == ["k2"]
    volume.slice(objects, "coronal", 0)
    assert sorted(objects.opened) == [f"k{n}" for n in range(6)]


def test_slices_beyond_the_volume_are_not_there() -> None:
    """Nothing is read for them."""
    objects = Counting()
    volume = Viewer(10**6).volume("key", stored(objects))
    for plane, index in (("axial", 6), ("coronal", 4), ("sagittal", 5), ("axial", -1)):
        with pytest.raises(NotFoundError):
            volume.slice(objects, plane, index)
    assert objects.opened == []


def test_the_least_recently_seen_volume_makes_room() -> None:
    """All together stay below the bound; what is larger than it is refused."""
    objects = MemoryObjects()
    series = stored(objects)
    one = 6 * 4 * 5 * 2
    viewer = Viewer(2 * one)
    first, second = viewer.volume("a", series), viewer.volume("b", series)
    assert viewer.volume("a", series) is first
    viewer.volume("c", series)
    assert viewer.size_bytes == 2 * one
    assert viewer.volume("a", series) is first
    assert viewer.volume("b", series) is not second
    with pytest.raises(PixelDataError, match="ONESCAN_API__VIEW_BYTES"):
        Viewer(one - 1).volume("a", series)


def test_a_damaged_plane_leaves_the_others_to_be_seen() -> None:
    """It is asked for again, and refused again."""
    objects = MemoryObjects()
    series = stored(objects)
    objects.objects["k3"] = b"header"
    volume = Viewer(10**6).volume("key", series)
    for _ in range(2):
        with pytest.raises(PixelDataError):
            volume.slice(objects, "axial", 3)
    assert len(volume.slice(objects, "axial", 2)) == 40


def test_what_is_no_volume_says_why() -> None:
    """In the list, and when it is asked for."""
    series = one_series([make_frame(0.0), make_frame(3.0)])
    told = describe(series)
    assert told["refusal"]["code"] == TooFewSlicesError.code
    assert told["shape"] is None
    with pytest.raises(TooFewSlicesError):
        Viewer(10**6).volume("key", series)


@pytest.mark.parametrize(("row", "column"), ORIENTATIONS)
def test_a_mask_of_the_same_grid_is_cut_as_the_volume_is(
    row: np.ndarray, column: np.ndarray
) -> None:
    """Whatever the orientation, its file read back; an empty slice is None."""
    objects = MemoryObjects()
    volume = Viewer(10**6).volume("key", turned(objects, row, column))
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[1:3, 1:3, 2:4] = 7
    encoded = nifti_gz(labels, volume.geometry.affine)
    read, affine = read_nifti_gz(encoded)
    assert np.array_equal(read, labels)
    assert np.allclose(affine, volume.geometry.affine, atol=1e-4)
    for axis, plane in enumerate(PLANES):
        for index in range(labels.shape[axis]):
            expected = labels.take(index, axis)
            got = mask_slice(lambda: encoded, volume, plane, index)
            assert got == (expected.tobytes() if expected.any() else None)


@pytest.mark.parametrize(
    "data", [b"", b"a mask", nifti_gz(np.ones((2, 2, 2), np.uint8), np.eye(4))[:60]]
)
def test_a_damaged_mask_is_one_error(data: bytes) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(PixelDataError):
        read_nifti_gz(data)
