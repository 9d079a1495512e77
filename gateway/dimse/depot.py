"""Instances that come by DIMSE, made durable and indexed: C-STORE and C-GET share this path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from gateway.dimse.part10 import part10_head
from gateway.dimse.sender import Label, Sender
from gateway.dimse.shelf import Kept, Shelf
from gateway.exceptions import (
    InstanceTooLargeError,
    InvalidUidError,
    MismatchedCommandError,
    OneScanError,
    StoreUnavailableError,
)
from gateway.instance import Instance
from gateway.intake.dataset import DEFLATED_SYNTAX
from gateway.intake.header import is_uid
from gateway.intake.resend import same_pixels
from gateway.store.arrivals import note_arrivals
from gateway.store.database import Connection, Database
from gateway.store.index import Outcome, Status, add_instances, study_day
from gateway.store.index_one import add_new_instance
from gateway.store.objects import ObjectStore
from gateway.store.retry import persist
from gateway.store.segment import Buffer

BATCH_BYTES = 1024**2
"""Of one instance in memory at most, apart from a PDU; a CT slice is written in one go."""

T = TypeVar("T")


class Depot:
    """Takes instances in for all associations of a process.

    Parameters
    ----------
    executor : Executor
        Two threads for each association, so that none waits for another's disk.
    patience_seconds : float
        A sender waits so long for PostgreSQL to come back.
    """

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        executor: Executor,
        *,
        max_instance_bytes: int,
        patience_seconds: float,
    ) -> None:
        self.database = database
        self.max_instance_bytes = max_instance_bytes
        self._objects = objects
        self._executor = executor
        self._patience_seconds = patience_seconds

    def shelf(self) -> Shelf:
        """Make a place for one association's instances."""
        return Shelf(self._objects, self._executor)

    @asynccontextmanager
    async def storing(
        self, sender: Sender
    ) -> AsyncIterator[Callable[[Label, bytes], Awaitable[Outcome]]]:
        """Give a function that takes instances whose data sets are in memory, one by one.

        It raises what `Delivery.finish` raises. For C-GET; see `gateway.dimse.scu.retrieve_study`.
        """
        shelf = self.shelf()

        async def store(label: Label, data: bytes) -> Outcome:
            delivery = Delivery(self, sender, shelf, label)
            await delivery.begin()
            try:
                await delivery.add(data)
            except OneScanError:
                await delivery.abandon()
                raise
            return await delivery.finish()

        try:
            yield store
        finally:
            await self.in_thread(shelf.close)

    async def index(self, sender: Sender, shelf: Shelf, kept: Kept) -> Outcome:
        """Index an instance; its bytes are durable before the transaction is committed.

        Raises
        ------
        StoreUnavailableError
            When PostgreSQL stays away; it may have been committed nevertheless.
        StorageFullError
            When the bytes did not become durable; nothing is indexed then.
        """

        def same(old: Instance, new: Instance) -> bool:
            kept.durable.result()  # only then can it be read by its key
            return same_pixels(self._objects, old, new)

        async def add(connection: Connection) -> Outcome:
            tenant, study = sender.partner.tenant, kept.instance.study_instance_uid
            day = await add_new_instance(
                connection, tenant, kept.instance, shelf.days.get((tenant, study))
            )
            if day is not None:
                return await settle(connection, Outcome(kept.instance, Status.STORED))
            async with connection.transaction():  # `add_instances` alone would commit at its end
                [outcome] = await add_instances(
                    connection, tenant, [kept.instance], same_pixels=same
                )
                day = await study_day(connection, tenant, study)
                shelf.days = {(tenant, study): day} if day is not None else {}
                return await settle(connection, outcome)

        async def settle(connection: Connection, outcome: Outcome) -> Outcome:
            await note_arrivals(connection, sender.partner, [outcome])
            await asyncio.wrap_future(kept.durable)
            return outcome

        patience = self._patience_seconds
        try:
            async with asyncio.timeout(patience):  # the pool alone would wait for half a minute
                return await persist(self.database, add, patience_seconds=patience)
        except TimeoutError as error:
            raise StoreUnavailableError from error

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run a blocking function in a thread and, even when cancelled, wait for its end."""
        task = asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise


class Delivery:
    """One instance while it comes in."""

    def __init__(self, depot: Depot, sender: Sender, shelf: Shelf, label: Label) -> None:
        self._depot = depot
        self._sender = sender
        self._shelf = shelf
        self._label = label
        self._buffers: list[Buffer] = []
        self._pending = 0
        self._bytes = 0

    async def begin(self) -> None:
        """Write the file's head.

        Raises
        ------
        InvalidUidError
            When the command's UIDs are none.
        StorageFullError
            When there is no room.
        """
        label = self._label
        if not (is_uid(label.sop_class_uid) and is_uid(label.sop_instance_uid)):
            raise InvalidUidError("The command's Affected SOP Class or Instance UID is none.")
        if self._shelf.must_open:
            await self._depot.in_thread(self._shelf.open)
        self._shelf.begin()
        head = part10_head(
            sop_class_uid=label.sop_class_uid,
            sop_instance_uid=label.sop_instance_uid,
            transfer_syntax_uid=label.transfer_syntax_uid,
            calling=self._sender.calling,
            called=self._sender.called,
        )
        self._buffers.append(head)
        self._bytes = self._pending = len(head)

    async def add(self, data: Buffer) -> None:
        """Take more bytes of the data set.

        Raises
        ------
        InstanceTooLargeError, StorageFullError
            `abandon` then.
        """
        self._bytes += len(data)
        self._pending += len(data)
        if self._bytes > self._depot.max_instance_bytes:
            raise InstanceTooLargeError(
                f"The instance is larger than {self._depot.max_instance_bytes} bytes."
            )
        self._buffers.append(data)
        if self._pending >= BATCH_BYTES:
            buffers, self._buffers, self._pending = self._buffers, [], 0
            await self._depot.in_thread(self._shelf.write, buffers)

    async def finish(self) -> Outcome:
        """Make the instance durable and index it.

        Returns
        -------
        Outcome
            Stored, duplicate or revised; never refused.

        Raises
        ------
        InstanceError
            When it is refused; nothing of it is kept.
        StorageFullError, StoreUnavailableError
            When the sender should try again.
        """
        kept: Kept | None = None
        try:
            if self._is_quick:
                kept = self._write_and_keep()
            else:
                kept = await self._depot.in_thread(self._write_and_keep)
            self._compare(kept.instance)
            outcome = await self._depot.index(self._sender, self._shelf, kept)
        except (StoreUnavailableError, asyncio.CancelledError):
            raise  # it may have been committed, so its bytes stay; at worst nobody points at them
        except Exception:
            await self._depot.in_thread(self._shelf.drop, kept)
            raise
        if outcome.status != Status.STORED:
            await self._depot.in_thread(self._shelf.drop, kept)
        if outcome.error is not None:
            raise outcome.error
        return outcome

    async def abandon(self) -> None:
        """Forget what has come so far."""
        self._buffers = []
        await self._depot.in_thread(self._shelf.drop)

    @property
    def _is_quick(self) -> bool:
        """Tell whether writing and reading the header takes less than going to a thread and back.

        A slice goes into the page cache in a fifth of a millisecond; a deflated one might inflate
        to anything, and a bucket is far away.
        """
        return (
            self._bytes <= BATCH_BYTES
            and self._shelf.is_near
            and self._label.transfer_syntax_uid != DEFLATED_SYNTAX
        )

    def _write_and_keep(self) -> Kept:
        self._shelf.write(self._buffers)
        return self._shelf.keep()

    def _compare(self, instance: Instance) -> None:
        """Refuse a data set that is not what its command says: the sender would look for that."""
        said = (self._label.sop_class_uid, self._label.sop_instance_uid)
        if said != (instance.sop_class_uid, instance.sop_instance_uid):
            raise MismatchedCommandError
