"""The store handler in a process of its own, under strace where a test says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.stow_app import CONTENT_TYPE

ROOT = Path(__file__).resolve().parent.parent

DETACH_SECONDS = 1.0
"""What strace gets to end by itself."""


@dataclass
class Server:
    """The handler in a process of its own."""

    process: subprocess.Popen[bytes]
    socket: str
    objects: Path
    """The folder of its objects, where it has one."""

    async def post(self, data: bytes | AsyncIterator[bytes]) -> int:
        """Send a body; gives the status."""
        connector = aiohttp.UnixConnector(path=self.socket)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(
                "http://x/dicomweb/studies", data=data, headers={"Content-Type": CONTENT_TYPE}
            ) as response,
        ):
            return response.status


@contextmanager
def serving(database_url: str, folder: Path | str, *wrapper: str) -> Iterator[Server]:
    """Run the server, under a wrapper if one is given."""
    with tempfile.TemporaryDirectory(prefix="os-", dir="/tmp") as sockets:
        socket = f"{sockets}/s"
        command = [sys.executable, "-m", "tests.stow_app", database_url, str(folder), socket]
        process = subprocess.Popen([*wrapper, *command], cwd=ROOT, start_new_session=True)
        try:
            deadline = time.monotonic() + 30
            while not Path(socket).exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield Server(process, socket, Path(folder))
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def attached(strace: str, pid: int, *options: str) -> Iterator[None]:
    """Attach strace to every thread of a process; its trace goes nowhere unless told."""
    command = [strace, "-f", "-p", str(pid), "-o", "/dev/null", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "attached" in line, line
    try:
        yield
    finally:
        process.terminate()  # it lets go of a living server, and writes its trace to the end
        try:
            process.wait(DETACH_SECONDS)
        except subprocess.TimeoutExpired:  # it has missed the end of the server that it killed
            process.kill()
            process.wait()
        process.stderr.close()
