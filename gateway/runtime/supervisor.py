"""A parent that keeps its children up, and leaves nothing of them behind.

Each child leads a session of its own, dies with the parent (`gateway.runtime.launch`), writes to
``logs/<name>.log``, carries `gateway.runtime.processes.MARKER` and is started again with
exponential back-off when it dies. The parent is a subreaper, so that what a killed child leaves
behind (Triton's Python stubs) comes to it and is killed too.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.exceptions import RuntimeFailure
from gateway.runtime import launch
from gateway.runtime.home import Home
from gateway.runtime.processes import MARKER, ProcessIdentity, end_session, reap

log = logging.getLogger("onescan.runtime")

PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)."""

FIRST_DELAY_SECONDS = 0.25
"""Before the first restart; each further one waits twice as long."""

LAST_DELAY_SECONDS = 30.0
"""A child that cannot live is tried twice a minute."""

STABLE_SECONDS = 60.0
"""A child that lived so long starts again without waiting."""

SERVED_SECONDS = 5.0
"""A child that lived so long and was ready can live; something has killed it."""

SERVED_DELAY_SECONDS = 2.0
"""The longest pause before it is started again: others wait for it."""

REAP_SECONDS = 2.0
"""Between two looks for dead processes that a dead child has left to us."""

PROBE_SECONDS = 0.05
"""Between two readiness probes."""


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """How one child is run."""

    name: str
    command: Sequence[str]
    """Absolute path of the program, then its arguments."""

    environ: Mapping[str, str]
    """Its whole environment; the marker is added."""

    ready: Callable[[], Awaitable[bool]]
    """Probe; True when the child serves."""

    start_timeout_seconds: float = 60.0
    stop_signal: int = signal.SIGTERM
    stop_timeout_seconds: float = 10.0
    """Between the stop signal and SIGKILL."""

    death_signal: int = signal.SIGKILL
    """What the kernel sends it when the parent dies."""

    user: tuple[int, int] = (-1, -1)
    """(uid, gid) to run as; −1 keeps the parent's."""

    before_start: Callable[[], None] = field(default=_nothing)
    """Sweeps what an earlier life of the child left; called before every start and at the end."""

    refuse_start: Callable[[], None] = field(default=_nothing)
    """Raises RuntimeFailure while the child must not be started; called before every start."""


@dataclass(slots=True)
class _Running:
    child: Child
    process: subprocess.Popen[bytes]
    started: float
    was_ready: bool = False
    watcher: asyncio.Task[None] | None = None


