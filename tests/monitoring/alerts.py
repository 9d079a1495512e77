"""The alert rules as they lie in the chart, and the cases that they are held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "onescan"
ALERTS = CHART / "alerts"
RUNBOOKS = CHART / "runbooks"
DASHBOARDS = CHART / "dashboards"
CASES = Path(__file__).parent / "cases"

FILES = sorted(ALERTS.glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def rule(name: str) -> dict[str, Any]:
    """Read the one rule of a file."""
    [group] = yaml.safe_load((ALERTS / f"{name}.yaml").read_text(encoding="utf-8"))["groups"]
    [found] = group["rules"]
    assert group["name"] == name
    return dict(found)


def case(name: str) -> dict[str, Any]:
    """Read when an alert fires and when it is silent."""
    return dict(yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8")))
