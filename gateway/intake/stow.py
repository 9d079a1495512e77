"""Store a multipart stream: durable first, then indexed, only then acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from gateway.ending import end
from gateway.exceptions import (
    InstanceError,
    InstanceTooLargeError,
    InvalidMultipartError,
    PayloadTooLargeError,
    StoreUnavailableError,
    UnsupportedPartError,
)
from gateway.instance import Instance
from gateway.intake.multipart import MultipartParser, PartBegin, PartData, PartEnd
from gateway.intake.receiver import Bytes, Drop, Keep, Received, Receiver, Step
from gateway.log import get_logger
from gateway.store.index import Outcome, Status
from gateway.store.objects import ObjectStore

PART_TYPE = "application/dicom"
"""The only media type of a part that is stored."""

PLAIN_ENCODINGS = ("", "binary", "8bit", "7bit")
"""Content-Transfer-Encodings that leave the bytes as they are."""

BATCH_BYTES = 4 * 1024**2
"""Handed to the writing thread at once; two such batches are in memory."""

STEP_BYTES = 1024
"""What a part without bytes counts in a batch."""

MAX_PARTS = 50_000
"""Parts of one request; a PET-CT study has some 5,000."""

log = get_logger("onescan.stow")

Index = Callable[[list[Instance]], Awaitable[list[Outcome]]]
"""Indexes instances, in a transaction that is committed when it returns."""

Progress = Callable[[frozenset[str]], Awaitable[None]]
"""Told now and then, while a body comes, of which studies it has brought instances so far."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who wants to know that a body still comes, such as who waits for its studies."""

    tell: Progress
    """Runs beside the writing, one call at a time; cancelled when the body has ended."""

    every_seconds: float
    """Between two calls; what has come is written as often, and ten times as often until the
    first study is known."""


async def store(
    chunks: AsyncIterable[bytes],
    *,
    boundary: bytes,
    objects: ObjectStore,
    index: Index,
    max_instance_bytes: int,
    study_instance_uid: str = "",
    expected_bytes: int = 0,
    watcher: Watcher | None = None,
) -> list[Received]:
    """Store every part of a multipart body that is an instance.

    In this order: all bytes written, fsync, rename, fsync of the folder, commit of the index.
    A part that is refused leaves no bytes and does not harm its neighbours; a body that breaks
    off leaves nothing at all.

    Parameters
    ----------
    chunks : async iterable of bytes
        The body as it comes.
    index : callable
        Indexes the instances; what it refuses is told with the part.
    max_instance_bytes : int
        Largest part; a larger one is refused alone.
    study_instance_uid : str
        When given, instances of another study are refused.
    expected_bytes : int
        Announced length of the body, 0 when unknown.
    watcher : Watcher, optional
        Told that the body still comes.

    Returns
    -------
    list of Received
        One a part, in order.

    Raises
    ------
    InvalidMultipartError
        When the body breaks the form or ends early.
    StorageFullError
        When there is no room.
    """
    receiver = Receiver(
        objects, study_instance_uid=study_instance_uid, expected_bytes=expected_bytes
    )
    pulse = _Pulse(watcher, receiver, study_instance_uid)
    try:
        await _write(chunks, MultipartParser(boundary), receiver, max_instance_bytes, pulse)
    except BaseException:
        await in_thread(receiver.abort)
        raise
    finally:
        await pulse.end()
    if not receiver.received:
        await in_thread(receiver.abort)
        raise InvalidMultipartError("The body has no part.")
    return await commit(receiver, objects, index)


async def commit(receiver: Receiver, objects: ObjectStore, index: Index) -> list[Received]:
    """Make durable and index what a receiver has; see `store`."""
    try:
        await in_thread(receiver.commit)
    except BaseException:
        await in_thread(receiver.abort)
        raise
    received = receiver.received
    instances = [item.instance for item in received if item.instance is not None]
    if not instances:
        return received
    try:
        outcomes = await index(instances)
    except StoreUnavailableError:
        raise  # it may have been committed; the orphan sweep looks the segments up later
    except Exception:
        await in_thread(receiver.abort)
        raise
    used = {o.instance.object_key for o in outcomes if o.status == Status.STORED}
    for key in receiver.keys:
        if key not in used:  # nothing but copies of what is there
            with suppress(StoreUnavailableError):  # the orphan sweep finds it later
                await in_thread(objects.delete, key)
    told = iter(outcomes)
    return [item if item.instance is None else _judged(item, next(told)) for item in received]


