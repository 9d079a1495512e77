"""Write the table of values into the chart's README: ``python helm/values_table.py``.

Every comment of ``values.yaml`` that begins with ``# --`` is a row; ``# @default --`` says a
default that is computed.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent / "onescan"
BEGIN = "<!-- values, by helm/values_table.py -->"
END = "<!-- end of values -->"

LONGEST = 60
"""Characters of a default that a row holds; more is left to values.yaml."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value."""

    key: str
    default: str
    meaning: str


def read_rows(text: str) -> list[Row]:
    """Read the values that have a comment, in their order."""
    values = yaml.safe_load(text)
    rows = []
    path: list[tuple[int, str]] = []
    meaning: list[str] = []
    default = ""
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# @default --"):
            default = stripped.removeprefix("# @default --").strip()
        elif stripped.startswith("# --"):
            meaning = [stripped.removeprefix("# --").strip()]
        elif stripped.startswith("#"):
            if meaning:
                meaning.append(stripped.removeprefix("#").strip())
        elif match := re.match(r"^( *)([A-Za-z0-9_-]+):", line):
            indent = len(match[1])
            path = [item for item in path if item[0] < indent]
            path.append((indent, match[2]))
            if meaning:
                key = ".".join(name for _, name in path)
                rows.append(Row(key, default or shown(value_at(values, path)), " ".join(meaning)))
            meaning, default = [], ""
        else:
            meaning, default = [], ""
    return rows


def value_at(values: Any, path: list[tuple[int, str]]) -> Any:
    """Follow the keys."""
    for _, name in path:
        values = values[name]
    return values


def shown(value: Any) -> str:
    """Write a default as JSON, or say that it is too long for a table."""
    text = json.dumps(value, ensure_ascii=False)
    return f"`{text}`" if len(text) <= LONGEST else "see values.yaml"


def table(text: str) -> str:
    """Give the table in Markdown."""
    lines = ["| value | default | meaning |", "|---|---|---|"]
    for row in read_rows(text):
        meaning = row.meaning.replace("|", "\\|")
        lines.append(f"| `{row.key}` | {row.default} | {meaning} |")
    return "\n".join(lines)


def with_table(readme: str, values: str) -> str:
    """Give the README with the table of these values."""
    before, rest = readme.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(values)}\n\n{END}{after}"


def main() -> int:
    """Write the README anew."""
    readme = CHART / "README.md"
    values = (CHART / "values.yaml").read_text(encoding="utf-8")
    readme.write_text(with_table(readme.read_text(encoding="utf-8"), values), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
