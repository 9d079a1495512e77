"""What an embedded server spends: core-seconds, memory, and bytes that its worker copies.

Definitions, as reports tell them:

*core-seconds*
    User and system time of all processes of a part (api, worker, Triton with its stubs,
    PostgreSQL), those that have ended among them.
*memory*
    Sum of the proportional set sizes (PSS) of all these processes, looked at every 0.1 s: a page
    that several map counts once. Pages of the server's own regions in ``/dev/shm`` are told beside
    it, since what is written there by ``write`` is in no PSS until somebody maps it.
*bytes copied*
    What the worker's ``read``, ``write``, ``send`` and ``receive`` calls returned, by strace, and
    what they were made on: files, ``/dev/shm``, sockets (gRPC to Triton and PostgreSQL together).
    What is read and written through mappings is not copied by a call and not counted.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gateway.runtime.home import home_digest

PARTS = ("api", "worker", "triton", "postgres")

LOOK_SECONDS = 0.1

SHM = Path("/dev/shm")

CALLS = {
    "read": "read", "pread64": "read", "readv": "read", "preadv": "read", "preadv2": "read",
    "recvmsg": "read", "recvfrom": "read",
    "write": "written", "pwrite64": "written", "writev": "written", "pwritev": "written",
    "pwritev2": "written", "sendmsg": "written", "sendto": "written",
}  # fmt: skip
"""System call → which way the bytes go, as the worker sees it."""

_CALL = re.compile(
    r"^(?P<pid>\d+)\s+(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\(\d+<(?P<what>[^>]*)>)"
)
_RESULT = re.compile(r"=\s+(\d+)\s*$")


@dataclass
class Costs:
    """What one stretch of time cost."""

    wall_seconds: float = 0.0
    core_seconds: dict[str, float] = field(default_factory=dict)
    peak_pss_mb: float = 0.0
    peak_shm_mb: float = 0.0

    def to_json(self) -> dict[str, object]:
        """Give plain values."""
        return {
            "wall_seconds": round(self.wall_seconds, 3),
            "core_seconds": {name: round(s, 3) for name, s in self.core_seconds.items()},
            "peak_pss_mb": round(self.peak_pss_mb, 1),
            "peak_shm_mb": round(self.peak_shm_mb, 1),
        }


def part_pids(home: Path) -> dict[str, int]:
    """Find the parts of the server on a home by the records that its supervisor keeps."""
    found = {}
    for name in PARTS:
        record = home / "run" / f"{name}.json"
        if record.is_file():
            found[name] = int(json.loads(record.read_text())["pid"])
    return found


@contextmanager
def measured_costs(home: Path) -> Iterator[Costs]:
    """Measure a block of code; the figures are there when it ends."""
    pids = part_pids(home)
    costs = Costs()
    before = {name: _core_seconds(pid) for name, pid in pids.items()}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(home, pids, costs, ended), daemon=True)
    started = time.perf_counter()
    watcher.start()
    try:
        yield costs
    finally:
        costs.wall_seconds = time.perf_counter() - started
        ended.set()
        watcher.join()
        costs.core_seconds = {n: _core_seconds(pid) - before[n] for n, pid in pids.items()}


@contextmanager
def copied_bytes(pid: int) -> Iterator[dict[str, int]]:
    """Count the bytes that a process copies by system calls; strace makes it slower meanwhile."""
    counted: dict[str, int] = {}
    with tempfile.NamedTemporaryFile("r", prefix="os-strace-", dir="/tmp") as out:
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-y", "-s", "0", "-e", "signal=none",
             "-e", f"trace={','.join(CALLS)}", "-o", out.name, "-p", str(pid)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _until_traced(pid, tracer)
            yield counted
        finally:
            tracer.terminate()
            tracer.wait()
            counted |= count_bytes(out)


def count_bytes(lines: Iterator[str]) -> dict[str, int]:
    """Add up what strace (``-f -y``) wrote, such as ``read files``."""
    counted: dict[str, int] = {}
    waiting: dict[str, tuple[str, str]] = {}
    for line in lines:
        found = _CALL.match(line)
        if found is None:
            continue
        pid = found["pid"]
        call, what = waiting.pop(pid, ("", "")) if found["resumed"] else (
            found["call"], found["what"]
        )  # fmt: skip
        if call not in CALLS:
            continue
        if "<unfinished" in line:
            waiting[pid] = (call, what)
            continue
        result, kind = _RESULT.search(line), _kind(what)
        if result is not None and kind:
            name = f"{CALLS[call]} {kind}"
            counted[name] = counted.get(name, 0) + int(result[1])
    return counted


def _kind(what: str) -> str:
    if what.startswith("/dev/shm/"):
        return "shared memory"
    if what.startswith(("socket:", "UNIX", "TCP", "unix", "tcp")):
        return "sockets"
    if what.startswith("/") and not what.startswith(("/dev/", "/proc/", "/sys/")):
        return "files"
    return ""


def _until_traced(pid: int, tracer: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while "TracerPid:\t0\n" in Path(f"/proc/{pid}/status").read_text():
        if tracer.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("strace cannot attach to the worker")
        time.sleep(0.05)


def _watch(home: Path, pids: dict[str, int], costs: Costs, ended: threading.Event) -> None:
    digest = home_digest(home)
    while True:
        pss = sum(_pss_bytes(process) for pid in pids.values() for process in _tree(pid))
        shm = 0
        for path in SHM.iterdir():
            if digest in path.name:
                with suppress(FileNotFoundError):
                    shm += path.stat().st_blocks * 512
        costs.peak_pss_mb = max(costs.peak_pss_mb, pss / 1e6)
        costs.peak_shm_mb = max(costs.peak_shm_mb, shm / 1e6)
        if ended.wait(LOOK_SECONDS):
            return


def _tree(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def _core_seconds(pid: int) -> float:
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def _pss_bytes(process: psutil.Process) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
