"""TCP ports of the api: a free one, a taken one, one that answers."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

from gateway.exceptions import RuntimeFailure


async def answers(host: str, port: int, path: str, *, tls: bool = False) -> bool:
    """Tell whether the api answers 200; by TLS whoever it says it is, since nothing is told it."""
    context = ssl._create_unverified_context() if tls else None
    try:
        opening = asyncio.open_connection(host, port, ssl=context)
        reader, writer = await asyncio.wait_for(opening, 2.0)
    except (OSError, TimeoutError):
        return False
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        line = await asyncio.wait_for(reader.readline(), 5.0)
        return b" 200 " in line
    except (OSError, TimeoutError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def listens(host: str, port: int) -> bool:
    """Tell whether somebody takes connections there."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def free_port(host: str) -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def refuse_taken_port(host: str, port: int) -> None:
    """Fail at once over a port that cannot be bound.

    Raises
    ------
    RuntimeFailure
        When it is taken, or may not be used.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise RuntimeFailure(
                f"Port {port} of {host} cannot be used ({error.strerror}); choose another one."
            ) from error
