"""Objects: segments of many instances each, written once, durable before anything is acknowledged.

A key such as ``2026/11/21/<uuid>.seg`` names one object. The index points at
(key, offset, length), so many instances share a segment and one fsync.
Everything here blocks; the event loop calls it in a thread.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

from gateway.exceptions import NotFoundError, StorageFullError
from gateway.store.growing import GrowingSegment
from gateway.store.segment import (
    Buffer,
    SegmentWriter,
    fsync_folder,
    full_disk_named,
    make_root,
    read_range,
)

RESERVE_BYTES = 256 * 1024**2
"""Space that stays free, so that PostgreSQL and the logs on the same disk still work."""

TEMPORARY = "incoming"
"""Folder of unfinished segments, on the same file system as the finished ones."""


class ObjectReader(Protocol):
    """Reads stored objects; the folder store, and plain files of a command line, are such."""

    def open(self, key: str) -> int:
        """Open an object for reading and give the file descriptor, which the caller closes."""
        ...

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range of an object; shorter than `length` only at the object's end."""
        ...


class Writer(Protocol):
    """An object being written; nobody sees it before `commit` returns."""

    key: str

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append bytes."""
        ...

    def rewind(self, offset: int) -> None:
        """Forget what was written after `offset`."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back what was written."""
        ...

    def seal(self) -> None:
        """Let what was written so far stand: `rewind` and `read_at` go no further back."""
        ...

    def commit(self) -> None:
        """Make the object durable and visible."""
        ...

    def abort(self) -> None:
        """Leave nothing behind; does nothing after `commit`."""
        ...


@runtime_checkable
class DistantReader(ObjectReader, Protocol):
    """Reads objects that are far away, so that what a series needs is fetched once and before."""

    def at_hand(
        self, ranges: Mapping[str, Sequence[tuple[int, int]]]
    ) -> AbstractContextManager[ObjectReader]:
        """Fetch (offset, length) ranges of some keys and give a reader that has them."""
        ...


def at_hand(
    reader: ObjectReader, ranges: Mapping[str, Sequence[tuple[int, int]]]
) -> AbstractContextManager[ObjectReader]:
    """Have ranges of objects at hand while they are read; what is near is read where it lies.

    Parameters
    ----------
    ranges : mapping
        Key → (offset, length) of what will be read.
    """
    if isinstance(reader, DistantReader):
        return reader.at_hand(ranges)
    return nullcontext(reader)


class ObjectStore(ObjectReader, Protocol):
    """Where the bytes of instances are kept."""

    def begin(self, *, expected_bytes: int = 0) -> Writer:
        """Begin an object; refused when `expected_bytes` will not fit."""
        ...

    def begin_at(self, key: str, *, expected_bytes: int = 0) -> Writer:
        """Begin an object under the key that it had in another store, to copy it from there."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        ...

    def is_being_written(self, key: str) -> bool:
        """Tell whether a writer that lives still adds to an object."""
        ...

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Give every finished object's key and when it was written (UTC)."""
        ...

    def sweep_temporary(self) -> int:
        """Remove what writers that died have left; give how many."""
        ...


@runtime_checkable
class GrowingObjects(ObjectStore, Protocol):
    """An object store whose segments are read while they grow; a bucket is none."""

    def grow(self) -> GrowingSegment:
        """Begin such a segment; refused when there is no room."""
        ...


class FolderObjects:
    """Objects in a folder of a local file system.

    Parameters
    ----------
    root : Path
        Made when missing, readable by its owner only.
    reserve_bytes : int
        Space that writing leaves free.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.root = root.absolute()
        self.reserve_bytes = reserve_bytes
        self._durable: set[Path] = set()
        self._lock = threading.Lock()
        make_root(self.root)
        self._make_durable(self.root / TEMPORARY)

    def begin(self, *, expected_bytes: int = 0) -> SegmentWriter:
        """Begin a segment; raises StorageFullError when the disk has no room for it."""
        self._check_room(expected_bytes)
        with full_disk_named():
            return SegmentWriter(**self._place())

    def begin_at(self, key: str, *, expected_bytes: int = 0) -> SegmentWriter:
        """Begin an object under the key that it had in another store; one there is replaced."""
        final = self.path(key)
        self._check_room(expected_bytes)
        with full_disk_named():
            return SegmentWriter(
                key=key,
                temporary=self.root / TEMPORARY / f"{uuid.uuid4()}.seg",
                final=final,
                make_durable=self._make_durable,
            )

    def grow(self) -> GrowingSegment:
        """Begin a segment that is read while it grows; raises StorageFullError."""
        self._check_room()
        with full_disk_named():
            return GrowingSegment(**self._place(), check_room=self._check_room)

    def _check_room(self, expected_bytes: int = 0) -> None:
        disk = os.statvfs(self.root)
        if disk.f_bavail * disk.f_frsize < self.reserve_bytes + expected_bytes:
            raise StorageFullError

    def _place(self) -> dict[str, Any]:
        """Give a new segment its key and its files."""
        name = f"{uuid.uuid4()}.seg"
        key = f"{datetime.now(UTC):%Y/%m/%d}/{name}"
        return {
            "key": key,
            "temporary": self.root / TEMPORARY / name,
            "final": self.path(key),
            "make_durable": self._make_durable,
        }

    def path(self, key: str) -> Path:
        """Give the file of an object, whether or not it exists.

        Raises
        ------
        NotFoundError
            When the key would lead out of the folder.
        """
        parts = PurePosixPath(key).parts
        if not parts or parts[0] in ("/", TEMPORARY) or ".." in parts:
            raise NotFoundError(f"There is no object {key!r}.")
        return self.root.joinpath(*parts)

    def open(self, key: str) -> int:
        """Open an object for reading and give the file descriptor, which the caller closes."""
        try:
            return os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError(f"There is no object {key!r}.") from None

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range of an object; shorter than `length` only at the object's end."""
        return read_range(self.open(key), offset, length)

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self.path(key).unlink(missing_ok=True)

    def is_being_written(self, key: str) -> bool:
        """Tell whether a writer that lives still adds to an object: it holds the file's lock."""
        with suppress(FileNotFoundError):
            fd = os.open(self.path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            finally:
                os.close(fd)
        return False

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Give every finished object's key and when it was written (UTC)."""
        for file in self.root.glob("[0-9]*/[0-9]*/[0-9]*/*.seg"):
            with suppress(FileNotFoundError):
                written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                yield file.relative_to(self.root).as_posix(), written

    def sweep_temporary(self) -> int:
        """Remove segments whose writer died; those of a living writer are locked and stay."""
        removed = 0
        for file in (self.root / TEMPORARY).iterdir():
            with suppress(FileNotFoundError, BlockingIOError):
                fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    file.unlink()
                    removed += 1
                finally:
                    os.close(fd)
        return removed

    def _make_durable(self, folder: Path) -> None:
        """Make a folder below the root, and fsync each parent once in the life of this process.

        Also where the folder exists: another process may have made it and not yet fsynced it.
        And again where it has gone: an empty day may have been tidied away.
        """
        with self._lock:
            missing = [f for f in (folder, *folder.parents) if self.root in f.parents]
            for level in reversed(missing):
                if level not in self._durable or not level.is_dir():
                    level.mkdir(exist_ok=True, mode=0o700)
                    fsync_folder(level.parent)
                    self._durable.add(level)
