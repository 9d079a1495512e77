"""The least that a durable server can do: one body into one file, one fsync, the same aiohttp.

``python -m loadtests.peers.raw_body FOLDER PORT``
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path

import uvloop
from aiohttp import web

BATCH_BYTES = 4 * 1024**2
"""Handed to the writing thread at once, as in our own intake."""


def make_app(folder: Path) -> web.Application:
    """Make the application."""

    async def store(request: web.Request) -> web.Response:
        path = folder / str(uuid.uuid4())
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            writing: asyncio.Task[int] | None = None
            batch: list[bytes] = []
            size = 0
            async for chunk in request.content.iter_any():
                batch.append(chunk)
                size += len(chunk)
                if size >= BATCH_BYTES:
                    if writing is not None:
                        await writing
                    writing = asyncio.create_task(asyncio.to_thread(os.writev, fd, batch))
                    batch, size = [], 0
            if writing is not None:
                await writing
            await asyncio.to_thread(os.writev, fd, batch)
            await asyncio.to_thread(os.fsync, fd)
        finally:
            os.close(fd)
        return web.Response(text="stored")

    app = web.Application()
    app.router.add_post("/", store)
    return app


async def serve(folder: Path, port: int) -> None:
    """Serve until killed."""
    runner = web.AppRunner(make_app(folder), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
