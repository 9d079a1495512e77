"""One compiler at a time for each engine, across processes and nodes that share the cache."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from gateway.exceptions import CompileBusyError

PATIENCE_SECONDS = 3600.0
"""For another to compile; full-width networks took minutes elsewhere."""

LOOK_SECONDS = 1.0


@contextmanager
def one_at_a_time(
    path: Path,
    *,
    tell: Callable[[str], None],
    patience_seconds: float = PATIENCE_SECONDS,
    look_seconds: float = LOOK_SECONDS,
) -> Iterator[None]:
    """Hold the lock of an engine, or of a repository that is written.

    The kernel, or the file system's server, gives it back when its holder ends, however it ends:
    the file stays and means nothing by itself. What stands in it says who the holder is.

    Parameters
    ----------
    path : Path
        The lock's file; it is made, and never removed, since another may be waiting on it.
    tell : callable
        Takes a sentence when another holds it.
    patience_seconds, look_seconds : float
        How long and how often it is asked for.

    Raises
    ------
    CompileBusyError
        When another still holds it.
    """
    with path.open("a+", encoding="utf-8") as file:
        deadline, told = time.monotonic() + patience_seconds, False
        while not _taken(file):
            if time.monotonic() >= deadline:
                raise CompileBusyError(f"{_holder(file)} still compiles {path.stem[:12]}.")
            if not told:
                tell(f"{_holder(file)} compiles {path.stem[:12]}; waiting for it.")
                told = True
            time.sleep(look_seconds)
        _write(file, json.dumps(_ourselves()))
        try:
            yield
        finally:
            _write(file, "")


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _ourselves() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"host": platform.node(), "pid": os.getpid(), "since": since}


def _holder(file: IO[str]) -> str:
    """Say who holds it; between its taking and its writing nobody is named."""
    file.seek(0)
    try:
        who = json.loads(file.read())
        return f"Process {who['pid']} on {who['host']}, since {who['since']},"
    except (ValueError, KeyError, TypeError):
        return "Another process"


def _write(file: IO[str], text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
