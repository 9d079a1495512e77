"""A score against its two thresholds, drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.ui.html import Html, tag
from gateway.ui.words import Words

WIDTH, HEIGHT = 320, 48
LEFT, RIGHT, LINE = 10, 310, 24
"""In units of the drawing: where the axis begins and ends, and its height."""

MARK_TEXT, FLAG_TEXT = 11, 45
"""The words stand above and below the axis: the two thresholds may be near each other."""

TEXT_REACH = 36
"""Half of the longest words."""


def threshold_scale(
    words: Words, score: float | None, thresholds: Mapping[str, Any]
) -> Html | None:
    """Draw a score on an axis with mark and flag; None without a score.

    An axis of probabilities is 0 to 1; any other holds the three numbers.
    """
    if score is None:
        return None
    mark, flag, unit = float(thresholds["mark"]), float(thresholds["flag"]), thresholds["unit"]
    values = (score, mark, flag)
    low, high = min(0.0, *values), max(1.0, *values)
    if high > 1.0 or (unit not in ("1", "") and high == 1.0):
        high = max(values) * 1.2 if max(values) > 0 else 1.0
    if low < 0:
        low *= 1.2

    def x(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (RIGHT - LEFT), 1)

    over = "above_flag" if score >= flag else "above_mark" if score >= mark else "below_mark"
    shown = "" if unit == "1" else f" {unit}"
    said = (
        f"{words('score')} {score:.3g}{shown}: {words(over)} "
        f"({words('mark')} {mark:.3g}, {words('flag')} {flag:.3g})"
    )
    ticks = [
        _tick(words("mark"), mark, x(mark), "mark", MARK_TEXT),
        _tick(words("flag"), flag, x(flag), "flag", FLAG_TEXT),
    ]
    drawing = tag(
        "svg",
        tag("line", x1=LEFT, x2=RIGHT, y1=LINE, y2=LINE, class_="axis"),
        tag("line", x1=LEFT, x2=x(score), y1=LINE, y2=LINE, class_="reach"),
        tag("line", x1=x(flag), x2=RIGHT, y1=LINE, y2=LINE, class_="flagged"),
        ticks,
        tag("circle", cx=x(score), cy=LINE, r=5, class_="score"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=said,
    )
    return tag("figure", drawing, tag("figcaption", said), class_=f"scale {over}")


def _tick(name: str, value: float, at: float, kind: str, text_at: int) -> Html:
    place = min(max(at, LEFT + TEXT_REACH), RIGHT - TEXT_REACH)
    return tag(
        "g",
        tag("line", x1=at, x2=at, y1=LINE - 8, y2=LINE + 8),
        tag("text", f"{name} {value:.3g}", x=place, y=text_at, text_anchor="middle"),
        class_=kind,
    )
