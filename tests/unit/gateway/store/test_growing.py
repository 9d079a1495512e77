"""A segment that is read while it grows."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.exceptions import StorageFullError
from gateway.store.objects import FolderObjects, GrowingObjects


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects", reserve_bytes=0)


def files(objects: FolderObjects) -> list[Path]:
    return list(objects.root.rglob("*.seg"))


def test_what_is_published_is_read_by_its_key_while_more_is_written(objects: FolderObjects) -> None:
    """The first publish gives it its name, later ones only flush."""
    assert isinstance(objects, GrowingObjects)
    segment = objects.grow()
    segment.write([b"first"])
    assert not list(objects.list())
    segment.publish()
    assert objects.read(segment.key, 0, 5) == b"first"
    segment.write([b"second"])
    segment.publish()
    assert objects.read(segment.key, 5, 6) == b"second"
    segment.end()
    assert [key for key, _ in objects.list()] == [segment.key]


def test_a_refused_tail_is_forgotten(objects: FolderObjects) -> None:
    """Rewinding keeps what was published before."""
    segment = objects.grow()
    segment.write([b"kept"])
    segment.publish()
    segment.write([b"refused"])
    segment.publish()
    segment.rewind(4)
    segment.end()
    assert objects.read(segment.key, 0, 100) == b"kept"


def test_neither_abort_nor_sweep_takes_what_was_published(objects: FolderObjects) -> None:
    """Somebody may have been told success."""
    segment = objects.grow()
    segment.write([b"told"])
    segment.publish()
    segment.abort()
    assert objects.sweep_temporary() == 0
    assert objects.read(segment.key, 0, 4) == b"told"
    segment.end()
    segment.end()  # again does nothing


@pytest.mark.parametrize("published", [False, True])
def test_an_empty_segment_disappears(published: bool, objects: FolderObjects) -> None:
    """An association that brought nothing leaves nothing."""
    segment = objects.grow()
    segment.write([b"refused"])
    if published:
        segment.publish()
    segment.rewind(0)
    segment.end()
    assert not files(objects)


def test_a_growing_segment_is_never_old(objects: FolderObjects) -> None:
    """A sweep judges by the time of the last write, so one that is written to is young."""
    segment = objects.grow()
    segment.write([b"a"])
    segment.publish()
    os.utime(objects.path(segment.key), (0, 0))
    segment.write([b"b"])
    segment.publish()
    [(_, written)] = list(objects.list())
    assert (datetime.now(UTC) - written).total_seconds() < 60
    segment.end()


def test_a_full_disk_is_told_before_an_instance_is_promised(tmp_path: Path) -> None:
    """The reserve holds for each instance, not only for a new segment."""
    objects = FolderObjects(tmp_path / "objects", reserve_bytes=0)
    segment = objects.grow()
    segment.write([b"a"])
    objects.reserve_bytes = 2**62
    with pytest.raises(StorageFullError):
        segment.publish()
    segment.end()
    assert not files(objects)
