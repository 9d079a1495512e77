"""Write a model card from the figures of `networks.evaluate`: README.md beside the network.

What a person wrote under `KEPT` headings of an older card stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEPT = ("Figures on real scans", "Notes")
"""Sections that are carried over."""

TITLES = {"difficulty": "By difficulty", "scanner": "By scanner model, none of them trained on",
          "kind": "By kind", "group": "By group"}  # fmt: skip


@dataclass(frozen=True)
class Aim:
    """What a check is held to: a figure by its path, and the bounds it shall keep."""

    what: str
    path: tuple[str, ...]
    least: float = float("-inf")
    most: float = float("inf")


def _box_aims() -> tuple[Aim, ...]:
    medium = ("strata", "difficulty", "medium")
    return (
        Aim("AUC on medium", (*medium, "auc"), least=0.95),
        Aim("found on medium, at the mark", (*medium, "mark", "sensitivity"), least=0.9),
        Aim("AUC of the baseline on medium", ("baseline", "auc", "medium"), most=0.8),
    )


AIMS: Mapping[str, tuple[Aim, ...]] = {
    "pancreas": _box_aims(),
    "stomach": _box_aims(),
    "aorta": _box_aims(),
    "nodule": (
        Aim("nodules of 6 mm and more at 1 false mark a scan",
            ("strata", "group", "from_6_mm", "froc", "1"), least=0.9),
    ),
    "bone": (
        Aim("metastases at 1.4 false marks a scan", ("strata", "all", "froc", "1.4"), least=0.89),
    ),
    "calcium": (
        Aim("Agatston bias on easy, as a share",
            ("strata", "difficulty", "easy", "bias_share"), least=-0.1, most=0.1),
        Aim("category kappa on easy",
            ("strata", "difficulty", "easy", "category_kappa"), least=0.9),
    ),
    "chest": (Aim("mean AUC of the labels", ("strata", "all", "auc"), least=0.8),),
    "liver": (
        Aim("quadratic kappa of steatosis, image alone",
            ("strata", "all", "steatosis", "image", "kappa"), least=0.8),
    ),
}  # fmt: skip
"""Of the figures on phantoms; for marks and flags see pipelines.md §7.3."""


def card(
    told: Mapping[str, Any],
    *,
    title: str,
    description: Sequence[str],
    training: Sequence[str],
    thresholds: Sequence[str],
    commands: Sequence[str],
    date: str,
    old: str = "",
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    told : mapping
        As `networks.evaluation.told.told` gives it.
    title : str
        The model's folder.
    description, training, thresholds : sequence of str
        Lines on what the network is, how it was trained, how its thresholds were set.
    commands : sequence of str
        That train, release and judge it again.
    date : str
        Of the figures.
    old : str
        The card so far.
    """
    cohort = told["cohort"]
    lines = [
        f"# {title}", "", "Trained on synthetic phantoms; not for clinical use.", "",
        "## What it is", "", *description, "",
        "## How it was trained", "", "```", *commands, "```", "", *training, "",
    ]  # fmt: skip
    if thresholds:
        lines += ["## Thresholds", "", *thresholds, ""]
    lines += [
        "## Figures on unseen phantoms", "",
        f"{date}: {cohort['patients']} patients, seeds from {cohort['first_seed']:,} on, which no"
        f" training and no threshold saw; {scans(cohort)} on the three scanner models that training"
        " never sees.",
        "A figure is followed by its 95 % interval.",
        "The figures say whether training worked, and nothing about patients.", "",
        *strata_lines(told["strata"]),
        *baseline_lines(told.get("baseline", {})),
        "## Where it fails", "", *shortfalls(told), *failure_lines(told.get("failures", ())), "",
    ]  # fmt: skip
    for name in KEPT:
        text = section(old, name)
        if text:
            lines += [f"## {name}", "", text, ""]
    return "\n".join(lines).rstrip() + "\n"


def scans(cohort: Mapping[str, Any]) -> str:
    """Return how many scans were judged; of a graded check all are, whatever their grade."""
    if "planted" not in cohort:
        return f"{cohort['looks']} scans of all grades"
    return f"{cohort['planted']} planted and {cohort['healthy']} healthy scans"


def baseline_lines(baseline: Mapping[str, Any]) -> list[str]:
    """Return what a method by hand reaches; nothing where it stands among the strata."""
    if not baseline:
        return []
    rows = {name: value for name, value in baseline.items() if name != "method"}
    told = f"The baseline, {baseline['method']}, reaches:"
    return ["### By hand", "", told, "", *table({"all": rows})]


