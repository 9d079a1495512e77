"""One block of inputs: the same ones for the same number, in a process that may die of them."""

from __future__ import annotations

import faulthandler
import pickle
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.targets import Target

BLOCK = 250
"""Inputs of one block."""

DEADLINE_SECONDS = 10.0
"""One input; they are a few kilobytes and take milliseconds."""


def run_block(target: Target, number: int, inputs: int, last: Path | None = None) -> Counter[str]:
    """Feed a target, which is open; gives how often what became of the inputs.

    Parameters
    ----------
    last : Path, optional
        Where each input is written before it is fed, for one that kills the process.

    Raises
    ------
    Exception
        What an input has shown, with the input in `last`.
    """
    told: Counter[str] = Counter()

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def feed(value: Any) -> None:
        if last is not None:
            last.write_bytes(pickle.dumps(value))
        faulthandler.dump_traceback_later(3 * DEADLINE_SECONDS, exit=True)
        start = time.perf_counter()
        told[target.feed(value)] += 1
        faulthandler.cancel_dump_traceback_later()
        assert time.perf_counter() - start < DEADLINE_SECONDS, "an input took too long"

    try:
        feed()
    finally:
        faulthandler.cancel_dump_traceback_later()
    return told
