"""How long each stage of a screening took, in wall time and in core-seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import traces
from gateway.traces.span import NOTHING

TOTAL = "total"
"""The stage that holds all others; as a span it is the attempt."""


class Clock:
    """Measures stages; a stage entered twice is summed.

    Core-seconds are those of this whole process while the stage lasted, other studies in hand
    included; Triton's are not among them.
    """

    def __init__(self) -> None:
        self.timings: dict[str, dict[str, float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a block of code."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            with NOTHING if name == TOTAL else traces.child(name):
                yield
        finally:
            taken = self.timings.setdefault(name, {"wall_seconds": 0.0, "cpu_seconds": 0.0})
            taken["wall_seconds"] += round(time.perf_counter() - wall, 6)
            taken["cpu_seconds"] += round(time.process_time() - cpu, 6)
