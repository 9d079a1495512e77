"""A TCP proxy that cuts, delays, stalls or answers for the server, as it is told."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CHUNK_BYTES = 64 * 1024

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends RST, as a router that forgot the connection does."""

UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\n"
    b"Content-Length: 55\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message/><Key/></Error>   "
)
"""What Amazon's S3 says when it is asked too much."""


@dataclass
class Proxy:
    """A running one; what it does is changed while it runs.

    Attributes
    ----------
    target : tuple
        Host and port that it stands in front of.
    cut_after_bytes : int
        A new connection is reset once a random part of so many bytes has gone through; 0 never.
    delay_seconds : float
        Before each chunk, in either direction.
    error_share : float
        Of new connections, those that are answered 503 and closed.
    """

    target: tuple[str, int]
    port: int = 0
    cut_after_bytes: int = 0
    delay_seconds: float = 0.0
    error_share: float = 0.0
    random: random.Random = field(default_factory=random.Random)
    struck: int = 0
    """Connections that were harmed."""

    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def heal(self) -> None:
        """Pass everything on again."""
        self.cut_after_bytes, self.delay_seconds, self.error_share = 0, 0.0, 0.0

    def cut_all(self) -> None:
        """Reset every connection that is open."""
        for writer in list(self._writers):
            self.struck += 1
            _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        if self.random.random() < self.error_share:
            self.struck += 1
            await _refuse(reader, writer)
            return
        left = [self.random.randrange(self.cut_after_bytes)] if self.cut_after_bytes else []
        try:
            up_reader, up_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _reset(writer)
            return
        both = {writer, up_writer}
        self._writers |= both
        try:
            carried = [
                asyncio.create_task(self._carry(reader, up_writer, left)),
                asyncio.create_task(self._carry(up_reader, writer, left)),
            ]
            await asyncio.wait(carried)
        finally:
            self._writers -= both
            for one in both:
                one.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: list[int]
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                if left:
                    left[0] -= len(data)
                    if left[0] < 0:
                        self.struck += 1
                        self._cut(writer, reader)
                        return
                writer.write(data)
                await writer.drain()
            with suppress(OSError, RuntimeError):
                writer.write_eof()

    def _cut(self, *ends: object) -> None:
        for one in ends:
            transport = getattr(one, "transport", None) or getattr(one, "_transport", None)
            if isinstance(transport, asyncio.Transport):
                _linger(transport)
                transport.abort()


@asynccontextmanager
async def proxied(host: str, port: int, *, seed: int = 0) -> AsyncIterator[Proxy]:
    """Run a proxy in front of an address."""
    proxy = Proxy((host, port), random=random.Random(seed))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut_all()
        with suppress(TimeoutError):
            await asyncio.wait_for(server.wait_closed(), 5)


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request as far as it comes at once, answer 503 and hang up."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length:
            await asyncio.wait_for(reader.readexactly(length), 5)
        writer.write(UNAVAILABLE)
        await writer.drain()
    writer.close()


def _linger(transport: asyncio.Transport) -> None:
    found = transport.get_extra_info("socket")
    if found is not None:
        with suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _reset(writer: asyncio.StreamWriter) -> None:
    _linger(writer.transport)  # type: ignore[arg-type]
    writer.transport.abort()
