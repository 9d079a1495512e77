"""The arithmetic of the GPU benchmark: plain numbers in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

DAY_SECONDS = 86400.0

KERNEL_SHARE = 0.6
"""Bytes that a kernel must move ÷ its time ÷ what a plain copy moves: at least this."""

IDLE_SHARE = 0.15
"""Of a stream, in which no kernel runs: at most this."""

STREAM_SECONDS = 300.0
"""Least length of a stream: clocks and temperature have settled."""

STUDIES_A_DAY = 50_000
"""Chest-abdomen studies on one H200 with PyTorch at full width."""

CHEST_SECONDS = 0.1
"""Tiles, scores and comparison of one chest: at most this."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel, timed."""

    name: str
    bytes: int
    """That it must read and write, each once."""

    seconds: Sequence[float]

    def figures(self, copy_bytes_per_second: float) -> dict[str, Any]:
        """Compare it with a plain copy, whose bytes are read and written too."""
        middle = median(self.seconds)
        share = self.bytes / middle / copy_bytes_per_second
        return {
            "kernel": self.name,
            "milliseconds": round(middle * 1e3, 4),
            "gigabytes_a_second": round(self.bytes / middle / 1e9, 1),
            "share_of_copy": round(share, 3),
            "met": share >= KERNEL_SHARE,
        }


@dataclass(frozen=True, slots=True)
class Ran:
    """Work of one stage of one study on the GPU."""

    study: int
    stage: str
    seconds: float
    """Of the GPU."""

    flop: float = 0.0


def by_stage(ran: Sequence[Ran]) -> dict[str, float]:
    """Give the median GPU-seconds of a study by stage."""
    studies = sorted({one.study for one in ran})
    stages = list(dict.fromkeys(one.stage for one in ran))
    table = {stage: dict.fromkeys(studies, 0.0) for stage in stages}
    for one in ran:
        table[one.stage][one.study] += one.seconds
    return {stage: median(each.values()) for stage, each in table.items()}


def stream_figures(
    ran: Sequence[Ran], wall_seconds: float, used_share: float | None = None
) -> dict[str, Any]:
    """Give what a stream of studies says of a day.

    Parameters
    ----------
    ran : sequence of Ran
        Of whole studies; none of them overlap on the GPU.
    wall_seconds : float
        From the first study's first byte to the last one's answer.
    used_share : float, optional
        Share of the time in which a kernel ran, as the driver samples it. Without it the stages'
        own times stand for it, which count the host's pauses within a stage as work.
    """
    if not ran or wall_seconds <= 0:
        raise ValueError("a stream needs studies and time")
    studies = len({one.study for one in ran})
    busy = sum(one.seconds for one in ran)
    computing = [one for one in ran if one.flop]
    network_seconds = sum(one.seconds for one in computing)
    flop = sum(one.flop for one in computing)
    idle = max(0.0, 1.0 - (busy / wall_seconds if used_share is None else used_share))
    a_day = studies / wall_seconds * DAY_SECONDS
    return {
        "studies": studies,
        "seconds": round(wall_seconds, 1),
        "long_enough": wall_seconds >= STREAM_SECONDS,
        "studies_a_day": round(a_day),
        "gpu_seconds_a_study": round(busy / studies, 4),
        "gpu_seconds_by_stage": {k: round(v, 4) for k, v in by_stage(ran).items()},
        "teraflop_a_study": round(flop / studies / 1e12, 2),
        "teraflops_sustained": round(flop / wall_seconds / 1e12, 1),
        "teraflops_while_computing": round(flop / network_seconds / 1e12, 1) if flop else 0.0,
        "idle_share": round(idle, 3),
        "idle_by": "stages" if used_share is None else "driver",
        "met": a_day >= STUDIES_A_DAY and idle <= IDLE_SHARE and wall_seconds >= STREAM_SECONDS,
    }


def chest_figures(stages: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Give the medians of a chest's stages, seconds; embedding is told and not counted."""
    middles = {name: median(seconds) for name, seconds in stages.items()}
    counted = middles["tile_and_score"] + middles["compare"]
    return {
        **{f"{name}_seconds": round(value, 4) for name, value in middles.items()},
        "tile_score_compare_seconds": round(counted, 4),
        "goal_seconds": CHEST_SECONDS,
        "met": counted <= CHEST_SECONDS,
    }
