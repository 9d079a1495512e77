"""Where one association's instances are written; everything here blocks, one call at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from gateway.exceptions import InstanceError, OneScanError
from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.intake.receiver import SEGMENT_BYTES
from gateway.intake.source import WrittenSource
from gateway.store.growing import GrowingSegment
from gateway.store.objects import GrowingObjects, ObjectStore, Writer
from gateway.store.segment import Buffer

SEGMENT_SECONDS = 600.0
"""An older segment is ended, long before any sweep could take it for forgotten."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An instance whose bytes are written, and on their way to stable storage."""

    instance: Instance
    durable: Future[None] = field(repr=False)
    """Done when the bytes are durable and visible under the instance's key."""


class Shelf:
    """Writes instances into a growing segment, or each into an object of its own.

    Parameters
    ----------
    objects : ObjectStore
        Where they go.
    executor : Executor
        Its threads wait for the disk while the header is read and the index is written.
    """

    def __init__(self, objects: ObjectStore, executor: Executor) -> None:
        self.days: dict[tuple[str, str], date] = {}
        """Day of the study that came last, by tenant and UID."""

        self._objects = objects
        self._executor = executor
        self._writer: Writer | None = None
        self._opened = 0.0
        self._start = 0
        self._durable: Future[None] | None = None

    @property
    def must_open(self) -> bool:
        """Tell whether the next instance needs another segment: none is open, or it is full."""
        return self._writer is None or (
            self._writer.offset >= SEGMENT_BYTES
            or time.monotonic() - self._opened > SEGMENT_SECONDS
        )

    @property
    def is_near(self) -> bool:
        """Tell whether writing goes to the page cache and no further."""
        return isinstance(self._writer, GrowingSegment)

    def open(self) -> None:
        """Open a segment; raises StorageFullError when there is no room."""
        self.close()
        objects = self._objects
        self._writer = objects.grow() if isinstance(objects, GrowingObjects) else objects.begin()
        self._opened = time.monotonic()

    def begin(self) -> None:
        """Begin an instance in the open segment; alone of these it does not block."""
        assert self._writer is not None
        self._start = self._writer.offset

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append bytes of the instance in hand."""
        assert self._writer is not None
        self._writer.write(buffers)

    def keep(self) -> Kept:
        """End the instance in hand: read its header while its bytes become durable.

        Raises
        ------
        InstanceError
            When it is refused; `drop` then.
        """
        writer = self._writer
        assert writer is not None
        written = WrittenSource(writer, self._start)
        if isinstance(writer, GrowingSegment):
            self._durable = self._executor.submit(writer.publish)
            instance = read_header(written, object_key=writer.key, object_offset=self._start)
        else:
            instance = read_header(written, object_key=writer.key, object_offset=self._start)
            self._durable = self._executor.submit(writer.commit)
            self._writer = None
        return Kept(instance, self._durable)

    def drop(self, kept: Kept | None = None) -> None:
        """Forget the newest instance: one in hand, or one that is a copy of what is there."""
        self._wait()
        writer = self._writer
        if writer is None:
            if kept is not None:
                self._objects.delete(kept.instance.object_key)
        elif isinstance(writer, GrowingSegment):
            writer.rewind(self._start)
        else:
            writer.abort()
            self._writer = None

    def close(self) -> None:
        """Write no more. What rows point at stays."""
        self._wait()
        writer, self._writer = self._writer, None
        if isinstance(writer, GrowingSegment):
            writer.end()
        elif writer is not None:
            writer.abort()

    def _wait(self) -> None:
        if self._durable is not None:
            with suppress(OneScanError, InstanceError, OSError):  # told to who waited for it
                self._durable.result()
            self._durable = None
