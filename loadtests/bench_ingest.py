"""STOW-RS intake, durable: against Orthanc with an fsync a file, and against one raw body.

All three get the same bytes from the same client over loopback, in turn, onto the same disk.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from gateway.runtime.ports import free_port
from loadtests.study_bodies import CONTENT_TYPE, post, study_body
from tests.databases import fresh_database, running_postgres
from tests.orthanc import running_orthanc

GOAL_ORTHANC = 4.0
"""design.md, "How fast it must be": at least 4× Orthanc with DICOMweb and SyncStorageArea."""

GOAL_RAW = 0.5
"""And at least half the rate of one raw body into one file with one fsync."""

SLICES = 400
"""Of 512×512×2 bytes: 210 MB."""

FLAT_BYTES = 50 * 1024**2
"""By how much the api's memory may grow, however much comes in."""

START_SECONDS = 60.0

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Side:
    """One server that takes studies."""

    url: str
    headers: dict[str, str]
    forget: Callable[[], None]
    """Deletes what it has, off the clock."""

    pid: int = 0


def run(repeats: int = 7, *, slices: int = SLICES) -> list[dict[str, Any]]:
    """Send a study of fresh UIDs to each of the three, in turn.

    Returns
    -------
    list of dict
        Against Orthanc, and against the raw body; medians in seconds, the rate in MB/s.
    """
    with ExitStack() as stack:
        sides = {
            "ours": stack.enter_context(ours()),
            "orthanc": stack.enter_context(orthanc()),
            "raw": stack.enter_context(raw()),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(repeats + 1):
            for name, side in sides.items():
                body = study_body(slices)
                length = sum(map(len, body))
                os.sync()  # nobody pays for the side before
                start = time.perf_counter()
                status = post(side.url, body, length=length, headers=side.headers)
                taken = time.perf_counter() - start
                assert status == 200, f"{name} answered {status}"
                side.forget()
                if turn:  # the first one warms up
                    times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rates = {f"{name}_mb_per_s": round(length / 1e6 / s, 1) for name, s in medians.items()}
    spread = {name: [round(min(v), 3), round(max(v), 3)] for name, v in times.items()}
    return [
        _result("ingest", GOAL_ORTHANC, medians["ours"], medians["orthanc"], rates, spread),
        _result("ingest-raw", GOAL_RAW, medians["ours"], medians["raw"], rates, spread),
    ]


def run_memory(gigabytes: float = 5.0) -> dict[str, Any]:
    """Stream one request of some gigabytes and see by how much the api's peak grows."""
    body = study_body(SLICES)
    length = sum(map(len, body))
    studies = [study_body(SLICES)[:-1] for _ in range(round(gigabytes * 1e9 / length))]
    chunks = [chunk for study in studies for chunk in study] + body[-1:]
    with ours() as side:
        assert post(side.url, body, length=length, headers=side.headers) == 200
        before = peak_bytes(side.pid)
        length = sum(map(len, chunks))
        start = time.perf_counter()
        status = post(side.url, chunks, length=length, headers=side.headers)
        taken = time.perf_counter() - start
        assert status == 200, f"answered {status}"
        grown = peak_bytes(side.pid) - before
        side.forget()
    return {
        "name": "ingest-memory",
        "ratio": round(FLAT_BYTES / max(grown, 1), 2),
        "goal": 1.0,
        "ours": round(grown / 1e6, 1),
        "peer": round(FLAT_BYTES / 1e6, 1),
        "unit": "MB grown",
        "streamed_mb": round(length / 1e6),
        "seconds": round(taken, 1),
        "peak_mb": round((before + grown) / 1e6, 1),
    }


@contextmanager
def ours() -> Iterator[Side]:
    """Run the api as it is shipped, on a PostgreSQL of its own."""
    home = Path(tempfile.mkdtemp(prefix="os-bench-", dir="/tmp"))
    port = free_port("127.0.0.1")
    with running_postgres() as server, fresh_database(server) as database_url:
        environ = {
            "PATH": os.environ["PATH"],
            "ONESCAN_HOME": str(home),
            "DATABASE_URL": database_url,
            "ONESCAN_API__PORT": str(port),
            "ONESCAN_API__KEY": "bench",
        }

        def forget() -> None:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute("TRUNCATE frames, instances, studies CASCADE")
            for segment in (home / "objects").rglob("*.seg"):
                segment.unlink()

        command = [sys.executable, "-m", "gateway.cli", "serve"]
        try:
            with _child(command, environ, port) as pid:
                yield Side(
                    f"http://127.0.0.1:{port}/dicomweb/studies",
                    {"Content-Type": CONTENT_TYPE, "Authorization": "Bearer bench"},
                    forget,
                    pid,
                )
        finally:
            shutil.rmtree(home, ignore_errors=True)


@contextmanager
def orthanc() -> Iterator[Side]:
    """Run Orthanc with its SQLite index and an fsync of every file."""
    with running_orthanc(_must_be_there, SyncStorageArea=True) as server:

        def forget() -> None:
            for study in server.call("GET", "/studies"):
                server.call("DELETE", f"/studies/{study}")

        yield Side(f"{server.url}/dicom-web/studies", {"Content-Type": CONTENT_TYPE}, forget)


@contextmanager
def raw() -> Iterator[Side]:
    """Run the server that does nothing but write the body."""
    folder = Path(tempfile.mkdtemp(prefix="os-raw-", dir="/tmp"))
    port = free_port("127.0.0.1")

    def forget() -> None:
        for file in folder.iterdir():
            file.unlink()

    command = [sys.executable, "-m", "loadtests.peers.raw_body", str(folder), str(port)]
    try:
        with _child(command, {"PATH": os.environ["PATH"]}, port) as pid:
            yield Side(f"http://127.0.0.1:{port}/", {"Content-Type": CONTENT_TYPE}, forget, pid)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def peak_bytes(pid: int) -> int:
    """Give the highest resident size of a process so far."""
    [line] = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(line) * 1024


@contextmanager
def _child(command: list[str], environ: dict[str, str], port: int) -> Iterator[int]:
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(port):
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} does not start"
            time.sleep(0.1)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _must_be_there(name: str) -> str:
    raise FileNotFoundError(f"{name} is not installed (Debian: orthanc orthanc-dicomweb)")


def _result(
    name: str,
    goal: float,
    ours: float,
    peer: float,
    rates: dict[str, float],
    spread: dict[str, list[float]],
) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(peer / ours, 2),
        "goal": goal,
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": "s",
        **rates,
        "spread_s": spread,
    }
