"""A segment being written: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.exceptions import StorageFullError

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a full disk or an exhausted quota says."""

MAX_BUFFERS = 1024
"""IOV_MAX of Linux: buffers that one vectored write may take."""

Buffer = bytes | bytearray | memoryview
"""What can be written."""


class SegmentWriter:
    """Writes one segment; nobody sees it before `commit` returns.

    Parameters
    ----------
    key : str
        The object's name in the store.
    temporary, final : Path
        Where it is written and where it ends, on one file system.
    make_durable : callable
        Makes the final folder and what leads there, durably.
    """

    def __init__(
        self, *, key: str, temporary: Path, final: Path, make_durable: Callable[[Path], None]
    ) -> None:
        self.key = key
        self._temporary = temporary
        self._final = final
        self._make_durable = make_durable
        self._offset = 0
        self._fd = _create_locked(temporary)

    @property
    def offset(self) -> int:
        """Bytes written so far, those rewound not counted."""
        return self._offset

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append bytes; raises StorageFullError on a full disk."""
        with full_disk_named():
            for first in range(0, len(buffers), MAX_BUFFERS):
                self._write(buffers[first : first + MAX_BUFFERS])

    def _write(self, buffers: Sequence[Buffer]) -> None:
        done = os.pwritev(self._fd, buffers, self._offset)
        self._offset += done
        short = sum(map(len, buffers)) - done
        if short:  # a signal or a nearly full disk; writing the rest tells which
            rest = memoryview(b"".join(buffers))[-short:]
            while rest:
                done = os.pwrite(self._fd, rest, self._offset)
                self._offset += done
                rest = rest[done:]

    def rewind(self, offset: int) -> None:
        """Forget what was written after `offset`, and give its space back."""
        os.ftruncate(self._fd, offset)
        self._offset = offset

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back what was written; shorter than `length` only at the end."""
        return _pread(self._fd, offset, length)

    def seal(self) -> None:
        """Do nothing: a file can be read and cut anywhere until it is finished."""

    def commit(self) -> None:
        """Make the segment durable and visible; raises StorageFullError on a full disk."""
        with full_disk_named():
            os.fsync(self._fd)
            self._make_durable(self._final.parent)
            os.rename(self._temporary, self._final)
            fsync_folder(self._final.parent)
        self._close()

    def abort(self) -> None:
        """Leave nothing behind, of a failed `commit` neither; does nothing after a good one."""
        if self._fd >= 0:
            self._temporary.unlink(missing_ok=True)
            self._final.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1


def read_range(fd: int, offset: int, length: int) -> bytes:
    """Read a range of an open file and close it; shorter than `length` only at its end."""
    try:
        return _pread(fd, offset, length)
    finally:
        os.close(fd)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_root(folder: Path) -> None:
    """Make a folder that its owner alone may read, and the names that lead to it durable.

    Its own name is fsynced even where it exists: who made it may have died before.
    """
    missing = [level for level in (folder, *folder.parents) if not level.exists()]
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for level in missing or [folder]:
        with suppress(PermissionError):  # a parent that is not ours was there before us
            fsync_folder(level.parent)


@contextmanager
def full_disk_named() -> Iterator[None]:
    """Turn the operating system's "full" into StorageFullError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StorageFullError from error
        raise


def _pread(fd: int, offset: int, length: int) -> bytes:
    """Read a range; one system call takes at most 2 GiB."""
    part = os.pread(fd, length, offset)
    parts = [part]
    while part and (length := length - len(part)) > 0:
        offset += len(part)
        parts.append(part := os.pread(fd, length, offset))
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _create_locked(file: Path) -> int:
    """Create a file and lock it, which tells a sweep that its writer lives."""
    while True:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd
        os.close(fd)  # swept between open and flock
