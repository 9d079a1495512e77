"""A proxy in front of an HTTP server that fails, delays or cuts what a test chooses."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

Rule = Callable[[web.BaseRequest], "Fault | None"]
"""Asked before each request is passed on."""


@dataclass(frozen=True)
class Fault:
    """What is done to a request."""

    status: int = 0
    """Answered instead of passing it on; 0 passes it on."""

    delay_seconds: float = 0.0
    """Waited before it is passed on."""

    lose_answer: bool = False
    """Passed on, and the connection cut instead of the answer."""


@dataclass
class Proxy:
    """A running proxy."""

    url: str = ""

    rule: Rule = lambda request: None

    seen: list[str] = field(default_factory=list)
    """Method and query names of each request, such as ``PUT partNumber uploadId``."""

    def count(self, method: str) -> int:
        """Count the requests of a method."""
        return sum(line.split()[0] == method for line in self.seen)


@contextmanager
def proxied(target: str) -> Iterator[Proxy]:
    """Run a proxy in a thread of its own."""
    proxy = Proxy()
    loop = asyncio.new_event_loop()
    started = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        async with aiohttp.ClientSession(auto_decompress=False) as session:

            async def handle(request: web.BaseRequest) -> web.StreamResponse:
                proxy.seen.append(" ".join([request.method, *sorted(request.query)]))
                fault = proxy.rule(request) or Fault()
                body = await request.content.read()
                await asyncio.sleep(fault.delay_seconds)
                if fault.status:
                    return web.Response(status=fault.status, text="<Error/>")
                url = URL(target + request.raw_path, encoded=True)
                async with session.request(
                    request.method, url, data=io.BytesIO(body), headers=request.headers
                ) as answer:
                    data = await answer.read()
                    if fault.lose_answer:
                        assert request.transport is not None
                        request.transport.close()
                    headers = answer.headers.copy()
                    headers.popall("Transfer-Encoding", None)
                    response = web.Response(status=answer.status, headers=headers)
                    if request.method != "HEAD":
                        headers.popall("Content-Length", None)
                        response = web.Response(status=answer.status, body=data, headers=headers)
                    return response

            runner = web.ServerRunner(web.Server(handle))
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            server = site._server
            assert isinstance(server, asyncio.Server)
            port = server.sockets[0].getsockname()[1]
            proxy.url = f"http://127.0.0.1:{port}"
            started.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="proxy")
    thread.start()
    try:
        assert started.wait(10)
        yield proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
