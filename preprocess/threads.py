"""The same work on many parts of an array, on the cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MAX_THREADS = 8
"""Threads of one call. Beyond it memory bandwidth is the limit."""


def side_by_side(task: Callable[[int], T], count: int, *, threads: int | None = None) -> list[T]:
    """Run a task for 0 … count - 1; SciPy and NumPy let go of the interpreter meanwhile.

    Parameters
    ----------
    task : callable
        Takes a number.
    count : int
    threads : int, optional
        As many as this process may use cores when absent; never more than `MAX_THREADS`.

    Returns
    -------
    list
        What the task gave, in order.
    """
    threads = min(threads or len(os.sched_getaffinity(0)), MAX_THREADS, count)
    if threads <= 1:
        return [task(index) for index in range(count)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, range(count)))
