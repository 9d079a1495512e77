"""An S3 server for a run: moto's, in a process of its own, with one empty bucket."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp

from gateway.runtime.ports import free_port

NAME = "chaos"

REGION = "us-east-1"

START_SECONDS = 60.0


@asynccontextmanager
async def running() -> AsyncIterator[int]:
    """Run it; gives its port."""
    port = free_port("127.0.0.1")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not await _made(port):
            if process.returncode is not None or time.monotonic() > deadline:
                raise RuntimeError("moto's server does not start; is the group tests installed?")
            await asyncio.sleep(0.1)
        yield port
    finally:
        process.kill()
        await process.wait()


def environ(port: int) -> Mapping[str, str]:
    """Give the settings of a server whose objects go there by this port."""
    return {
        "AWS_ACCESS_KEY_ID": "chaos",
        "AWS_SECRET_ACCESS_KEY": "chaos",
        "ONESCAN_STORE__OBJECTS": f"s3://{NAME}",
        "ONESCAN_STORE__S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "ONESCAN_STORE__S3_REGION": REGION,
    }


async def _made(port: int) -> bool:
    with contextlib.suppress(aiohttp.ClientError, OSError):
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"http://127.0.0.1:{port}/{NAME}") as answer,
        ):
            return answer.status == 200
    return False
