"""The proxy passes on, cuts, delays and refuses as it is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from loadtests.chaos.proxy import Proxy, proxied

BODY = b"x" * 500_000


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """One in front of a server that says how much came and sends as much back."""

    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application(client_max_size=2 * len(BODY))
    app.router.add_post("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with proxied("127.0.0.1", port) as made:
        yield made
    await runner.cleanup()


async def send(proxy: Proxy) -> tuple[int, bytes]:
    """Post by a connection of its own."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{proxy.port}/", data=BODY) as answer,
    ):
        return answer.status, await answer.read()


async def test_it_passes_everything_on(proxy: Proxy) -> None:
    """By the byte, and harms nobody."""
    assert await send(proxy) == (200, BODY)
    assert proxy.struck == 0


async def test_it_cuts_within_the_bytes_that_it_is_told(proxy: Proxy) -> None:
    """The sender meets a reset; healed, it passes everything on again."""
    proxy.cut_after_bytes = 100_000
    with pytest.raises(aiohttp.ClientError):
        await send(proxy)
    assert proxy.struck == 1
    proxy.heal()
    assert (await send(proxy))[0] == 200


async def test_it_cuts_what_is_open(proxy: Proxy) -> None:
    """A connection on which nothing happens ends by a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"POST / HTTP/1.1\r\n")
    await asyncio.sleep(0.1)
    proxy.cut_all()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    writer.close()


async def test_it_answers_for_the_server(proxy: Proxy) -> None:
    """503, and the server hears nothing of it."""
    proxy.error_share = 1.0
    status, body = await send(proxy)
    assert status == 503
    assert b"SlowDown" in body


async def test_it_is_slow(proxy: Proxy) -> None:
    """Half a megabyte is eight chunks each way."""
    proxy.delay_seconds = 0.02
    begun = time.monotonic()
    assert (await send(proxy))[0] == 200
    assert time.monotonic() - begun > 0.2