def _judged(item: Received, outcome: Outcome) -> Received:
    return item if outcome.error is None else replace(item, error=outcome.error)


async def _write(
    chunks: AsyncIterable[bytes],
    parser: MultipartParser,
    receiver: Receiver,
    max_instance_bytes: int,
    pulse: _Pulse,
) -> None:
    """Parse on the event loop while a thread writes and reads headers, one batch behind."""
    batch = _Batch(max_instance_bytes)
    writing: asyncio.Task[None] | None = None
    try:
        async for chunk in chunks:
            for event in parser.feed(chunk):
                batch.add(event)
            due = pulse.beat()
            if batch.bytes >= BATCH_BYTES or due:
                if writing is not None:
                    await writing
                writing = asyncio.create_task(in_thread(receiver.perform, batch.take()))
        parser.close()
    finally:
        if writing is not None:
            await writing
    await in_thread(receiver.perform, batch.take())


async def in_thread(function: Callable[..., None], *arguments: Any) -> None:
    """Run a blocking function in a thread and, even when cancelled, wait for its end.

    So that no thread still writes to a segment that is being taken back.
    """
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class _Pulse:
    """Tells a watcher that a body still comes; never in the way of who writes."""

    def __init__(self, watcher: Watcher | None, receiver: Receiver, study: str) -> None:
        self._watcher = watcher
        self._receiver = receiver
        self._named = {study} - {""}
        self._telling: asyncio.Task[None] | None = None
        self._next = 0.0

    def beat(self) -> bool:
        """Note that bytes came; give whether it is time to write them, however few they are."""
        if self._watcher is None:
            return False
        now = time.monotonic()
        if now < self._next:
            return False
        studies = self._named | {
            item.instance.study_instance_uid for item in self._receiver.received if item.instance
        }
        if studies and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(_quietly(self._watcher.tell(frozenset(studies))))
        self._next = now + self._watcher.every_seconds / (1 if studies else 10)
        return True

    async def end(self) -> None:
        """Tell nobody anything any more."""
        if self._telling is not None:
            await end(self._telling)


async def _quietly(telling: Awaitable[None]) -> None:
    """Harm no body by what its watcher meets."""
    try:
        await telling
    except Exception as error:
        log.warning("onescan.stow.watcher_failed", error=type(error).__name__)


class _Batch:
    """Steps on their way to the receiver; judges a part by its headers and its length."""

    def __init__(self, max_instance_bytes: int) -> None:
        self.bytes = 0
        self._steps: list[Step] = []
        self._buffers: list[memoryview] = []
        self._max_instance_bytes = max_instance_bytes
        self._parts = 0
        self._part_bytes = 0
        self._error: InstanceError | None = None

    def add(self, event: PartBegin | PartData | PartEnd) -> None:
        """Take an event of the parser."""
        if isinstance(event, PartData):
            self._part_bytes += len(event.data)
            if self._error is None and self._part_bytes > self._max_instance_bytes:
                self._error = InstanceTooLargeError(
                    f"The instance is larger than {self._max_instance_bytes} bytes."
                )
            if self._error is None:
                self._buffers.append(event.data)
                self.bytes += len(event.data)
        elif isinstance(event, PartBegin):
            self._parts += 1
            if self._parts > MAX_PARTS:
                raise PayloadTooLargeError(f"The body has more than {MAX_PARTS} parts.")
            self.bytes += STEP_BYTES
            self._part_bytes = 0
            self._error = _refusal(event.headers)
        else:
            self._flush()
            self._steps.append(Keep() if self._error is None else Drop(self._error))

    def take(self) -> list[Step]:
        """Give the steps so far and begin anew."""
        self._flush()
        steps, self._steps, self.bytes = self._steps, [], 0
        return steps

    def _flush(self) -> None:
        if self._buffers:
            self._steps.append(Bytes(self._buffers))
            self._buffers = []


def _refusal(headers: dict[str, str]) -> InstanceError | None:
    """Judge a part by its headers; without a Content-Type it is what the request announced."""
    kind = headers.get("content-type", PART_TYPE).partition(";")[0].strip().lower()
    encoding = headers.get("content-transfer-encoding", "").strip().lower()
    if kind != PART_TYPE or encoding not in PLAIN_ENCODINGS:
        return UnsupportedPartError()
    return None
