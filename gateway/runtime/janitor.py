"""Clean up after a server that was killed: processes, shared memory, records.

Only what is provably ours is touched. The caller holds the home's lock, which the kernel drops
with its holder, so whatever still carries this home's marker has lost its parent.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path

from gateway.runtime.home import Home, home_digest
from gateway.runtime.processes import PROC, kill_and_wait, marked
from gateway.triton.shared_memory import SHM, sweep

log = logging.getLogger("onescan.runtime")

TRITON_REGION_PREFIX = "onescan-triton-"
"""Regions of Triton's Python backend are named by this, the home's digest and a number."""


def clean(home: Home) -> None:
    """Kill the processes and unlink the regions that an earlier server of this home left."""
    orphans = [one for one in marked(home.digest, {os.geteuid()}) if one.pid not in _ancestors()]
    if orphans:
        log.warning("onescan.runtime.orphans_killed count=%d", len(orphans))
    kill_and_wait(orphans)
    sweep_triton(home)
    sweep(home.path)
    for record in [home.url, *home.run.glob("*.json")]:
        record.unlink(missing_ok=True)


def sweep_triton(home: Home) -> None:
    """Unlink the regions of this home's Triton, which must not be running."""
    sweep_regions(f"{TRITON_REGION_PREFIX}{home.digest}")


def sweep_regions(prefix: str) -> None:
    """Unlink our own regions of a prefix."""
    for path in SHM.glob(f"{prefix}*"):
        with suppress(OSError):
            if path.lstat().st_uid == os.geteuid():
                path.unlink()


def _ancestors() -> set[int]:
    """Pids of this process and those above it, which are no orphans whatever they carry."""
    found, pid = set(), os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            text = (PROC / str(pid) / "stat").read_text()
        except OSError:
            break
        pid = int(text[text.rindex(")") + 2 :].split()[1])
    return found


def leftovers(home: Path) -> list[str]:
    """List the names in /dev/shm that carry the home's digest; empty after a clean stop."""
    digest = home_digest(home)
    return sorted(path.name for path in SHM.iterdir() if digest in path.name)
