"""Findings as a table that a person can read in a terminal."""

from __future__ import annotations

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
    for heading in ("check", "state", "score", "urgency", "measures", "next step"):
        table.add_column(heading, overflow="fold")
    for check in result["checks"]:
        state = check["state"]
        shown = f"{state}: {check['reason']}" if check.get("reason") else state
        table.add_row(
            check["check"],
            Text(shown, style=STYLES.get(state, "")),
            _number(check.get("score")),
            check.get("urgency") or "",
            _measures(check.get("measures") or {}),
            (check.get("text") or {}).get("en", ""),
        )
    lines: list[RenderableType] = [table]
    if result["state"] == "failed":
        lines.append(Text(f"The screening failed: {result.get('error', '')}", style="bold red"))
    lines.append(Text(result.get("disclaimer", ""), style="italic"))
    return Group(*lines)


def _number(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else ""


def _measures(measures: dict[str, Any]) -> str:
    shown = []
    for name, value in measures.items():
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, float):
            shown.append(f"{name} {value:.1f}")
        elif isinstance(value, (int, str)):
            shown.append(f"{name} {value}")
    return ", ".join(shown)
