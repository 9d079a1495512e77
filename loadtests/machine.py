"""The machine that a load test ran on, in general words, and who kept it busy meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Machine:
    """Where and of what a measurement was made."""

    cores: int
    memory_gb: int
    processor: str
    commit: str

    @classmethod
    def this(cls) -> Machine:
        """Look at this one."""
        return cls(
            cores=len(os.sched_getaffinity(0)),
            memory_gb=round(psutil.virtual_memory().total / 2**30),
            processor=_processor(),
            commit=_commit(),
        )


class Busy:
    """Core-seconds between two moments: of the server and the users, and of everybody else.

    Only a server of the test's own is seen as such; another one is somebody else.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._cpu = _busy_seconds()
        self._own = _own_seconds()

    def read(self) -> dict[str, float]:
        """Give cores kept busy on average since then."""
        seconds = max(1e-6, time.monotonic() - self._begun)
        whole = (_busy_seconds() - self._cpu) / seconds
        own = min(whole, (_own_seconds() - self._own) / seconds)
        return {"cores_busy": whole, "cores_own": own, "cores_others": whole - own}


def facts(busy: Busy) -> dict[str, Any]:
    """Give what a report says of the machine."""
    return {**asdict(Machine.this()), **busy.read(), "load": os.getloadavg()[0]}


def _busy_seconds() -> float:
    """Give core-seconds of everybody since the machine began, stolen ones among them."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _own_seconds() -> float:
    """Give core-seconds of this process, those that it has waited for and those that live."""
    total = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return "unknown processor"


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude", "*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip() or "unknown commit"
