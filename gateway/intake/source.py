"""Random access to one Part 10 file, wherever its bytes are."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Protocol, runtime_checkable

from gateway.store.objects import Writer


@runtime_checkable
class Source(Protocol):
    """Bytes that are read by position."""

    size: int
    """Bytes of the file."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        ...


class BytesSource:
    """A file in memory."""

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data)
        self.size = len(self._data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        return bytes(self._data[offset : offset + length])


class FileSource:
    """A seekable binary file, from its beginning to its end whatever its position."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, io.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        self._file.seek(offset)
        return self._file.read(length)


class DescriptorSource:
    """A part of an open file: `length` bytes from `offset` on."""

    def __init__(self, fd: int, offset: int = 0, length: int | None = None) -> None:
        self._fd = fd
        self._offset = offset
        self.size = os.fstat(fd).st_size - offset if length is None else length

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        return os.pread(self._fd, max(0, min(length, self.size - offset)), self._offset + offset)


class WrittenSource:
    """What was written into a segment from an offset on, while it is still being written."""

    def __init__(self, writer: Writer, start: int) -> None:
        self._writer = writer
        self._start = start
        self.size = writer.offset - start

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        return self._writer.read_at(self._start + offset, max(0, min(length, self.size - offset)))
