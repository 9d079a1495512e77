"""The wall clock of the server's own processes, which a file sets; libfaketime looks into it.

Monotonic clocks go on as they do when an administrator or a bad time server sets a clock.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
)
"""Where Debian's package faketime and others put it."""

CACHE_SECONDS = 1
"""So often a process looks."""

ALL, WORKER = "all", "worker"

SCRIPT = """#!/bin/sh
case "$*" in
"-m gateway.cli worker"*) exec env {worker} {python} "$@" ;;
"-m gateway.cli serve"* | "-m gateway.cli dimse"*) exec env {all} {python} "$@" ;;
"-I -S "*"/bin/postgres "*)
  start="$3 $4 $5 $6 $7"
  shift 7
  exec {python} -I -S $start /usr/bin/env {all} "$@" ;;
esac
exec {python} "$@"
"""
"""Arguments of the launcher: ``-I -S launch.py PARENT SIGNAL UID GID COMMAND…``."""


class Clock:
    """Two clocks: the worker's, and that of api, listener and database.

    Parameters
    ----------
    folder : Path
        Where their files lie; every user may read it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = _library()
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        for name in (ALL, WORKER):
            (folder / name).write_text("+0\n")

    def set(self, seconds: int, *, only: str = "") -> None:
        """Put the clock forward (or back), of all or only of one; 0 is right."""
        for name in (ALL, WORKER):
            if only in ("", name):
                new = self.folder / f"{name}.new"
                new.write_text(f"{seconds:+d}\n")
                new.replace(self.folder / name)

    def interpreter(self) -> Path:
        """Write a Python that goes by these clocks where it becomes one of the processes.

        PostgreSQL is no Python: the launcher that becomes it is told to become it by ``env``, and
        not before it has taken the user's identity, under which the library's semaphores are made.
        """
        script = self.folder / "python"
        script.write_text(
            SCRIPT.format(
                all=shlex.join(self._variables(ALL)),
                worker=shlex.join(self._variables(WORKER)),
                python=shlex.quote(sys.executable),
            )
            if self.library
            else f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n'
        )
        script.chmod(0o755)
        return script

    def _variables(self, clock: str) -> list[str]:
        return [
            f"LD_PRELOAD={self.library}",
            f"FAKETIME_TIMESTAMP_FILE={self.folder / clock}",
            f"FAKETIME_CACHE_DURATION={CACHE_SECONDS}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "NO_FAKE_STAT=1",
        ]


def _library() -> Path | None:
    for pattern in LIBRARIES:
        for found in sorted(Path("/").glob(pattern.lstrip("/"))):
            return found
    return None
