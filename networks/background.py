"""How a process that works beside another one behaves: it yields, and it ends with the other."""

from __future__ import annotations

import multiprocessing
import os
import threading

NICENESS = 10


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
