"""What a message on an association makes happen: C-ECHO, C-STORE, storage commitment."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.dimse import status
from gateway.dimse.command import (
    ACTION_TYPE,
    AFFECTED_CLASS,
    AFFECTED_INSTANCE,
    ANSWERED_ID,
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    COMMAND_FIELD,
    DATA_SET_TYPE,
    EVENT_TYPE,
    MESSAGE_ID,
    N_ACTION_RQ,
    N_EVENT_REPORT_RQ,
    NO_DATA_SET,
    REQUESTED_INSTANCE,
    RESPONSE,
    STATUS,
    Command,
    response,
)
from gateway.dimse.commitment import ASK, MAX_REQUEST_BYTES, encode, read_request, result_of
from gateway.dimse.depot import Delivery
from gateway.dimse.negotiation import Context
from gateway.dimse.sender import Label, Sender
from gateway.dimse.syntaxes import COMMITMENT, COMMITMENT_INSTANCE, VERIFICATION, is_storage
from gateway.exceptions import DimseError, OneScanError
from gateway.log import get_logger
from gateway.metrics import DIMSE_STORE_SECONDS, DIMSE_STORES
from gateway.store.commitments import add_commitment, mark_told, untold
from gateway.store.database import Connection
from gateway.store.retry import persist

if TYPE_CHECKING:
    from gateway.dimse.association import Association
    from gateway.dimse.server import DimseServer

log = get_logger("onescan.dimse")


class Task:
    """One message: takes its data set, gives its response."""

    def __init__(self, command: Command, code: int = status.SUCCESS, comment: str = "") -> None:
        self.command = command
        self.wants_data = command.get(DATA_SET_TYPE, NO_DATA_SET) != NO_DATA_SET
        self.code = code
        self.comment = comment

    async def add(self, data: memoryview) -> None:
        """Take some of the data set; by default it is let go."""

    async def finish(self) -> Command | None:
        """Give the response; None when there is none."""
        return response(self.command, self.code, self.comment)

    async def answered(self) -> None:
        """Go on, now that the response is sent."""


class Silent(Task):
    """A message that is not answered: a cancellation, or a response to ours."""

    async def finish(self) -> Command | None:
        """Answer nothing."""
        return None


class Services:
    """The services of one association.

    Parameters
    ----------
    sender : Sender
        Whom the association is with.
    """

    def __init__(self, server: DimseServer, association: Association, sender: Sender) -> None:
        self.server = server
        self.association = association
        self.sender = sender
        self.shelf = server.depot.shelf()
        self._commitment_context: tuple[int, str] | None = None
        self._told: dict[int, int] = {}
        """Message ID of our N-EVENT-REPORT → commitment."""

    async def begin(self, command: Command, context: Context) -> Task:
        """Begin a message.

        Raises
        ------
        DimseError
            When the association cannot go on.
        """
        field = command[COMMAND_FIELD]
        assert isinstance(field, int)
        if field == C_STORE_RQ:
            if not is_storage(context.abstract_syntax):
                return Task(command, status.CLASS_NOT_SUPPORTED, "Not a storage context.")
            task = Store(self, command, context)
            await task.begin()
            return task
        if field == C_ECHO_RQ:
            echo = context.abstract_syntax == VERIFICATION
            return Task(command, status.SUCCESS if echo else status.CLASS_NOT_SUPPORTED)
        if field == N_ACTION_RQ:
            if context.abstract_syntax != COMMITMENT:
                return Task(command, status.CLASS_NOT_SUPPORTED)
            return Commit(self, command, context)
        if field == N_EVENT_REPORT_RQ | RESPONSE:
            return Taken(self, command)
        if field == C_CANCEL_RQ or field & RESPONSE:
            return Silent(command)
        return Task(command, status.UNRECOGNISED_OPERATION)

    async def greet(self, contexts: Mapping[int, Context]) -> None:
        """Tell an AE that negotiated storage commitment the results that it has not taken."""
        for context_id, context in contexts.items():
            if context.abstract_syntax == COMMITMENT:
                self._commitment_context = (context_id, context.transfer_syntax)
                await self.tell_results()
                return

    async def tell_results(self) -> None:
        """Send the results that this AE has not taken, on this association."""
        if self._commitment_context is None:
            return
        context_id, syntax = self._commitment_context
        async with self.server.database.connection() as connection:
            waiting = await untold(
                connection, tenant=self.sender.partner.tenant, calling=self.sender.calling
            )
            results = [
                (item.commitment_id, *await result_of(connection, item))
                for item in waiting
                if item.commitment_id not in self._told.values()
            ]
        for commitment_id, event_type, result in results:
            message_id = self.association.new_message_id()
            self._told[message_id] = commitment_id
            command: Command = {
                AFFECTED_CLASS: COMMITMENT,
                COMMAND_FIELD: N_EVENT_REPORT_RQ,
                MESSAGE_ID: message_id,
                DATA_SET_TYPE: 1,
                AFFECTED_INSTANCE: COMMITMENT_INSTANCE,
                EVENT_TYPE: event_type,
            }
            await self.association.tell(context_id, command, encode(result, syntax))

    async def taken(self, message_id: int, code: int) -> None:
        """Note that the peer has answered our report."""
        commitment_id = self._told.pop(message_id, None)
        if commitment_id is not None and code == status.SUCCESS:
            async with self.server.database.connection() as connection:
                await mark_told(connection, commitment_id)

    async def close(self) -> None:
        """Write no more."""
        await self.server.depot.in_thread(self.shelf.close)


class Store(Task):
    """C-STORE: success only after the instance is durable and indexed."""

    def __init__(self, services: Services, command: Command, context: Context) -> None:
        super().__init__(command)
        if not self.wants_data:
            raise DimseError("A C-STORE came without a data set.")
        self._started = time.perf_counter()
        label = Label(
            sop_class_uid=str(command.get(AFFECTED_CLASS, "")),
            sop_instance_uid=str(command.get(AFFECTED_INSTANCE, "")),
            transfer_syntax_uid=context.transfer_syntax,
        )
        self._watch, self._tenant = services.server.watch, services.sender.partner.tenant
        self._delivery: Delivery | None = Delivery(
            services.server.depot, services.sender, services.shelf, label
        )

    async def begin(self) -> None:
        """Write the file's head; when it is refused the data set is read and let go."""
        assert self._delivery is not None
        try:
            self._watch.refuse_when_suspended(self._tenant)
            await self._delivery.begin()
        except OneScanError as error:
            self._refuse(error)

    async def add(self, data: memoryview) -> None:
        """Write some of the data set."""
        if self._delivery is None:
            return
        try:
            await self._delivery.add(data)
        except OneScanError as error:
            delivery = self._delivery
            self._refuse(error)
            await delivery.abandon()

    async def finish(self) -> Command:
        """Make it durable, index it, say so."""
        if self._delivery is not None:
            try:
                await self._delivery.finish()
            except OneScanError as error:
                self._refuse(error)
            except Exception as error:
                log.exception("onescan.dimse.store_failed")
                self.code, self.comment = status.PROCESSING_FAILURE, type(error).__name__
        DIMSE_STORES.labels(f"{self.code:04X}").inc()
        DIMSE_STORE_SECONDS.observe(time.perf_counter() - self._started)
        return response(self.command, self.code, self.comment)

    def _refuse(self, error: OneScanError) -> None:
        self.code, self.comment = status.status_of(error), f"{error.code}: {error}"
        self._delivery = None
        log.info("onescan.dimse.refused", code=error.code)


