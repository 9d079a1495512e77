"""Results of benchmarks as JSON lines under ``build/bench``, with machine, commit and command."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtests.bench_studies import KEPT

RESULTS = KEPT / "results.jsonl"


def keep(result: Mapping[str, Any], command: str, path: Path = RESULTS) -> dict[str, Any]:
    """Add machine, commit, date, load and command to a result and append it to the kept lines."""
    full = {
        **result,
        "machine": machine(),
        "commit": commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "load_after": round(os.getloadavg()[0], 1),
        "command": command,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(full) + "\n")
    return full


def read(path: Path = RESULTS) -> list[dict[str, Any]]:
    """Give the kept results, oldest first."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def latest(lines: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Give by name the results of the commit and machine that were measured last."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        name = str(line["name"])
        before = found.get(name)
        if before and _place(before[0]) == _place(line):
            before.append(line)
        else:
            found[name] = [line]
    return found


def machine() -> str:
    """Name the processor and its cores, so that a figure has a place."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":", 1)[1].strip() for x in lines if "model name" in x), model)
        count = sum(line.startswith("processor") for line in lines)
        amx = "with AMX" if any("amx_bf16" in x for x in lines) else "without AMX"
        return f"{model}, {count} cores, {amx}"
    return model


def has_amx() -> bool:
    """Tell whether the processor multiplies matrices by itself."""
    return "with AMX" in machine()


def commit() -> str:
    """Give the commit that is measured, marked when the tree differs from it."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _place(line: Mapping[str, Any]) -> tuple[Any, Any]:
    return line["commit"], line["machine"]