class Supervisor:
    """Start children in order, keep them up, stop them in reverse order.

    Parameters
    ----------
    home : Home
        Where logs and pid records go. Its lock must be held.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self.restarts: dict[str, int] = {}
        self._running: list[_Running] = []
        self._stopping = False
        self._ended_sessions: set[int] = set()
        self._reaper: asyncio.Task[None] | None = None
        _prctl(PR_SET_CHILD_SUBREAPER, 1)

    async def start(self, child: Child) -> None:
        """Start a child and wait until it is ready; from then on it is kept up.

        Raises
        ------
        RuntimeFailure
            When it exits or does not become ready in time.
        """
        running = _Running(child, self._spawn(child), time.monotonic())
        self._running.append(running)
        self.restarts[child.name] = 0
        await self._until_ready(running)
        running.was_ready = True
        running.watcher = asyncio.create_task(self._keep_up(running), name=f"keep {child.name} up")
        if self._reaper is None:
            self._reaper = asyncio.create_task(self._reap(), name="reap")
        log.info("onescan.runtime.started name=%s pid=%d", child.name, running.process.pid)

    async def stop(self) -> None:
        """Stop all children, last started first, and leave nothing of them behind."""
        self._stopping = True
        if self._reaper is not None:
            self._reaper.cancel()
            await asyncio.gather(self._reaper, return_exceptions=True)
            self._reaper = None
        while self._running:
            running = self._running.pop()
            if running.watcher is not None:
                running.watcher.cancel()
                await asyncio.gather(running.watcher, return_exceptions=True)
            await self._end(running)
            running.child.before_start()
            self.home.record(running.child.name).unlink(missing_ok=True)
            log.info("onescan.runtime.stopped name=%s", running.child.name)

    def pid(self, name: str) -> int:
        """Give the pid of a child.

        Raises
        ------
        KeyError
            When there is no child of that name.
        """
        for running in self._running:
            if running.child.name == name:
                return running.process.pid
        raise KeyError(name)

    def last_words(self, name: str) -> str:
        """Give the line of a child's logs that says best why it ended, and where it stands."""
        path = self.home.logs / f"{name}.log"
        older = path.with_suffix(".log.1")
        for log_file in (path, older):
            text = log_file.read_text(errors="replace").strip() if log_file.exists() else ""
            lines = text.splitlines()
            telling = [line for line in lines if re.search("error|fatal|onescan:", line, re.I)]
            if lines:
                return f"{(telling or lines)[-1].strip()[:300]} (see {log_file})"
        return f"it said nothing (see {path})"

    def _spawn(self, child: Child) -> subprocess.Popen[bytes]:
        child.before_start()
        child.refuse_start()
        path = self.home.logs / f"{child.name}.log"
        if path.exists():
            path.replace(path.with_suffix(".log.1"))
        arguments = [str(os.getpid()), str(int(child.death_signal)), *map(str, child.user)]
        with path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", launch.__file__, *arguments, *child.command],
                env={**child.environ, MARKER: self.home.digest},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                start_new_session=True,
            )
        path.chmod(0o600)
        if identity := ProcessIdentity.of(process.pid):
            identity.save(self.home.record(child.name))
        return process

    async def _until_ready(self, running: _Running) -> None:
        child, deadline = running.child, time.monotonic() + running.child.start_timeout_seconds
        while not await child.ready():
            if running.process.poll() is not None:
                raise RuntimeFailure(f"{child.name} did not start: {self.last_words(child.name)}")
            if time.monotonic() > deadline:
                raise RuntimeFailure(
                    f"{child.name} was not ready within {child.start_timeout_seconds:.0f} s; "
                    f"see {self.home.logs / child.name}.log."
                )
            await asyncio.sleep(PROBE_SECONDS)

    async def _keep_up(self, running: _Running) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            await _exited(running.process)
            lived = time.monotonic() - running.started
            delay = pause_seconds(delay, lived, was_ready=running.was_ready)
            log.warning(
                "onescan.runtime.died name=%s status=%s restart_seconds=%.2f",
                running.child.name,
                running.process.returncode,
                delay,
            )
            self._ended_sessions.add(running.process.pid)
            end_session(running.process.pid, self.home.digest)
            await asyncio.sleep(delay)
            delay = min(2 * delay, LAST_DELAY_SECONDS)
            running.started, running.was_ready = time.monotonic(), False
            self.restarts[running.child.name] += 1
            try:
                running.process = self._spawn(running.child)
                await self._until_ready(running)
            except Exception as failure:
                # A full disk, a refused fork, a probe that raises: whatever it is, try again.
                log.error("onescan.runtime.restart_failed %s", failure)
                await self._end(running)
            else:
                running.was_ready = True
                log.info("onescan.runtime.restarted name=%s", running.child.name)

    async def _reap(self) -> None:
        """Leave no zombie of what was slow to die, or leads a session of its own."""
        while True:
            await asyncio.sleep(REAP_SECONDS)
            children = {running.process.pid for running in self._running}
            programs = {
                name
                for running in self._running
                if (name := Path(running.child.command[0]).name) != Path(sys.executable).name
            }
            if self._ended_sessions:
                reap(self._ended_sessions - children, programs, spare=children)

    async def _end(self, running: _Running) -> None:
        process, child = running.process, running.child
        for number, seconds in (
            (child.stop_signal, child.stop_timeout_seconds),
            (signal.SIGKILL, 5.0),
        ):
            if process.poll() is not None:
                break
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # a stopped child hears it only when continued
            with suppress(TimeoutError):
                await asyncio.wait_for(_exited(process), seconds)
        end_session(process.pid, self.home.digest)


def pause_seconds(delay_seconds: float, lived_seconds: float, *, was_ready: bool) -> float:
    """Give the pause before a child is started again.

    Parameters
    ----------
    delay_seconds : float
        What the back-off has come to.
    lived_seconds : float
        Since it was started, its start included.
    was_ready : bool
        Whether it ever served.
    """
    if lived_seconds > STABLE_SECONDS:
        return FIRST_DELAY_SECONDS
    if was_ready and lived_seconds > SERVED_SECONDS:
        return min(delay_seconds, SERVED_DELAY_SECONDS)
    return delay_seconds


async def _exited(process: subprocess.Popen[bytes]) -> None:
    """Wait for the process without a thread."""
    if process.poll() is not None:
        return
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    descriptor = os.pidfd_open(process.pid)
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    process.wait()


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def program(path: Path) -> str:
    """Give the absolute path of a program that must be there.

    Raises
    ------
    RuntimeFailure
        When it is missing.
    """
    if not path.is_file():
        raise RuntimeFailure(f"{path} is missing; the installation is incomplete.")
    return str(path)