class Commit(Task):
    """N-ACTION of storage commitment: the request is kept before it is answered."""

    def __init__(self, services: Services, command: Command, context: Context) -> None:
        super().__init__(command)
        self._services = services
        self._context = context
        self._data = bytearray()

    async def add(self, data: memoryview) -> None:
        """Collect the data set."""
        self._data += data
        if len(self._data) > MAX_REQUEST_BYTES:
            raise DimseError(f"A request for commitment has more than {MAX_REQUEST_BYTES} bytes.")

    async def finish(self) -> Command:
        """Keep the request."""
        self.code, self.comment = await self._keep()
        return response(self.command, self.code, self.comment)

    async def answered(self) -> None:
        """Tell the result on this association at once."""
        if self.code == status.SUCCESS:
            await self._services.tell_results()

    async def _keep(self) -> tuple[int, str]:
        if self.command.get(ACTION_TYPE) != ASK:
            return status.NO_SUCH_ACTION, ""
        if self.command.get(REQUESTED_INSTANCE) != COMMITMENT_INSTANCE:
            return status.NO_SUCH_INSTANCE, ""
        server, sender = self._services.server, self._services.sender
        try:
            asked = await server.depot.in_thread(
                read_request, bytes(self._data), self._context.transfer_syntax
            )
        except DimseError as error:
            return status.INVALID_ARGUMENT, str(error)

        async def add(connection: Connection) -> int:
            return await add_commitment(
                connection,
                tenant=sender.partner.tenant,
                transaction_uid=asked.transaction_uid,
                calling=sender.calling,
                called=sender.called,
                references=asked.references,
            )

        try:
            await persist(server.database, add, patience_seconds=server.settings.patience_seconds)
        except OneScanError as error:
            return status.status_of(error), str(error)
        return status.SUCCESS, ""


class Taken(Silent):
    """The answer to a report of ours."""

    def __init__(self, services: Services, command: Command) -> None:
        super().__init__(command)
        self._services = services

    async def answered(self) -> None:
        """Note that the result was taken."""
        message_id, code = self.command.get(ANSWERED_ID, 0), self.command.get(STATUS, -1)
        assert isinstance(message_id, int)
        assert isinstance(code, int)
        await self._services.taken(message_id, code)
