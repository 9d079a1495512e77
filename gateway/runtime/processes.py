"""Processes as /proc tells them: who is alive, who is ours.

A pid alone proves nothing, since pids are used again; a pid with its start time does.
"""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

MARKER = "_ONESCAN_RUN"
"""Environment variable that every child carries; its value is the digest of the home.
It starts with an underscore because settings refuse unknown ``ONESCAN_`` names."""

NAME_BYTES = 15
"""What the kernel keeps of a program's name."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A pid and the moment that process started."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks after boot."""

    @property
    def start_seconds(self) -> float:
        """Start time in seconds after boot, comparable with ``CLOCK_BOOTTIME``."""
        return self.start_ticks / _TICKS_PER_SECOND

    def alive(self) -> bool:
        """Tell whether this very process still runs (a zombie does not)."""
        stat = _stat(self.pid)
        return stat is not None and int(stat[19]) == self.start_ticks and stat[0] not in "ZX"

    def kill(self, number: int = signal.SIGKILL) -> bool:
        """Send a signal to this very process; tell whether it was there to take it."""
        if not self.alive():
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def save(self, path: Path) -> None:
        """Write the identity where `load` finds it, all at once."""
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps({"pid": self.pid, "start_ticks": self.start_ticks}))
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> ProcessIdentity | None:
        """Read a saved identity; None when there is none."""
        try:
            saved = json.loads(path.read_text())
            return cls(int(saved["pid"]), int(saved["start_ticks"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity | None:
        """Identify a running process; None when there is none of that pid."""
        stat = _stat(pid)
        return None if stat is None else cls(pid, int(stat[19]))


def boot_seconds() -> float:
    """Seconds since boot, on the clock that process start times use."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def marked(digest: str, uids: set[int]) -> list[ProcessIdentity]:
    """List the running processes of these users that carry our marker, this one excepted.

    Parameters
    ----------
    digest : str
        Digest of the home, see `gateway.runtime.home.home_digest`.
    uids : set of int
        Real owners that may be ours.
    """
    wanted = f"{MARKER}={digest}".encode()
    found = []
    for pid in _pids(uids):
        if wanted in _environ(pid):
            found.append(ProcessIdentity.of(pid))
    return [identity for identity in found if identity is not None and identity.alive()]


def working_in(folder: Path, uids: set[int]) -> list[ProcessIdentity]:
    """List the running processes of these users whose working directory is the folder.

    PostgreSQL's processes overwrite their environment with their title, but all of them
    work in the data directory.
    """
    found = []
    for pid in _pids(uids):
        with suppress(OSError):
            if (PROC / str(pid) / "cwd").readlink() == folder:
                found.append(ProcessIdentity.of(pid))
    return [identity for identity in found if identity is not None and identity.alive()]


def end_session(session: int, digest: str, timeout_seconds: float = 1.0) -> None:
    """Kill what a dead child of ours left in its session, and reap what has come to us of it.

    Only processes that carry our marker are killed: the number of a session that is long gone
    may belong to somebody else by now.
    """
    wanted = f"{MARKER}={digest}".encode()
    deadline = time.monotonic() + timeout_seconds
    while True:
        members = []
        for pid in _pids(None):
            stat = _stat(pid)
            if stat is None or int(stat[3]) != session:
                continue
            is_child = int(stat[1]) == os.getpid()
            if stat[0] not in "ZX" and wanted in _environ(pid):
                members.append(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            elif stat[0] == "Z" and is_child:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)
        if not members or time.monotonic() > deadline:
            return
        time.sleep(0.02)


def reap(sessions: set[int], programs: set[str], *, spare: set[int]) -> int:
    """Reap dead processes that have come to us from a dead child; give their number.

    Parameters
    ----------
    sessions : set of int
        Numbers of sessions that our dead children led.
    programs : set of str
        Names of programs whose processes lead sessions of their own, as PostgreSQL's do.
    spare : set of int
        Pids of children that somebody waits for.
    """
    names = {name[:NAME_BYTES] for name in programs}
    reaped = 0
    for pid in _pids(None):
        stat = _stat(pid)
        if stat is None or stat[0] != "Z" or int(stat[1]) != os.getpid() or pid in spare:
            continue
        if int(stat[3]) in sessions or _name(pid) in names:
            with suppress(ChildProcessError):
                reaped += os.waitpid(pid, os.WNOHANG)[0] == pid
    return reaped


def kill_and_wait(processes: list[ProcessIdentity], timeout_seconds: float = 5.0) -> None:
    """SIGKILL the processes and wait until they are gone; a stopped process dies too."""
    for process in processes:
        process.kill()
    deadline = time.monotonic() + timeout_seconds
    while any(process.alive() for process in processes) and time.monotonic() < deadline:
        time.sleep(0.01)


def _pids(uids: set[int] | None) -> list[int]:
    me = os.getpid()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) == me:
            continue
        with suppress(OSError):
            if uids is None or entry.stat().st_uid in uids:
                found.append(int(entry.name))
    return found


def _environ(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat after the command name: [0] is field 3, the state."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text().rstrip("\n")
    except OSError:
        return ""
