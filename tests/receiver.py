"""A partner's end of a webhook: an HTTP server that keeps what it is sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


def verify(secret: str, headers: Any, body: bytes) -> bool:
    """Check a signature as docs/webhooks.md shows it."""
    said = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, said, hashlib.sha256).digest()).decode()
    given = headers["webhook-signature"].split(" ")
    return any(hmac.compare_digest(expected, one) for one in given)


@dataclass
class Receiver:
    """Answers with the statuses it is given, one after another, then with 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    got: list[tuple[Any, bytes]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    delay_seconds: float = 0.0

    async def receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with self.came:
            self.got.append((request.headers.copy(), body))
            self.came.notify_all()
        await asyncio.sleep(self.delay_seconds)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, headers=self.headers, text="x" * 100_000)

    async def until(self, number: int, seconds: float = 15.0) -> list[dict[str, Any]]:
        """Wait until so many calls have come; gives their bodies."""
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(lambda: len(self.got) >= number)
        return [json.loads(body) for _, body in self.got]


@asynccontextmanager
async def receiving(tls: Any = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port of loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.receive)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    receiver.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
