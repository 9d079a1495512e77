"""Findings as a table that a person can read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

STYLES = {
    "positive": "bold red",
    "indeterminate": "yellow",
    "negative": "green",
    "not_evaluated": "dim",
    "failed": "bold magenta",
}

UNITS = {"[hnsf'U]": " HU", "{ratio}": "", "1": "", "%": " %"}
"""UCUM → what people write."""


def findings_table(result: dict[str, Any]) -> RenderableType:
    """Lay out one study's result: a line a check, then what each check says in words."""
    study = result["study"]
    table = Table(title=f"Study {study['study_instance_uid']}", title_justify="left")
    for heading in ("check", "state", "grade", "urgency", "measures"):
        table.add_column(heading, overflow="fold")
    words: list[RenderableType] = []
    for check in result["checks"]:
        state = check["state"]
        shown = f"{state}: {check['reason']}" if check.get("reason") else state
        style = STYLES.get(state, "")
        table.add_row(
            check["check"],
            Text(shown, style=style),
            check.get("grade") or "",
            check.get("urgency") or "",
            _measures(check.get("measures") or {}, check.get("units") or {}),
        )
        if text := (check.get("text") or {}).get("en", ""):
            words.append(Text.assemble((f"{check['check']}: ", style), text))
    lines: list[RenderableType] = [table, *words]
    if error := result.get("error"):
        lines.append(
            Text(f"The screening failed: {error['message']} [{error['code']}]", style="bold red")
        )
    lines.append(Padding(Text(result["disclaimer"], style="italic"), (1, 0, 0, 0)))
    return Group(*lines)


def _measures(measures: Mapping[str, Any], units: Mapping[str, str]) -> str:
    shown = []
    for name, value in measures.items():
        if value is None:
            continue
        unit = units.get(name, "")
        words = name.removesuffix("_hu").removesuffix("_percent").replace("_", " ")
        number = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
        shown.append(f"{words} {number}{UNITS.get(unit, ' ' + unit if unit else '')}")
    return "\n".join(shown)
