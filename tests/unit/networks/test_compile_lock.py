"""One compiler at a time, and a killed one in nobody's way."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from gateway.exceptions import CompileBusyError
from networks.compile.lock import one_at_a_time

HOLDER = """
import sys, time
from pathlib import Path
from networks.compile.lock import one_at_a_time

with one_at_a_time(Path(sys.argv[1]), tell=print):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Have another process take the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(path)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_waits_is_told_by_whom_and_goes_on_when_the_holder_is_killed(
    tmp_path: Path,
) -> None:
    """No clock and no stale file decides: the kernel gives the lock back with the process."""
    path = tmp_path / "0123456789abcdef.lock"
    said: list[str] = []
    with hold(path) as holder:
        with pytest.raises(CompileBusyError, match=f"Process {holder.pid} on .* still compiles"):
            with one_at_a_time(path, tell=said.append, patience_seconds=0):
                raise AssertionError("two hold it")

        def killed(line: str) -> None:
            said.append(line)
            holder.kill()

        started = time.monotonic()
        with one_at_a_time(path, tell=killed, look_seconds=0.02):
            assert f'"pid": {os.getpid()}' in path.read_text()
        assert time.monotonic() - started < 10
    assert len(said) == 1
    assert f"Process {holder.pid} on" in said[0]
    assert "waiting for it" in said[0]


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    """And says nothing of who had it."""
    path = tmp_path / "k.lock"
    with pytest.raises(ValueError, match="built badly"):
        with one_at_a_time(path, tell=print):
            raise ValueError("built badly")
    assert path.read_text() == ""
    with one_at_a_time(path, tell=print, patience_seconds=0):
        pass