def strata_lines(strata: Mapping[str, Any]) -> list[str]:
    """Return the tables of the strata."""
    lines = table({"all": {k: v for k, v in strata["all"].items() if k != "dice"}})
    if "dice" in strata["all"]:
        lines += ["### Dice by label", "", *table({"all": strata["all"]["dice"]})]
    for name, rows in strata.items():
        if name != "all" and rows:
            lines += [f"### {TITLES.get(name, name.capitalize())}", "", *table(rows)]
    return lines


def table(rows: Mapping[str, Any]) -> list[str]:
    """Return a Markdown table: a row each, a column for every figure in any of them.

    What is true of ``all`` alone stands upright, a line a figure.
    """
    flat = {name: dict(flatten(row)) for name, row in rows.items()}
    names = list(dict.fromkeys(column for row in flat.values() for column in row))
    if list(flat) == ["all"]:
        row = flat["all"]
        return ["| | |", "|---|---|", *(f"| {k} | {v} |" for k, v in row.items()), ""]
    return [
        f"| | {' | '.join(names)} |",
        f"|{'---|' * (len(names) + 1)}",
        *(
            f"| {name} | {' | '.join(row.get(column, '–') for column in names)} |"
            for name, row in flat.items()
        ),
        "",
    ]


def flatten(row: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield (column, text) of every figure and count of a row."""
    for name, value in row.items():
        column = f"{before} {name.replace('_', ' ')}".strip()
        if isinstance(value, Mapping):
            yield from flatten(value, column)
        elif isinstance(value, list) and value and isinstance(value[0], list):
            yield column, " … ".join(number(item[0]) for item in value)
        elif isinstance(value, list) and len(value) == 3:
            yield column, figure(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield column, number(value)


def figure(value: Sequence[float | None]) -> str:
    """Return a figure and its interval as text."""
    middle, low, high = value
    if middle is None:
        return "–"
    return number(middle) if low is None else f"{number(middle)} ({number(low)}–{number(high)})"


def number(value: float | None) -> str:
    """Return a number with as many digits as matter."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else (
        f"{value:.3f}"
    )  # fmt: skip


def measured(told: Mapping[str, Any], aim: Aim) -> Any:
    """Return the figure that an aim speaks of; None where it was not measured."""
    value: Any = told
    for key in aim.path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if value and value[0] is not None else None


def reaches_aims(told: Mapping[str, Any]) -> bool:
    """Return whether every aim of a check is measured and reached."""
    values = [(aim, measured(told, aim)) for aim in AIMS.get(told["check"], ())]
    return all(value and aim.least <= value[0] <= aim.most for aim, value in values)


def shortfalls(told: Mapping[str, Any]) -> list[str]:
    """Return a line for each aim, and whether it is reached."""
    lines = []
    for aim in AIMS.get(told["check"], ()):
        value = measured(told, aim)
        if value is None:
            lines.append(f"- {aim.what}: not measured.")
            continue
        if aim.least <= value[0] <= aim.most:
            verdict = "reached"
        else:
            bound = aim.least if value[0] < aim.least else aim.most
            verdict = f"missed by {abs(value[0] - bound):.3f}"
        bounds = [
            *([f"at least {aim.least:g}"] if aim.least > float("-inf") else []),
            *([f"at most {aim.most:g}"] if aim.most < float("inf") else []),
        ]
        lines.append(f"- {aim.what}: {figure(value)}; the aim, {', '.join(bounds)}, is {verdict}.")
    return lines


def failure_lines(failures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each case that went wrong."""
    lines = ["", "The worst cases:", ""] if failures else []
    for case in failures:
        more = [
            f"{name.replace('_', ' ')} {number(value) if isinstance(value, float) else value}"
            for name, value in case.items()
            if name not in ("what", "seed") and value not in ("", None)
        ]
        lines.append(f"- Seed {case['seed']}: {case['what']}; {', '.join(more)}.")
    return lines


def section(text: str, name: str) -> str:
    """Return what a card says under a heading; nothing where it has none."""
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1).strip() if found else ""


def write_card(folder: Path, **given: Any) -> Path:
    """Write the card of a model's folder over the older one, and return its path."""
    path = folder / "README.md"
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(card(title=folder.name, old=old, **given), encoding="utf-8")
    return path
