"""The supervisor with small children of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.exceptions import RuntimeFailure
from gateway.runtime import janitor
from gateway.runtime.home import Home, discard
from gateway.runtime.processes import ProcessIdentity, kill_and_wait, marked
from gateway.runtime.supervisor import Child, Supervisor, pause_seconds

WAIT_SECONDS = 10.0
"""What takes milliseconds may take seconds on a busy machine."""


@pytest.fixture
def home() -> Iterator[Home]:
    path = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    made = Home(path)
    with made.lock():
        yield made
    discard(path)


@pytest.fixture
async def supervisor(home: Home) -> AsyncIterator[Supervisor]:
    made = Supervisor(home)
    yield made
    await made.stop()


def shell(name: str, script: str, ready: Path | None = None, **changes: object) -> Child:
    """A child that runs a shell script and is ready when a file exists."""

    async def is_ready() -> bool:
        return ready is None or ready.exists()

    options: dict[str, object] = {"stop_timeout_seconds": 5.0, "start_timeout_seconds": 10.0}
    return Child(
        name=name,
        command=["/bin/sh", "-c", script],
        environ={"PATH": os.defpath},
        ready=is_ready,
        **(options | changes),  # type: ignore[arg-type]
    )


async def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


async def test_a_killed_child_is_started_again(supervisor: Supervisor) -> None:
    """A kill -9 costs a child its pid and nothing else."""
    await supervisor.start(shell("sleeper", "exec sleep 1000"))
    first = supervisor.pid("sleeper")
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.restarts["sleeper"] == 1)
    assert supervisor.pid("sleeper") != first
    record = ProcessIdentity.load(supervisor.home.record("sleeper"))
    assert record is not None
    assert record.pid == supervisor.pid("sleeper")
    assert record.alive()


async def test_restarts_wait_longer_each_time(supervisor: Supervisor, tmp_path: Path) -> None:
    """A child that cannot live does not keep the machine busy."""
    times = tmp_path / "times"
    times.touch()
    await supervisor.start(shell("brief", f"date +%s.%N >> {times}"))
    await eventually(lambda: len(times.read_text().split()) >= 4)
    moments = [float(text) for text in times.read_text().split()]
    first, second, third = (b - a for a, b in pairwise(moments[:4]))
    assert first < second < third


@pytest.mark.parametrize(
    ("lived_seconds", "was_ready", "pause"),
    [
        (0.1, True, 16.0),  # it says so at once and cannot live
        (20.0, False, 16.0),  # it cannot start
        (8.0, True, 2.0),  # it served and was killed
        (61.0, False, 0.25),
    ],
)
def test_who_has_served_comes_back_sooner(
    lived_seconds: float, was_ready: bool, pause: float
) -> None:
    """A Triton that a study kills again and again is not away for half a minute each time."""
    assert pause_seconds(16.0, lived_seconds, was_ready=was_ready) == pause


async def test_a_probe_that_raises_does_not_end_the_watch(supervisor: Supervisor) -> None:
    """Whatever goes wrong with one restart, the next one is tried."""
    asked = 0

    async def ready() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise ConnectionError("a probe met something new")
        return True

    child = shell("sleeper", "exec sleep 1000")
    await supervisor.start(dataclasses.replace(child, ready=ready))
    os.kill(supervisor.pid("sleeper"), signal.SIGKILL)
    await eventually(lambda: supervisor.restarts["sleeper"] == 2)
    os.kill(supervisor.pid("sleeper"), 0)


async def test_a_child_that_does_not_start_says_why(supervisor: Supervisor) -> None:
    """The first start is not repeated; its last error line is the message."""
    with pytest.raises(RuntimeFailure, match=r"fails did not start: fatal error: no luck"):
        await supervisor.start(
            shell("fails", "echo fatal error: no luck; exit 3", ready=Path("/nonexistent"))
        )


async def test_a_child_that_is_never_ready_is_refused(supervisor: Supervisor) -> None:
    """Waiting ends."""
    never = shell("never", "exec sleep 1000", Path("/nonexistent"), start_timeout_seconds=0.3)
    with pytest.raises(RuntimeFailure, match="never was not ready within"):
        await supervisor.start(never)


@pytest.mark.parametrize("signal_number", [signal.SIGSTOP, signal.SIGCONT])
async def test_stop_ends_children_that_do_not_listen(
    home: Home, tmp_path: Path, signal_number: int
) -> None:
    """A stopped child, and one that ignores SIGTERM, end all the same."""
    supervisor, ready = Supervisor(home), tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; while true; do sleep 0.1; done"
    await supervisor.start(shell("deaf", script, ready, stop_timeout_seconds=0.3))
    identity = ProcessIdentity.of(supervisor.pid("deaf"))
    assert identity is not None
    identity.kill(signal_number)
    await supervisor.stop()
    assert not identity.alive()


async def test_stop_leaves_no_grandchild(home: Home, tmp_path: Path) -> None:
    """What a killed child started goes with it, and no zombie stays."""
    supervisor, pid_file = Supervisor(home), tmp_path / "pid"
    script = f"sleep 1000 & echo $! > {pid_file}.new; mv {pid_file}.new {pid_file}; wait"
    await supervisor.start(shell("parent", script, pid_file))
    grandchild = int(pid_file.read_text())
    os.kill(supervisor.pid("parent"), signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{grandchild}").exists())
    await supervisor.stop()
    assert marked(home.digest, {os.geteuid()}) == []


async def test_what_a_dead_child_left_to_us_leaves_no_zombie(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """PostgreSQL's processes lead sessions of their own and end after their parent."""
    pid_file = tmp_path / "pid"
    script = f"setsid sh -c 'echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 1000' &"
    await supervisor.start(shell("parent", f"{script} wait", pid_file))
    left = int(pid_file.read_text())
    bystander = run("true")
    os.kill(supervisor.pid("parent"), signal.SIGKILL)
    await eventually(lambda: supervisor.restarts["parent"] == 1)
    os.kill(left, signal.SIGKILL)
    await eventually(lambda: not Path(f"/proc/{left}").exists())
    assert Path(f"/proc/{bystander.pid}/stat").read_text().split()[2] == "Z"  # not ours to reap
    with bystander:
        assert bystander.wait() == 0
    await supervisor.stop()
    kill_and_wait(marked(supervisor.home.digest, {os.geteuid()}))  # it has started another one


