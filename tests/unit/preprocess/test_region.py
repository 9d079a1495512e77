"""Reading a shared region by name: only ours, only what is inside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocess.exceptions import RegionError
from preprocess.region import is_linked, open_slab

NAME = "onescan-vol-0a1b-7"
VALUES = np.arange(2 * 3 * 4, dtype=np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Hold one region of 24 voxels."""
    (tmp_path / NAME).write_bytes(VALUES.tobytes())
    return tmp_path


def source(**changes: Any) -> str:
    return json.dumps({"region": NAME, "offset": 0, "shape": [2, 3, 4]} | changes)


def test_a_region_is_mapped_as_its_shape_says(folder: Path) -> None:
    """C order, int16, read-only."""
    slab = open_slab(source(), folder=folder)
    np.testing.assert_array_equal(slab, VALUES.reshape(2, 3, 4))
    assert not slab.flags.writeable


def test_an_offset_names_a_slab_of_the_region(folder: Path) -> None:
    """One slice is 3 · 4 voxels of two bytes."""
    slab = open_slab(source(offset=24, shape=[1, 3, 4]), folder=folder)
    np.testing.assert_array_equal(slab, VALUES.reshape(2, 3, 4)[1:])


def test_a_slab_outlives_the_name_of_its_region(folder: Path) -> None:
    """The worker may unlink it while Triton still reads."""
    slab = open_slab(source(), folder=folder)
    (folder / NAME).unlink()
    np.testing.assert_array_equal(slab.ravel(), VALUES)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "psm_1234",
        "onescan-vol-",
        "onescan-vol-../../etc/passwd",
        "/dev/shm/onescan-vol-1",
        "onescan-vol-1\n",
        "onescan-vol-1/2",
        "onescan-vol-1\u0000",
        "onescan-vol-" + "a" * 300,
        7,
    ],
)
def test_another_name_is_never_opened(folder: Path, name: Any) -> None:
    """No other prefix, no slash, no dot, no line end, nothing endless."""
    with pytest.raises(RegionError, match="not one of ours"):
        open_slab(source(region=name), folder=folder)


@pytest.mark.parametrize(
    "change",
    [
        {"offset": -2},
        {"offset": 1},
        {"offset": 1.0},
        {"offset": True},
        {"shape": [2, 3]},
        {"shape": [2, 3, 0]},
        {"shape": [2, 3, -4]},
        {"shape": [2, 3, 4.0]},
        {"shape": "234"},
        {"mode": "w"},
    ],
)
def test_a_malformed_source_is_refused(folder: Path, change: dict[str, Any]) -> None:
    """Whole, even offsets; three positive axes; no further key."""
    with pytest.raises(RegionError):
        open_slab(source(**change), folder=folder)


@pytest.mark.parametrize("text", ["", "null", "[1]", b"\xff\xfe"])
def test_a_source_that_is_not_json_is_refused(folder: Path, text: str | bytes) -> None:
    """Empty, nothing, a list, bytes that are no text."""
    with pytest.raises(RegionError):
        open_slab(text, folder=folder)


@pytest.mark.parametrize(
    "change",
    [{"offset": 2}, {"shape": [3, 3, 4]}, {"shape": [2**31, 2**31, 2**31]}, {"offset": 2**63}],
)
def test_a_slab_beyond_its_region_is_refused(folder: Path, change: dict[str, Any]) -> None:
    """By two bytes, by a slice, by more than there is memory."""
    with pytest.raises(RegionError, match="of a region of 48 bytes"):
        open_slab(source(**change), folder=folder)


def test_a_missing_region_is_refused(folder: Path) -> None:
    """The message has the reason and not the path."""
    with pytest.raises(RegionError, match="No such file") as caught:
        open_slab(source(region="onescan-vol-gone"), folder=folder)
    assert str(folder) not in str(caught.value)


def test_a_link_is_not_followed(folder: Path) -> None:
    """It could lead to any file of this user."""
    (folder / "onescan-vol-link").symlink_to(folder / NAME)
    with pytest.raises(RegionError, match="cannot be opened"):
        open_slab(source(region="onescan-vol-link"), folder=folder)


def test_what_is_not_a_regular_file_is_refused(folder: Path) -> None:
    """A pipe would block for ever, a folder has no bytes."""
    os.mkfifo(folder / "onescan-vol-pipe")
    (folder / "onescan-vol-folder").mkdir()
    for name in ("onescan-vol-pipe", "onescan-vol-folder"):
        with pytest.raises(RegionError, match="regular file"):
            open_slab(source(region=name), folder=folder)


def test_a_file_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from a process of another user."""
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(RegionError, match="of this user"):
        open_slab(source(), folder=folder)


def test_a_region_is_linked_until_its_study_is_over(tmp_path: Path) -> None:
    """By the name in a SOURCE or ORGANS tensor; what names none of ours is not."""
    reference = json.dumps({"region": NAME, "offset": 0, "shape": [1, 1, 1]})
    assert not is_linked(reference, folder=tmp_path)
    (tmp_path / NAME).write_bytes(b"00")
    assert is_linked(reference, folder=tmp_path)
    (tmp_path / "psm_other").write_bytes(b"00")
    for other in ('{"region": "psm_other"}', '{"region": 4}', "[]", "{"):
        assert not is_linked(other, folder=tmp_path)
