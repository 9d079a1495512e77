"""The smaller generated tables of ``docs/benchmarks.md``, each of one result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Line = Mapping[str, Any]

PICTURE = "images/growth.svg"
"""Beside the document."""

GROWTHS = {
    "slices": "Slices of one study, all checks",
    "checks": "Checks of one study of 300 slices",
    "studies": "Studies at once, 300 slices, all checks",
}


def networks(line: Line) -> str:
    """List each network's seconds in both runtimes."""
    rows = [
        (
            f"`{name}`", one["calls"], f"{one['ours']:.2f}", f"{one['peer']:.2f}",
            f"{one['ratio']:.2f}×", runtime(one["runs_in"]),
        )
        for name, one in line["networks"].items()
    ]  # fmt: skip
    heads = ("network", "calls a study", "served, s", "ONNX Runtime, s", "ratio", "served by")
    return _table(heads, rows) + _made_by(line)


def runtime(description: str) -> str:
    """Keep of an engine's description what runs and the reason, without the figures."""
    name, _, reason = description.partition(" (")
    words = reason.rstrip(")").split(":", 1)[0]
    return f"{name}: {words}" if words else name


def stages(line: Line) -> str:
    """Show where a study's time goes, by stage of the worker and by part of the server."""
    rows = [
        (name, f"{one['wall_seconds']:.3f}", f"{one['cpu_seconds']:.3f}")
        for name, one in sorted(line["stages"].items(), key=lambda item: -item[1]["wall_seconds"])
    ]
    parts = ", ".join(f"{name} {s:.2f}" for name, s in line["core_seconds"].items())
    asked = ", ".join(
        f"`{name}` {one['seconds']:.2f} ({one['runs']:.0f})"
        for name, one in line["networks"].items()
    )
    return (
        _table(("stage", "wall, s", "core-seconds of the worker"), rows)
        + f"\n\nThe whole study took {line['whole']:.2f} s, {line['ours']:.2f} s of it while no"
        + f" network executed.\nCore-seconds by part: {parts}."
        + f"\nWall seconds (runs) by network, overlapping: {asked}."
        + _made_by(line)
    )


def parity(line: Line) -> str:
    """Show how far our tensors are from MONAI's on the same grids."""
    rows = [
        (
            f"`{name}`",
            f"{line['checks'][name]:.3f}",
            one["median"],
            one["p99"],
            one["max"],
            f"{one['mean_signed']:+.4f}",
        )
        for name, one in line["parity"].items()
    ]
    heads = ("pipeline", "ours, s", "median", "99th percentile", "largest", "mean, signed")
    return _table(heads, rows) + _made_by(line)


def growth(line: Line) -> str:
    """Show all three growths."""
    texts = [f"{title}:\n\n{_growth_table(line[name])}" for name, title in GROWTHS.items()]
    return f"![Costs as they grow]({PICTURE})\n\n" + "\n\n".join(texts) + _made_by(line)


def _growth_table(points: Sequence[Line]) -> str:
    rows = []
    for point in points:
        cores = point["core_seconds"]
        copied = point.get("copied_mb")
        rows.append(
            (
                point["x"],
                f"{point['wall_seconds']:.2f}",
                f"{sum(cores.values()):.2f}",
                ", ".join(f"{name} {s:.2f}" for name, s in cores.items()),
                f"{point['peak_pss_mb']:.0f}",
                f"{point['peak_shm_mb']:.0f}",
                ", ".join(f"{name} {mb:g}" for name, mb in copied.items()) if copied else "",
            )
        )
    heads = (
        "", "wall, s", "core-seconds", "of them", "PSS, MB", "/dev/shm, MB", "copied, MB",
    )  # fmt: skip
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines)


def _made_by(line: Line) -> str:
    return f"\n\n`{line['command']}`, {line['machine']}, {line['commit']}, {line['date']}."


EXTRA: dict[str, Callable[[Line], str]] = {
    "tensors": parity,
    "inference": networks,
    "nothing-runs": stages,
    "growth": growth,
}
"""Name of a result, and of its block → the block's text."""