async def test_children_carry_only_their_own_environment(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets of the parent's environment reach no child; the marker does."""
    monkeypatch.setenv("SOME_SECRET", "x")
    out = tmp_path / "environ"
    await supervisor.start(shell("env", f"env > {out}.new; mv {out}.new {out}; sleep 1000", out))
    assert f"_ONESCAN_RUN={supervisor.home.digest}" in out.read_text().splitlines()
    assert "SOME_SECRET" not in out.read_text()


async def test_the_log_of_the_life_before_is_kept(supervisor: Supervisor) -> None:
    """Why a child died can be read after it was started again."""
    await supervisor.start(shell("talks", "echo pid $$; exec sleep 1000"))
    first, logs = supervisor.pid("talks"), supervisor.home.logs
    await eventually(lambda: bool((logs / "talks.log").read_text()))
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: supervisor.restarts["talks"] == 1)
    assert (logs / "talks.log.1").read_text() == f"pid {first}\n"
    assert (logs / "talks.log").stat().st_mode & 0o077 == 0


def test_two_servers_do_not_share_a_home(home: Home) -> None:
    """The second one is told who is there."""
    second = Home(home.path)
    with pytest.raises(RuntimeFailure, match=f"pid {os.getpid()}"), second.lock():
        pass


def test_secrets_and_folders_are_private(home: Home) -> None:
    """Nobody but the user reads the key or enters a folder."""
    key = home.api_key()
    assert len(key) >= 32
    assert home.api_key() == key
    private = [home.path / "key", home.run, home.logs, home.postgres, home.triton]
    assert [path for path in private if path.stat().st_mode & 0o077] == []


def test_a_long_home_has_short_sockets(tmp_path: Path) -> None:
    """A socket's path must fit into 108 bytes, whatever the home's."""
    home = Home(tmp_path / ("long" * 30))
    sockets = home.sockets
    assert len(str(sockets)) + len("/.s.PGSQL.5432.lock") < 108
    assert sockets.stat().st_mode & 0o077 == 0
    assert home.sockets == sockets
    discard(home.path)
    assert not sockets.exists()


PARENT = """
import asyncio, sys
from pathlib import Path
from gateway.runtime.home import Home
from gateway.runtime.supervisor import Child, Supervisor

async def main():
    home = Home(Path(sys.argv[1]))
    async def ready():
        return True
    with home.lock():
        supervisor = Supervisor(home)
        script = "sleep 1000 & setsid sleep 1001 & wait"
        await supervisor.start(Child(name="c", command=["/bin/sh", "-c", script],
                                     environ={"PATH": "/usr/bin:/bin"}, ready=ready))
        print(supervisor.pid("c"), flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def run(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_kill_nine_of_the_parent_is_cleaned_up(tmp_path: Path) -> None:
    """The child dies with its parent; the next start kills what escaped, and nothing else."""
    path = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    bystander = run("sleep", "1002")
    parent = run(sys.executable, "-c", PARENT, str(path))
    assert parent.stdout is not None
    with parent, parent.stdout:
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        assert child is not None
        digest = Home(path).digest
        await eventually(lambda: len(marked(digest, {os.geteuid()})) == 3)
        parent.kill()
    await eventually(lambda: not child.alive())
    orphans = marked(digest, {os.geteuid()})
    home = Home(path)
    with home.lock():
        janitor.clean(home)
    assert len(orphans) == 2
    assert not any(orphan.alive() for orphan in orphans)
    assert bystander.poll() is None
    with bystander:
        bystander.kill()
    discard(path)
