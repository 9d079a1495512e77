"""``docker/until-told.sh`` ends a Triton whose restart was asked for, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "until-told.sh"

KILLED = 128 + signal.SIGKILL


@contextmanager
def running(file: Path, *command: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        ["/bin/sh", str(SCRIPT), str(file), *command],
        env={"PATH": "/usr/bin:/bin", "GRACE_SECONDS": "0.5"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("status", [0, 3])
def test_it_ends_with_its_command(tmp_path: Path, status: int) -> None:
    """The command's status is the container's."""
    with running(tmp_path / "told", "/bin/sh", "-c", f"exit {status}") as process:
        assert process.wait(10) == status


def test_it_kills_when_told(tmp_path: Path) -> None:
    """The file appears: SIGKILL, since a Triton with a dead stub takes its time on SIGTERM."""
    told = tmp_path / "told"
    deaf = "trap '' TERM; while :; do sleep 0.1; done"
    with running(told, "/bin/sh", "-c", deaf) as process:
        time.sleep(0.3)
        assert process.poll() is None
        told.touch()
        assert process.wait(10) == KILLED


def test_it_leaves_alone_what_takes_an_old_file_away(tmp_path: Path) -> None:
    """A file of before the start is the command's to remove."""
    told = tmp_path / "told"
    told.touch()
    with running(told, "/bin/sh", "-c", f"sleep 0.2; rm {told}; sleep 1; exit 7") as process:
        assert process.wait(10) == 7


def test_it_passes_sigterm_on_and_waits(tmp_path: Path) -> None:
    """Triton finishes what it has in hand."""
    done = tmp_path / "done"
    slow = f"trap 'sleep 1; touch {done}; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    with running(tmp_path / "told", "/bin/sh", "-c", slow) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert done.exists()
