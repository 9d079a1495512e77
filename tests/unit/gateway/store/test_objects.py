"""Segments appear whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.exceptions import NotFoundError, StorageFullError
from gateway.store.objects import TEMPORARY, FolderObjects


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects", reserve_bytes=0)


def files(objects: FolderObjects) -> list[Path]:
    return [path for path in objects.root.rglob("*") if path.is_file()]


def test_a_committed_segment_is_read_back(objects: FolderObjects) -> None:
    """What was written is found under a key of day and name."""
    writer = objects.begin()
    writer.write([b"abc", memoryview(b"defg")])
    assert writer.offset == 7
    writer.commit()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.seg", writer.key)
    assert objects.read(writer.key, 2, 3) == b"cde"
    assert objects.read(writer.key, 5, 100) == b"fg"
    assert [key for key, _ in objects.list()] == [writer.key]


def test_a_day_that_was_tidied_away_is_made_again(objects: FolderObjects) -> None:
    """Somebody removes the empty folder of a day, and then another segment of that day comes."""
    for _ in range(2):
        writer = objects.begin()
        writer.write([b"abc"])
        writer.commit()
        assert objects.read(writer.key, 0, 3) == b"abc"
        objects.delete(writer.key)
        for folder in objects.path(writer.key).parents[:3]:
            folder.rmdir()


def test_nothing_is_visible_before_commit(objects: FolderObjects) -> None:
    writer = objects.begin()
    writer.write([b"abc"])
    assert not list(objects.list())
    with pytest.raises(NotFoundError):
        objects.read(writer.key, 0, 3)
    writer.abort()
    assert not files(objects)


def test_rewound_bytes_are_gone(objects: FolderObjects) -> None:
    """A refused part leaves neither bytes nor a hole."""
    writer = objects.begin()
    writer.write([b"good", b"bad" * 1000])
    writer.rewind(4)
    writer.write([b"more"])
    writer.commit()
    assert objects.path(writer.key).read_bytes() == b"goodmore"


def test_more_buffers_than_one_system_call_takes_are_written(objects: FolderObjects) -> None:
    writer = objects.begin()
    writer.write([b"%04d" % number for number in range(3000)])
    writer.commit()
    assert objects.read(writer.key, 4 * 2999, 4) == b"2999"


def test_only_its_owner_may_read_a_segment(objects: FolderObjects) -> None:
    """Pixels are patient data."""
    writer = objects.begin()
    writer.commit()
    path = objects.path(writer.key)
    assert path.stat().st_mode & 0o077 == 0
    assert all(parent.stat().st_mode & 0o077 == 0 for parent in path.parents[:4])


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "2026/../../x", "", f"{TEMPORARY}/x.seg"])
def test_keys_do_not_lead_out_of_the_folder(objects: FolderObjects, key: str) -> None:
    with pytest.raises(NotFoundError):
        objects.read(key, 0, 1)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(objects: FolderObjects) -> None:
    writer = objects.begin()
    writer.commit()
    objects.delete(writer.key)
    objects.delete(writer.key)
    assert not list(objects.list())


def test_a_disk_without_room_is_refused_at_the_beginning(tmp_path: Path) -> None:
    """What is announced must fit beside the reserve."""
    objects = FolderObjects(tmp_path / "objects", reserve_bytes=0)
    with pytest.raises(StorageFullError):
        objects.begin(expected_bytes=2**60)
    assert not files(objects)


def test_a_disk_that_fills_up_is_named(objects: FolderObjects) -> None:
    """The operating system's ENOSPC, here of /dev/full, becomes our own error."""
    writer = objects.begin()
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, writer._fd)
    os.close(full)
    with pytest.raises(StorageFullError):
        writer.write([b"abc"])
    writer.abort()
    assert not files(objects)


def test_a_sweep_spares_segments_whose_writer_lives(objects: FolderObjects) -> None:
    """A second process may start while the first one writes."""
    writer = objects.begin()
    writer.write([b"abc"])
    assert FolderObjects(objects.root).sweep_temporary() == 0
    writer.commit()
    assert objects.read(writer.key, 0, 3) == b"abc"


WRITE_AND_DIE = """
import os, signal, sys
from pathlib import Path
from gateway.store import segment
from gateway.store.objects import FolderObjects
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
writer = FolderObjects(Path(sys.argv[1]), reserve_bytes=0).begin()
writer.write([b"abc"])
setattr(segment.os, sys.argv[2], die)
writer.commit()
"""


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_a_killed_writer_leaves_nothing_visible(step: str, tmp_path: Path) -> None:
    """Killed before any step of the commit: no object, and the next start removes the rest."""
    root = tmp_path / "objects"
    done = subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(root), step], check=False)
    assert done.returncode == -signal.SIGKILL
    objects = FolderObjects(root, reserve_bytes=0)
    assert not list(objects.list())
    assert objects.sweep_temporary() == 1
    assert not files(objects)
