"""One association with a requestor, from its first PDU to its last."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.dimse import pdu
from gateway.dimse.command import Command, decode_command, encode_command
from gateway.dimse.negotiation import Context, accept, read_proposal
from gateway.dimse.sender import Sender
from gateway.dimse.services import Services, Task
from gateway.exceptions import DimseError, OneScanError, PduError
from gateway.log import get_logger
from gateway.metrics import DIMSE_ASSOCIATIONS

if TYPE_CHECKING:
    from gateway.dimse.server import DimseServer

MAX_COMMAND_BYTES = 64 * 1024
"""A command set has some hundred bytes."""

LINGER_SECONDS = 2.0
"""The peer gets so long to close after a rejection or a release; then we do."""

log = get_logger("onescan.dimse")


class Association:
    """An association of which we are the acceptor.

    Every wait has an end: for the request, for the next PDU while idle, for the rest of a PDU,
    for the peer to take an answer.

    Parameters
    ----------
    server : DimseServer
        Admits, counts and drains associations.
    """

    def __init__(
        self,
        server: DimseServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.established = False
        self.calling = ""
        self._server = server
        self._settings = server.settings
        self._reader = reader
        self._writer = writer
        self._idle = True
        self._peer_max_pdu = 0
        self._contexts: dict[int, Context] = {}
        self._services: Services | None = None
        self._task = asyncio.current_task()
        self._command = bytearray()
        self._message: tuple[int, Task] | None = None
        """Context and task of the message whose data set is coming in."""

        self._message_id = 0
        self._telling = asyncio.Lock()

    async def run(self) -> None:
        """Serve until the association ends, however it ends."""
        outcome = "aborted"
        try:
            outcome = await self._serve()
        except TimeoutError:
            outcome = "timeout"
            await self._say(pdu.abort(pdu.NOT_SPECIFIED))
        except PduError as error:
            log.info("onescan.dimse.pdu", calling=self.calling, error=str(error))
            await self._say(pdu.abort(error.reason))
        except DimseError as error:
            log.info("onescan.dimse.message", calling=self.calling, error=str(error))
            await self._say(pdu.abort(0, by_user=True))
        except OSError:
            outcome = "lost"
        except asyncio.CancelledError:
            outcome = "drained"
            await self._say(pdu.abort(0, by_user=True))
            if not self._server.draining:
                raise
        except Exception:
            outcome = "failed"
            log.exception("onescan.dimse.failed")
            await self._say(pdu.abort(pdu.NOT_SPECIFIED))
        finally:
            self.established = False
            DIMSE_ASSOCIATIONS.labels(outcome).inc()
            await self._close()

    def drain(self) -> None:
        """End as soon as no message is in hand."""
        if self._idle and self._task is not None:
            self._task.cancel()

    def cancel(self) -> None:
        """End now; what was in hand is not acknowledged."""
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> str:
        async with asyncio.timeout(self._settings.request_seconds):
            head = await pdu.read_head(self._reader)
            if head is None:
                return "empty"
            if head[0] != pdu.ASSOCIATE_RQ:
                raise PduError("The first PDU is no association request.", pdu.UNEXPECTED_PDU)
            body = await pdu.read_body(self._reader, *head, self._settings.max_pdu_bytes)
        proposal = read_proposal(body)
        self.calling = proposal.calling
        peer = self._writer.get_extra_info("peername") or ("",)
        admitted = await self._server.admit(proposal, str(peer[0]))
        if not isinstance(admitted, Sender):
            log.info("onescan.dimse.rejected", calling=self.calling, reason=admitted)
            await self._say(pdu.reject(*admitted))
            await self._linger()
            return "rejected"
        self.established = True
        self._peer_max_pdu = proposal.max_pdu_bytes
        self._contexts, answer = accept(proposal, max_pdu_bytes=self._settings.max_pdu_bytes)
        self._services = Services(self._server, self, admitted)
        await self._send(answer)
        log.info("onescan.dimse.accepted", calling=self.calling, contexts=len(self._contexts))
        await self._services.greet(self._contexts)
        while True:
            head = await self._next_head()
            if head is None:
                return "lost"
            kind, length = head
            async with asyncio.timeout(self._settings.stall_seconds):
                body = await pdu.read_body(self._reader, kind, length, self._settings.max_pdu_bytes)
            if kind == pdu.P_DATA:
                await self._take(body)
                if self._server.draining and self._idle:
                    raise asyncio.CancelledError
            elif kind == pdu.RELEASE_RQ:
                await self._say(pdu.RELEASED)
                await self._linger()
                return "released"
            elif kind == pdu.ABORT:
                return "aborted"
            else:
                raise PduError("The PDU is not one of this moment.", pdu.UNEXPECTED_PDU)

    async def _next_head(self) -> tuple[int, int] | None:
        """Wait for a PDU: long between messages, briefly within one."""
        self._idle = self._message is None and not self._command
        settings = self._settings
        seconds = settings.idle_seconds if self._idle else settings.stall_seconds
        try:
            async with asyncio.timeout(seconds):
                return await pdu.read_head(self._reader)
        finally:
            self._idle = False

    async def _take(self, body: bytes) -> None:
        for value in pdu.values(body):
            context = self._contexts.get(value.context_id)
            if context is None:
                raise PduError(
                    f"Presentation context {value.context_id} was not accepted.",
                    pdu.INVALID_PARAMETER,
                )
            if value.is_command:
                await self._take_command(value, context)
            else:
                await self._take_data(value)
        self._idle = self._message is None and not self._command

    async def _take_command(self, value: pdu.Value, context: Context) -> None:
        if self._message is not None:
            raise DimseError("A command came where a data set was expected.")
        self._command += value.data
        if len(self._command) > MAX_COMMAND_BYTES:
            raise DimseError("The command set is too long.")
        if not value.is_last:
            return
        command = decode_command(bytes(self._command))
        self._command.clear()
        assert self._services is not None
        task = await self._services.begin(command, context)
        if task.wants_data:
            self._message = (value.context_id, task)
        else:
            await self._finish(value.context_id, task)

    async def _take_data(self, value: pdu.Value) -> None:
        if self._message is None or self._message[0] != value.context_id:
            raise DimseError("A data set came where a command was expected.")
        context_id, task = self._message
        await task.add(value.data)
        if value.is_last:
            await self._finish(context_id, task)
            self._message = None

    async def _finish(self, context_id: int, task: Task) -> None:
        answer = await task.finish()
        if answer is not None:
            await self.tell(context_id, answer)
        await task.answered()

    async def tell(self, context_id: int, command: Command, data: bytes = b"") -> None:
        """Send a message."""
        async with self._telling:
            parts = list(
                pdu.fragments(
                    context_id,
                    encode_command(command),
                    is_command=True,
                    max_pdu_bytes=self._peer_max_pdu,
                )
            )
            if data:
                parts += pdu.fragments(
                    context_id, data, is_command=False, max_pdu_bytes=self._peer_max_pdu
                )
            await self._send(b"".join(parts))

    def new_message_id(self) -> int:
        """Give the number of a message of ours."""
        self._message_id = self._message_id % 0xFFFF + 1
        return self._message_id

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._settings.stall_seconds):
            await self._writer.drain()

    async def _say(self, data: bytes) -> None:
        """Send last words; that nobody hears them is no matter."""
        with suppress(OSError, TimeoutError):
            await self._send(data)

    async def _linger(self) -> None:
        """Let the peer close first, so that our last words are not lost with unread data."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while await self._reader.read(4096):
                    pass

    async def _close(self) -> None:
        if self._services is not None:
            with suppress(OneScanError, OSError):
                await self._services.close()
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                await self._writer.wait_closed()
        self._writer.transport.abort()
