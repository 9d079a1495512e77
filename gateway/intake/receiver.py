"""Write parts into segments and read their headers, in a thread beside the network's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.exceptions import InstanceError, StoreUnavailableError, WrongStudyError
from gateway.instance import Instance
from gateway.intake.dataset import HEAD_BYTES, media_storage_uids
from gateway.intake.header import UID, read_header
from gateway.intake.source import WrittenSource
from gateway.store.objects import ObjectStore, Writer

SEGMENT_BYTES = 1024**3
"""A segment that has reached it is full; larger ones would make retention coarse."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """More bytes of the part in hand."""

    buffers: list[memoryview]


@dataclass(frozen=True, slots=True)
class Keep:
    """The part in hand is complete."""


@dataclass(frozen=True, slots=True)
class Drop:
    """The part in hand is refused, whatever its bytes."""

    error: InstanceError


Step = Bytes | Keep | Drop


@dataclass(frozen=True, slots=True)
class Received:
    """What became of one part: an instance, or an error and what the part said it was."""

    part: int
    """1-based."""

    instance: Instance | None = None
    error: InstanceError | None = None
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


class Receiver:
    """Turns steps into segments; blocks, so `perform` runs in a thread, one call at a time.

    Parameters
    ----------
    objects : ObjectStore
        Where the segments go.
    study_instance_uid : str
        Instances of another study are refused; empty takes every study.
    expected_bytes : int
        What the whole request announces; refused at once when there is no room for it.
    """

    def __init__(
        self, objects: ObjectStore, *, study_instance_uid: str = "", expected_bytes: int = 0
    ) -> None:
        self.received: list[Received] = []
        self._objects = objects
        self._study = study_instance_uid
        self._expected = expected_bytes
        self._writers: list[Writer] = []
        self._start = 0
        self._in_part = False

    @property
    def keys(self) -> list[str]:
        """Keys of the segments."""
        return [writer.key for writer in self._writers]

    def perform(self, steps: Sequence[Step]) -> None:
        """Carry out some steps in their order.

        Raises
        ------
        StorageFullError
            When the disk is full; `abort` then.
        """
        for step in steps:
            writer = self._writer()
            if isinstance(step, Bytes):
                writer.write(step.buffers)
                continue
            if isinstance(step, Keep):
                self._keep(writer)
            else:
                self._refuse(writer, step.error)
            self._in_part = False

    def commit(self) -> None:
        """Make every segment durable and visible; one without a kept part disappears."""
        for writer in self._writers:
            if writer.offset:
                writer.commit()
            else:
                writer.abort()
        self._writers = [writer for writer in self._writers if writer.offset]

    def abort(self) -> None:
        """Leave nothing behind, of a commit that went well neither."""
        for writer in self._writers:
            writer.abort()
            with suppress(StoreUnavailableError):  # the orphan sweep finds it later
                self._objects.delete(writer.key)

    def _writer(self) -> Writer:
        if not self._in_part:
            if not self._writers or self._writers[-1].offset >= SEGMENT_BYTES:
                expected = 0 if self._writers else self._expected
                self._writers.append(self._objects.begin(expected_bytes=expected))
            self._start = self._writers[-1].offset
            self._in_part = True
        return self._writers[-1]

    def _keep(self, writer: Writer) -> None:
        part = WrittenSource(writer, self._start)
        try:
            instance = read_header(part, object_key=writer.key, object_offset=self._start)
            if self._study and instance.study_instance_uid != self._study:
                raise WrongStudyError
        except InstanceError as error:
            self._refuse(writer, error)
        else:
            writer.seal()
            self.received.append(Received(len(self.received) + 1, instance))

    def _refuse(self, writer: Writer, error: InstanceError) -> None:
        head = WrittenSource(writer, self._start).read_at(0, HEAD_BYTES)
        sop_class, sop_instance = (
            uid if UID.fullmatch(uid) else "" for uid in media_storage_uids(head)
        )
        writer.rewind(self._start)
        self.received.append(Received(len(self.received) + 1, None, error, sop_class, sop_instance))
