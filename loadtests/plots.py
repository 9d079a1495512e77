"""Plots of a load test, each a picture that a page carries in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from loadtests import series
from loadtests.records import Found, seconds
from loadtests.shapes import Shape
from loadtests.told import status_name

COLOURS = {"stat": "#c2410c", "routine": "#1d4ed8", "backfill": "#64748b"}
"""By lane; told apart by people who see colours otherwise, too."""

REFUSED = ("#7c3aed", "#db2777", "#0d9488", "#a16207")

INK, FAINT = "#1e293b", "#cbd5e1"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "onescan",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "grid.linewidth": 0.7,
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}

WIDTH, HEIGHT = 6.2, 2.9
"""Inches of a picture."""

NINES = (0.5, 0.75, 0.9, 0.95, 0.99)

RIGHT = 0.0085
"""Share of the slowest at the right edge, beyond p99."""


def arrivals(found: Found, shape: Shape) -> str:
    """Draw what arrived, by lane, and what was drawn from."""
    end = max(course.points[-1][0] for course in shape.values())
    width = series.bucket_seconds(end)

    def draw(axes: Axes) -> None:
        left = [number * width for number in range(len(series.counts([], width, end)))]
        bottom = [0.0] * len(left)
        for lane in reversed(found.lanes()):
            moments = [study.due for study in found.studies if study.lane == lane]
            bars = [60 * n / width for n in series.counts(moments, width, end)]
            axes.bar(
                *(left, bars, width * 0.92, bottom),
                align="edge",
                color=COLOURS[lane],
                label=lane,
            )
            bottom = [below + bar for below, bar in zip(bottom, bars)]
        at = [end * number / 600 for number in range(600)]
        rate = [60 * sum(course.at(moment) for course in shape.values()) for moment in at]
        axes.plot(at, rate, color=INK, linewidth=1.3, label="drawn from")
        axes.set_ylim(0, 1.06 * max(*bottom, *rate))
        axes.set_ylabel("studies a minute")
        axes.set_xlim(0, series.length(found))
        _legend(axes)

    return picture(draw)


def queue(found: Found) -> str:
    """Draw what waits: on its way in, by lane for a worker, in a worker's hand."""

    def draw(axes: Axes) -> None:
        end = series.length(found)
        for lane in reversed(found.lanes()):
            moments, numbers = _until(series.waiting(found.studies, lane), end)
            axes.fill_between(
                moments, numbers, step="post", color=COLOURS[lane], alpha=0.25, linewidth=0
            )
            axes.step(
                *(moments, numbers),
                where="post",
                color=COLOURS[lane],
                linewidth=1.3,
                label=f"{lane}, waiting",
            )
        for steps, label, line in (
            (series.in_hand(found.studies), "in hand", "-"),
            (series.sending(found.studies), "being sent", ":"),
        ):
            moments, numbers = _until(steps, end)
            axes.step(moments, numbers, line, where="post", color=INK, linewidth=1.0, label=label)
        axes.set_ylabel("studies")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlim(0, end)
        axes.set_ylim(bottom=0)
        _legend(axes)

    return picture(draw)


def over_time(found: Found, measure: str, targets: Mapping[str, Mapping[str, Any]]) -> str:
    """Draw a measure of each study at the moment that it was due, and the p95 targets."""

    def draw(axes: Axes) -> None:
        for lane in found.lanes():
            studies = [study for study in found.studies if study.lane == lane]
            points = [(s.due, *seconds([s], measure)) for s in studies if seconds([s], measure)]
            if points:
                axes.plot(
                    *zip(*points), "o", color=COLOURS[lane], markersize=4.5, alpha=0.8, label=lane
                )
            target = targets.get(lane, {}).get(measure, {}).get("p95")
            if target is not None:
                axes.axhline(target, color=COLOURS[lane], linewidth=1, linestyle=(0, (5, 3)))
                axes.annotate(
                    f"p95 target {target:g} s",
                    *((1.0, target),),
                    xycoords=("axes fraction", "data"),
                    xytext=(-2, 3),
                    textcoords="offset points",
                    ha="right",
                    fontsize=7.5,
                    color=COLOURS[lane],
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                )
        axes.set_ylabel("seconds")
        axes.set_xlim(0, series.length(found))
        axes.set_ylim(bottom=0)
        _legend(axes)

    return picture(draw)


def quantiles(
    curves: Mapping[str, Sequence[float]], targets: Mapping[str, Mapping[str, float]]
) -> str:
    """Draw how slow the slowest are.

    Parameters
    ----------
    curves : mapping
        Label → seconds.
    targets : mapping
        Label → most seconds, by ``p50``, ``p95`` and so on.
    """

    def draw(axes: Axes) -> None:
        axes.set_xscale("log")
        slowest = 0.0
        for number, (label, values) in enumerate(curves.items()):
            if not values:
                continue
            colour = COLOURS.get(label, REFUSED[number % len(REFUSED)])
            share, ordered = series.quantiles(values)
            share, ordered = [*share, RIGHT], [*ordered, ordered[-1]]
            axes.step(
                share,
                ordered,
                where="post",
                color=colour,
                linewidth=1.6,
                label=f"{label} ({len(values)})",
            )
            slowest = max(slowest, *ordered)
            marks = {float(name[1:]) / 100: most for name, most in targets.get(label, {}).items()}
            axes.plot(
                [1 - quantile for quantile in marks],
                list(marks.values()),
                "v",
                color=colour,
                markersize=6,
                markerfacecolor="white",
            )
            slowest = max(slowest, *marks.values(), 0.0)
        axes.set_xlim(1.0, RIGHT)
        axes.xaxis.set_major_locator(FixedLocator([1 - nine for nine in NINES]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"p{100 * (1 - share):g}"))
        axes.set_ylim(0, 1.08 * slowest or 1.0)
        axes.set_ylabel("seconds")
        _legend(axes)

    return picture(draw, x="")


def refusals(found: Found) -> str:
    """Draw how many requests were refused, by status."""
    end = series.length(found)
    width = series.bucket_seconds(end)

    def draw(axes: Axes) -> None:
        left = [number * width for number in range(len(series.counts([], width, end)))]
        bottom = [0] * len(left)
        statuses = sorted({status for _, _, status in found.refusals})
        for number, status in enumerate(statuses):
            moments = [at for at, _, one in found.refusals if one == status]
            bars = series.counts(moments, width, end)
            axes.bar(
                *(left, bars, width * 0.92, bottom),
                align="edge",
                color=REFUSED[number % len(REFUSED)],
                label=status_name(status),
            )
            bottom = [below + bar for below, bar in zip(bottom, bars)]
        axes.set_ylabel(f"in {width:g} s")
        axes.set_xlim(0, end)
        _legend(axes)

    return picture(draw)


def picture(draw: Callable[[Axes], None], *, x: str = "seconds of the run") -> str:
    """Give a drawing as the address of an SVG that is in it."""
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.subplots()
        draw(axes)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel(x)
        out = io.BytesIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(out.getvalue()).decode()


def _until(steps: series.Steps, end: float) -> series.Steps:
    """Draw on to the end of the run."""
    moments, numbers = steps
    return [*moments, end], [*numbers, numbers[-1]]


def _legend(axes: Axes) -> None:
    """Put the legend above the picture, where it hides nothing."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            ncols=4 if len(labels) <= 4 else 3,
            handlelength=1.4,
            columnspacing=1.4,
            borderpad=0.2,
        )
