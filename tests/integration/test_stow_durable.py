"""Nothing is acknowledged before it is on stable storage and indexed."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
import psycopg
import pytest

from gateway.store.database import Database
from gateway.store.objects import FolderObjects
from gateway.store.orphans import delete_orphans, orphans
from tests.ct_files import body, part10, slices
from tests.stow_server import Server, attached, serving

pytestmark = pytest.mark.postgres

CALLS = "openat,fsync,fdatasync,rename,renameat,renameat2,sendto,write,writev,sendmsg"

FLAT_BYTES = 50 * 1024**2
"""By how much one request of any size may raise the server's memory."""


def test_each_request_is_synced_renamed_synced_committed_and_then_answered(
    database_url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """strace: two fsyncs and one commit, in this order, precede the 200, however many instances."""
    trace = tmp_path / "trace"
    strace = [need_tool("strace"), "-f", "-y", "-s", "64", "-o", str(trace), "-e", f"trace={CALLS}"]
    with serving(database_url, tmp_path / "objects", *strace) as server:
        # The first request of a day also makes the day's folders.
        assert asyncio.run(server.post(body([part10(ds) for ds in slices(2)]))) == 200
        seen = len(trace.read_text().splitlines())
        assert asyncio.run(server.post(body([part10(ds) for ds in slices(40, seed=1)]))) == 200
        lines = trace.read_text().splitlines()
    events = [event for line in lines[seen:] if (event := name_of(line))]
    assert events == ["fsync segment", "rename", "fsync folder", "commit", "answer"]
    first = [event for line in lines[:seen] if (event := name_of(line))]
    folders = ["fsync folder"] * 3  # of the root, the year and the month, each with a new folder
    assert first[-8:] == ["fsync segment", *folders, "rename", "fsync folder", "commit", "answer"]


def name_of(line: str) -> str:
    """Name a traced call, if it is a step of the write path."""
    if match := re.search(r"\bf(?:data)?sync\(\d+<(.*?)>", line):
        return "fsync segment" if match[1].endswith(".seg") else "fsync folder"
    if re.search(r"\brename\w*\(.*incoming/.*\.seg", line):
        return "rename"
    if "COMMIT" in line:
        return "commit"
    return "answer" if "HTTP/1.1 200" in line else ""


INJECT = {
    "segment fsync": "inject=fsync:signal=KILL:when=1",
    "rename": "inject=rename:signal=KILL:when=1",
    "folder fsync": "inject=fsync:signal=KILL:when=2",
}
"""Counted in each thread from the moment that strace attaches; one thread commits a segment."""


@pytest.mark.parametrize("step", [*INJECT, "commit"])
def test_a_server_killed_before_any_step_has_lost_nothing_acknowledged(
    step: str, database_url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """The sender of the second request has no answer, and what is left of it is swept up."""
    strace = need_tool("strace")
    folder = tmp_path / "objects"
    first, second = (body([part10(ds) for ds in slices(3, seed=seed)]) for seed in (0, 1))
    with psycopg.connect(database_url, autocommit=True) as connection:
        with serving(database_url, folder) as server:
            assert asyncio.run(server.post(first)) == 200
            if step == "commit":  # killed while it waits for a lock that its transaction needs
                with psycopg.connect(database_url) as blocker:
                    blocker.execute("LOCK TABLE studies IN EXCLUSIVE MODE")
                    with pytest.raises(aiohttp.ClientError):
                        asyncio.run(kill_when_renamed(server, second))
            else:
                with attached(strace, server.process.pid, "-e", INJECT[step]):
                    with pytest.raises(aiohttp.ClientError):
                        asyncio.run(server.post(second))
        [(count,)] = connection.execute("SELECT count(*) FROM instances").fetchall()
    assert count == 3
    asyncio.run(check_swept(database_url, folder, visible=step in ("folder fsync", "commit")))


async def kill_when_renamed(server: Server, data: bytes) -> None:
    """Send a body and kill the server once its segment has appeared."""
    sending = asyncio.create_task(server.post(data))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(list(FolderObjects(server.objects).list())) == 2:
            break
    os.killpg(server.process.pid, signal.SIGKILL)
    await asyncio.wait_for(sending, 10)


async def check_swept(database_url: str, folder: Path, *, visible: bool) -> None:
    """The acknowledged segment is whole; the other one is temporary or an orphan, then gone."""
    objects = FolderObjects(folder, reserve_bytes=0)
    assert objects.sweep_temporary() == (0 if visible else 1)
    async with Database(database_url, size=1) as database, database.connection() as connection:
        assert not await orphans(connection, objects)  # too young to be judged
        assert len(await orphans(connection, objects, timedelta(0))) == int(visible)
        assert await delete_orphans(connection, objects, timedelta(0)) == int(visible)
    assert len(list(objects.list())) == 1
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(("store", "count"), [("folder", 600), ("s3", 250)])
def test_memory_stays_flat_while_a_large_study_comes_in(
    store: str,
    count: int,
    database_url: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Hundreds of megabytes pass through a few, into a folder and into a bucket."""
    files = [part10(ds) for ds in slices(4, size=512)]
    objects = str(tmp_path / "objects")
    if store == "s3":
        server = request.getfixturevalue("s3")
        monkeypatch.setenv("ONESCAN_STORE__S3_ENDPOINT", server.endpoint)
        objects = server.url

    async def stream(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            yield b"--BB\r\nContent-Type: application/dicom\r\n\r\n"
            uid = f"1.2.3.0.3.{number % 4 + 1}".encode()
            yield files[number % 4].replace(uid, f"1.2.{number:07}".encode())
            yield b"\r\n"
        yield b"--BB--\r\n"

    with serving(database_url, objects) as server:
        assert asyncio.run(server.post(stream(40))) == 200  # 21 MB: every buffer is in use
        before = peak_bytes(server.process.pid)
        assert asyncio.run(server.post(stream(count))) == 200
        assert peak_bytes(server.process.pid) - before < FLAT_BYTES


def peak_bytes(pid: int) -> int:
    """Give the highest resident size of a process so far."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024
