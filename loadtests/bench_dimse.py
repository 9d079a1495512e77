"""C-STORE of one association, success only after durable, against the disk alone.

The listener with an embedded PostgreSQL in processes of their own; a sender in another one, on
one association, 512×512×2 instances one after the other. The peer is the least that such a
promise costs on this disk: the same bytes appended and flushed, then 8 kB of a second file (the
database's log) written and flushed, for each instance. Both sides run in turn; medians.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.dimse_sender import data_sets
from tests.databases import fresh_database, running_postgres
from tests.dimse_server import ROOT, listening

GOAL_MB_S = 60.0
"""design.md, "How fast it must be"."""

INSTANCES = 200
LOG_BYTES = 8192
"""Of PostgreSQL's log an instance, about."""


def run(*, repeats: int = 5, instances: int = INSTANCES) -> dict[str, Any]:
    """Measure.

    Returns
    -------
    dict
        ``name, ratio, goal, ours, peer, unit, met``; in MB/s, so `ratio` is ours ÷ the disk's.
    """
    [(_, data)] = data_sets(1)
    ours: list[float] = []
    disk: list[float] = []
    milliseconds: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="os-bench-", dir="/tmp") as scratch,
        running_postgres() as server,
        fresh_database(server) as url,
        listening(url, Path(scratch) / "home") as listener,
    ):
        for _ in range(repeats):
            command = [sys.executable, "-m", "loadtests.dimse_sender"]
            answer = subprocess.run(
                [*command, str(listener.port), str(instances)],
                cwd=ROOT,
                check=True,
                capture_output=True,
            )
            told = json.loads(answer.stdout)
            ours.append(told["bytes"] / told["seconds"] / 1e6)
            milliseconds.append(1e3 * statistics.median(told["times"]))
            disk.append(_disk(Path(scratch), data, instances // 4))
    speed = statistics.median(ours)
    return {
        "name": "dimse",
        "ratio": speed / statistics.median(disk),
        "goal": GOAL_MB_S / statistics.median(disk),
        "ours": speed,
        "peer": statistics.median(disk),
        "unit": "MB/s",
        "met": speed >= GOAL_MB_S,
        "goal_mb_s": GOAL_MB_S,
        "runs": [round(value, 1) for value in ours],
        "instance_ms": statistics.median(milliseconds),
        "load": os.getloadavg()[0],
        "peer_name": "append and flush the instance, then append and flush 8 kB",
    }


def _disk(folder: Path, data: bytes, count: int) -> float:
    """Give the MB/s of two flushes an instance and nothing else."""
    objects, log = (
        os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC) for name in ("o", "l")
    )
    record = bytes(LOG_BYTES)
    try:
        started = time.perf_counter()
        for _ in range(count):
            os.write(objects, data)
            os.fdatasync(objects)
            os.write(log, record)
            os.fdatasync(log)
        return count * len(data) / (time.perf_counter() - started) / 1e6
    finally:
        os.close(objects)
        os.close(log)
