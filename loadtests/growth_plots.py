"""Pictures of how costs grow, as SVG that is the same for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt

Points = Sequence[Mapping[str, Any]]

AXES = (
    ("slices", "slices of one study, all checks"),
    ("checks", "checks of one study of 300 slices"),
    ("studies", "studies at once, all checks"),
)

PARTS = ("triton", "worker", "api", "postgres")
COLOURS = ("#1f6f8b", "#e08e45", "#6a994e", "#8d6a9f")

HEADROOM = 1.35
"""Above the highest value, for the legend."""

STYLE: dict[Any, Any] = {
    "svg.hashsalt": "onescan",  # element ids would change from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def draw(growth: Mapping[str, Any], path: Path) -> None:
    """Draw wall time and core-seconds, memory, and copied bytes of all three growths."""
    with plt.rc_context(STYLE):
        figure, rows = plt.subplots(3, 3, figsize=(11, 8.2), layout="constrained")
        for column, (name, label) in enumerate(AXES):
            points: Points = growth[name]
            _time(rows[0][column], points)
            _memory(rows[1][column], points)
            _bytes(rows[2][column], points)
            for row in rows:
                row[column].set_xticks([point["x"] for point in points])
                row[column].set_ylim(0, row[column].get_ylim()[1] * HEADROOM)
                row[column].set_xlabel(label)
        for row, text in zip(rows, ("seconds", "MB at the peak", "MB copied by the worker")):
            row[0].set_ylabel(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def _time(axes: Any, points: Points) -> None:
    x = [point["x"] for point in points]
    parts = [[point["core_seconds"].get(part, 0.0) for point in points] for part in PARTS]
    axes.stackplot(
        x, *parts, labels=[f"core-s of {part}" for part in PARTS], colors=COLOURS, alpha=0.6
    )
    axes.plot(x, [point["wall_seconds"] for point in points], "ko-", label="wall time")
    axes.legend(loc="upper left", frameon=False, fontsize=7)


def _memory(axes: Any, points: Points) -> None:
    x = [point["x"] for point in points]
    axes.plot(x, [p["peak_pss_mb"] for p in points], "o-", color=COLOURS[0], label="PSS, all parts")
    axes.plot(
        x, [p["peak_shm_mb"] for p in points], "o-", color=COLOURS[1], label="regions in /dev/shm"
    )
    axes.legend(loc="upper left", frameon=False, fontsize=7)


def _bytes(axes: Any, points: Points) -> None:
    counted = [point for point in points if "copied_mb" in point]
    if not counted:
        axes.set_axis_off()  # studies at once copy what each of them does
        return
    names = sorted({name for point in counted for name in point["copied_mb"]})
    for name, marker in zip(names, "osv^Dx*+"):
        values = [point["copied_mb"].get(name, 0.0) for point in counted]
        axes.plot([p["x"] for p in counted], values, f"{marker}-", label=name, alpha=0.8)
    axes.legend(loc="upper left", frameon=False, fontsize=7)
