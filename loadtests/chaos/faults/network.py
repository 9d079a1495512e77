"""Connections that are cut, and clients that are slow or have silently gone."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.scene import Scene
from loadtests.dimse_sender import request
from loadtests.fresh import CONTENT_TYPE

CUT_AFTER_BYTES = 1_500_000
"""A study is 1.9 MB: most bodies break off, some answers are lost."""

SLOW_CLIENTS = 10
"""Of the 16 places of ``ONESCAN_API__STORE_LIMIT``."""

TRICKLE_SECONDS = 0.25

GONE_SECONDS = 12.0
"""Longer than the listener of a run waits for a peer that is silent, with room to notice."""


@dataclass(frozen=True)
class Cut(Fault):
    """Reset every connection, and those that come after some bytes."""

    to: str = ""

    async def strike(self, scene: Scene) -> None:
        """Cut."""
        proxy = getattr(scene, self.to)
        proxy.cut_after_bytes = CUT_AFTER_BYTES
        proxy.cut_all()

    async def end(self, scene: Scene) -> list[str]:
        """Pass everything on."""
        getattr(scene, self.to).heal()
        return []


@dataclass(frozen=True)
class SlowClients(Fault):
    """Store requests whose bodies come by the byte."""

    tasks: list[asyncio.Task[None]] = field(default_factory=list, compare=False, repr=False)

    async def strike(self, scene: Scene) -> None:
        """Begin some requests that never end."""
        address = urlsplit(scene.server.url)
        head = (
            f"POST /dicomweb/studies HTTP/1.1\r\nHost: {address.netloc}\r\n"
            f"Authorization: Bearer {scene.server.key}\r\nContent-Type: {CONTENT_TYPE}\r\n"
            "Content-Length: 1000000\r\n\r\n"
        ).encode()
        for _ in range(SLOW_CLIENTS):
            work = _trickle(address.hostname or "", address.port or 0, head)
            self.tasks.append(asyncio.create_task(work))

    async def end(self, scene: Scene) -> list[str]:
        """Hang up."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        return []


@dataclass(frozen=True)
class HalfOpen(Fault):
    """Associations whose peers have gone without a word, at every stage of one."""

    peers: list[socket.socket] = field(default_factory=list, compare=False, repr=False)

    async def strike(self, scene: Scene) -> None:
        """Connect; ask for an association; begin a PDU; and say no more."""
        for words in (b"", request("MODALITY"), request("MODALITY") + b"\x04\x00\x00\x00"):
            peer = socket.create_connection(("127.0.0.1", scene.server.dimse_port), 10)
            peer.sendall(words)
            self.peers.append(peer)

    async def end(self, scene: Scene) -> list[str]:
        """Look whether the listener has given them up."""
        held = 0
        for peer in self.peers:
            peer.settimeout(0.5)
            try:
                while peer.recv(65536):
                    pass
            except TimeoutError:
                held += 1
            except OSError:
                pass
            peer.close()
        self.peers.clear()
        return [f"{held} half-open associations are held for ever"] if held else []


async def _trickle(host: str, port: int, head: bytes) -> None:
    with suppress(OSError):
        _, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(head)
            while True:
                writer.write(b"-")
                await writer.drain()
                await asyncio.sleep(TRICKLE_SECONDS)
        finally:
            writer.close()


NETWORK = (
    Cut("cut_api", "connections to the api are reset", "no more are", (3.0, 6.0), to="api"),
    Cut("cut_dimse", "associations are reset", "no more are", (3.0, 6.0), to="dimse"),
    SlowClients(
        "slow_clients",
        f"{SLOW_CLIENTS} store requests come by the byte",
        "they hang up",
        (4.0, 8.0),
    ),
    HalfOpen(
        "half_open_dimse",
        "peers of three associations are gone without a word",
        "the listener gives them up",
        (GONE_SECONDS, GONE_SECONDS),
    ),
)
