"""Tables of a load test's report: the targets, and what became of the studies."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.ui.html import Html, tag
from loadtests.records import ERROR, FINISHED, OPEN, REFUSED, WRONG, Found
from loadtests.verdict import PAGES, USERS, Line

GROUPS = {
    "stat": "Stat lane",
    "routine": "Routine lane",
    "backfill": "Backfill lane",
    PAGES: "Radiologist's pages",
    USERS: "The test itself",
    "": "The whole run",
}


def targets_table(lines: Sequence[Line]) -> Html:
    """List every target and what became of it, by lane."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.group, []).append(line)
    rows = []
    for group in sorted(groups, key=list(GROUPS).index):
        rows.append(
            tag("tr", tag("th", GROUPS[group], colspan=5, scope="colgroup"), class_="group")
        )
        rows += [_row(line) for line in groups[group]]
    heads = ("", "found", "target", "of", "")
    return tag(
        "table",
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", rows),
    )


def _row(line: Line) -> Html:
    bound = "≥" if line.at_least else "≤"
    found = (
        "none" if line.found is None else f"{line.found:.2f}" if line.unit else f"{line.found:.3g}"
    )
    unit = f" {line.unit}" if line.unit else ""
    return tag(
        "tr",
        tag("td", line.what),
        tag("td", found if line.found is None else f"{found}{unit}", class_="number"),
        tag("td", f"{bound} {line.target:g}{unit}", class_="number"),
        tag("td", f"{line.number} values" if line.number else "", class_="number faint"),
        tag("td", "met" if line.is_met else "missed", class_="met" if line.is_met else "missed"),
    )


def ledger_table(found: Found) -> Html:
    """Show that arrived = acknowledged + not, and what became of each."""
    ends = (FINISHED, WRONG, ERROR, REFUSED, OPEN)
    heads = ("", "arrived", "acknowledged", "right", "wrong", "failed", "refused", "open")
    rows = []
    ways = sorted({(study.lane, study.way) for study in found.studies}, key=_order)
    for lane, way in [*ways, ("", "")]:
        some = Found([s for s in found.studies if (s.lane, s.way) == (lane, way) or not lane])
        counted = some.ledger()
        numbers = [counted[name] for name in ("arrived", "acknowledged", *ends)]
        name = f"{lane} by {'C-STORE' if way == 'dimse' else 'STOW-RS'}" if lane else "all"
        rows.append(
            tag(
                "tr",
                tag("td", name),
                [tag("td", number, class_="number") for number in numbers],
                class_=None if lane else "sum",
            )
        )
    return tag(
        "table",
        tag("thead", tag("tr", [tag("th", head, scope="col") for head in heads])),
        tag("tbody", rows),
    )


def _order(row: tuple[str, str]) -> tuple[int, str]:
    return list(GROUPS).index(row[0]), row[1]
