"""DICOMweb on a TCP port, beside the test, for clients that know no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from aiohttp import web

from gateway.runtime.ports import free_port
from gateway.settings import ApiSettings
from gateway.store.database import Database
from gateway.store.objects import FolderObjects
from tests.ct_files import body
from tests.stow_app import CONTENT_TYPE, stow_app

START_SECONDS = 20.0


@dataclass(frozen=True)
class DicomWeb:
    """A running service."""

    url: str
    """Without a slash at the end; ends in ``/dicomweb``."""

    objects: FolderObjects

    def store(self, parts: Sequence[bytes], tenant: str = "default") -> Any:
        """Store Part 10 files; all of them must be taken."""
        answer = requests.post(
            f"{self.url}/studies",
            data=body(parts),
            headers={"Content-Type": CONTENT_TYPE, "X-Tenant": tenant},
            timeout=60,
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def get(self, path: str, accept: str | None = None, **headers: str) -> requests.Response:
        """Ask for something below the service."""
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if accept is not None:
            named["Accept"] = accept
        return requests.get(self.url + path, headers=named, timeout=60)


@contextmanager
def serving_dicomweb(
    database_url: str, folder: Path, api: ApiSettings | None = None
) -> Iterator[DicomWeb]:
    """Serve until the block ends, with settings of its own if asked."""
    objects = FolderObjects(folder, reserve_bytes=0)
    port = free_port("127.0.0.1")
    ready, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def serve() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        async with Database(database_url, size=4) as database:
            runner = web.AppRunner(await stow_app(database, objects, api=api), shutdown_timeout=1)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", port).start()
                ready.set()
                await stop.wait()
            finally:
                await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="dicomweb", daemon=True)
    thread.start()
    assert ready.wait(START_SECONDS), "the service did not start"
    try:
        yield DicomWeb(f"http://127.0.0.1:{port}/dicomweb", objects)
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)
