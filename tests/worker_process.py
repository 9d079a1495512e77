"""A worker as a process of its own, its Triton scripted; the argument is its delay in seconds."""

from __future__ import annotations

import asyncio
import os
import sys

from gateway.settings import Settings
from gateway.testing import FakeTriton, anatomy_inference
from gateway.worker import run_worker


async def _run(delay_seconds: float) -> None:
    triton = FakeTriton(delay_seconds=delay_seconds).script("anatomy", anatomy_inference())
    await run_worker(Settings.from_environ(os.environ), triton=triton)


if __name__ == "__main__":
    asyncio.run(_run(float(sys.argv[1])))
