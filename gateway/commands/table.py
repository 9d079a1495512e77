"""Findings as a table that a radiologist reads in a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gateway.commands.words import UNITS, count, lesion_words, number, place_words, words

STYLES = {
    "positive": "bold red",
    "indeterminate": "yellow",
    "negative": "green",
    "not_evaluated": "dim",
    "failed": "bold magenta",
}

URGENCY_STYLES = {"critical": "bold white on red", "urgent": "bold red", "follow_up": "yellow"}

WIDTH = 100
"""Columns where the output is no terminal, which would say its own."""

LESIONS = 4
"""Lines of one check; the others are counted."""

MEASURES = 3
"""Beside the score; --json has all."""


def report_console() -> Console:
    """Give the console on which tables are shown."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def findings_table(result: dict[str, Any], *, language: str = "en") -> RenderableType:
    """Lay out one study's result: a line a check, then what each check says in words.

    Parameters
    ----------
    result : dict
        As `gateway.results.json.screening_result` gives it.
    language : str
        ``en`` or ``zh``, of the texts.
    """
    study = result["study"]
    table = Table(
        title=f"Study {study['study_instance_uid']}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    table.add_column("check")
    table.add_column("state", overflow="fold")
    table.add_column("finding", overflow="fold")
    table.add_column("where", overflow="fold")
    said = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    said.add_column(no_wrap=True)
    said.add_column(overflow="fold")
    for check in result["checks"]:
        style = STYLES.get(check["state"], "")
        table.add_row(check["check"], _state(check, style), _finding(check), _where(check))
        if text := (check.get("text") or {}).get(language, ""):
            said.add_row(Text(check["check"], style=style), text)
    lines: list[RenderableType] = [table, said]
    if error := result.get("error"):
        lines.append(
            Text(f"The screening failed: {error['message']} [{error['code']}]", style="bold red")
        )
    if any(_shown(check) for check in result["checks"]):
        lines.append(Text("Slices count from 1, from the feet upwards.", style="dim"))
    lines.append(Padding(Text(result["disclaimer"], style="italic"), (1, 0, 0, 0)))
    return Group(*lines)


def plan_table(result: dict[str, Any]) -> RenderableType:
    """Lay out which series, slices and box each check was given, and why others get none."""
    table = Table(title="Plan", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("check", "series", "slices", "rows × columns", "recipe", "decision"):
        table.add_column(heading, overflow="fold")
    for step in (result.get("plan") or {}).get("checks", ()):
        roi, slab = step["roi"], step["slab"]
        runner = f"\nrunner-up …{step['runner_up'][-8:]}" if step["runner_up"] else ""
        table.add_row(
            step["check"],
            f"…{step['series_key'][-8:]}{runner}" if step["series_key"] else "",
            f"{slab[0] + 1} to {slab[1]}" if slab else "",
            f"{roi[3] - roi[2]} × {roi[5] - roi[4]}" if roi else "",
            (step["recipe_digest"] or "")[:8],
            _decision(step),
        )
    return table


def _decision(step: Mapping[str, Any]) -> str:
    parts = [words(step["reason"] or "runs")]
    if step["doubt"]:
        parts.append(f"indeterminate: {words(step['doubt'])}")
    if step["truncated"]:
        parts.append("cut off: " + ", ".join(map(words, step["truncated"])))
    if step["without"]:
        parts.append("without " + ", ".join(map(words, step["without"])))
    if step["after"]:
        parts.append("after " + ", ".join(step["after"]))
    return "; ".join(parts)


def _state(check: Mapping[str, Any], style: str) -> Text:
    """State, reason, and how urgent it is."""
    state = words(check["state"])
    said = Text(f"{state}:\n{words(check['reason'])}" if check.get("reason") else state, style)
    if (urgency := check.get("urgency") or "note") != "note":
        said.append("\n").append(words(urgency), URGENCY_STYLES.get(urgency, ""))
    return said


def _finding(check: Mapping[str, Any]) -> str:
    """Grade, score against its threshold, and the first measures that have a unit."""
    lines = [words(check["grade"])] if check.get("grade") else []
    cuts = check.get("thresholds") or {}
    units = check.get("units") or {}
    if check.get("score") is not None and cuts:
        unit = UNITS.get(cuts["unit"], " " + cuts["unit"])
        over = ", flagged" if cuts["flagged_by"] else ", marked" if cuts["marked_by"] else ""
        lines.append(f"{words(cuts['score'])} {number(check['score'])}{unit}{over}")
    measures = check.get("measures") or {}
    listed = [
        f"{words(name)} {number(measures[name])}{UNITS.get(unit, ' ' + unit)}"
        for name, unit in units.items()
        if name != cuts.get("score") and measures.get(name) is not None
    ]
    return "\n".join([*lines, *listed[:MEASURES]])


def _shown(check: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [lesion for lesion in check.get("lesions") or () if lesion.get("marked")]


def _where(check: Mapping[str, Any]) -> str:
    shown = _shown(check)
    lines = [f"{place_words(lesion)}\n  {lesion_words(lesion)}" for lesion in shown[:LESIONS]]
    if len(shown) > LESIONS:
        lines.append(f"and {count(len(shown) - LESIONS, 'more')}")
    return "\n".join(lines)
