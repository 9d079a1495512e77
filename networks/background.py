"""Drawing beside a training: at low priority, and ended with what it draws for."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from networks.phantoms.lesions import NoPlaceError

NICENESS = 10


class Pool(Protocol):
    """What is drawn by number and kept, one file each."""

    def path(self, number: int, /) -> Path:
        """Return where it is kept."""
        ...

    def fill(self, numbers: Sequence[int], /) -> None:
        """Draw what is missing, in order."""
        ...


def start_filling(
    pool: Pool, numbers: Sequence[int], processes: int = 2
) -> list[multiprocessing.process.BaseProcess]:
    """Draw what a pool lacks in the background, interleaved over some processes.

    Returns
    -------
    list of process
        At most `processes`, none where nothing is missing; they end with this one.
    """
    missing = [number for number in numbers if not pool.path(number).exists()]
    # a core each is all they get; more threads would only wait for each other
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    children: list[multiprocessing.process.BaseProcess] = []
    for first in range(min(processes, len(missing))):
        child = context.Process(target=_fill, args=(pool, missing[first::processes]), daemon=True)
        child.start()
        children.append(child)
    return children


def _fill(pool: Pool, numbers: Sequence[int]) -> None:
    stand_back()
    for number in numbers:
        with suppress(NoPlaceError):  # the organ is not to be seen; the others are wanted
            pool.fill([number])


def stand_back() -> None:
    """Lower this process's priority, and end it when the one that started it ends.

    A daemon of `multiprocessing` is ended by a parent that leaves in order; one that was killed
    would leave it behind.
    """
    os.nice(NICENESS)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()


def _leave_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)
