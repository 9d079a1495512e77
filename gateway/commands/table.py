"""Findings as a table that a person can read in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

STYLES = {
    "positive": "bold red",
    "indeterminate": "yellow",
    "negative": "green",
    "not_evaluated": "dim",
    "failed": "bold magenta",
}


def findings_table(result: dict[str, Any]) -> RenderableType:
    """Lay out one study's result: a line a check, most urgent first as the server sorted them."""
    study = result["study"]
    table = Table(title=f"Study {study['study_instance_uid']}", title_justify="left", expand=False)
    for heading in ("check", "state", "grade", "urgency", "measures", "next step"):
        table.add_column(heading, overflow="fold")
    for check in result["checks"]:
        state = check["state"]
        shown = f"{state}: {check['reason']}" if check.get("reason") else state
        table.add_row(
            check["check"],
            Text(shown, style=STYLES.get(state, "")),
            check.get("grade") or "",
            check.get("urgency") or "",
            _measures(check.get("measures") or {}, check.get("units") or {}),
            (check.get("text") or {}).get("en", ""),
        )
    lines: list[RenderableType] = [table]
    if error := result.get("error"):
        lines.append(
            Text(f"The screening failed: {error['message']} [{error['code']}]", style="bold red")
        )
    lines.append(Text(result["disclaimer"], style="italic"))
    return Group(*lines)


UNITS = {"[hnsf'U]": " HU", "{ratio}": "", "1": "", "%": " %"}
"""UCUM → what people write."""


def _measures(measures: Mapping[str, Any], units: Mapping[str, str]) -> str:
    shown = []
    for name, value in measures.items():
        if value is None:
            continue
        unit = units.get(name, "")
        words = name.removesuffix("_hu").removesuffix("_percent").replace("_", " ")
        shown.append(f"{words} {value:.4g}{UNITS.get(unit, ' ' + unit if unit else '')}")
    return "\n".join(shown)
