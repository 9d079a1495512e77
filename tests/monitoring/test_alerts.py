"""Every alert fires when it should and is silent when it should be, judged by promtool."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.api.diagnosis import LATE_SECONDS
from tests.monitoring.alerts import ALERTS, CASES, FILES, NAMES, RUNBOOKS, case, rule

SEVERITIES = ("critical", "warning", "info")
"""Somebody is called; is told by day; may look."""

RUNBOOK_BASE = "https://github.com/example/onescan/blob/main/helm/onescan/runbooks"


def promtool_test(name: str) -> list[dict[str, Any]]:
    """Write the cases of an alert as promtool's unit tests."""
    wanted, written = case(name), rule(name)
    said = {key: written["annotations"][key] for key in ("summary", "runbook_url")}
    scenes: list[tuple[str, dict[str, Any], list[dict[str, Any]]]] = []
    for number, scene in enumerate(wanted["fires"]):
        alert = {
            "exp_labels": {"severity": written["labels"]["severity"], **scene["labels"]},
            "exp_annotations": {"description": scene["says"], **said},
        }
        scenes.append((f"{name} {number}", scene, [alert]))
    scenes += [(f"{name}: {scene['why']}", scene, []) for scene in wanted["silent"]]
    return [
        {
            "name": title,
            "interval": "1m",
            "input_series": [
                {"series": series, "values": str(values)}
                for series, values in scene["series"].items()
            ],
            "alert_rule_test": [
                {"eval_time": scene["at"], "alertname": name, "exp_alerts": alerts}
            ],
        }
        for title, scene, alerts in scenes
    ]


def test_the_rules_are_rules(need_tool: Callable[[str], str]) -> None:
    """Promtool takes each file as it lies in the chart."""
    command = [need_tool("promtool"), "check", "rules", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS: 1 rules found") == len(FILES) > 30


def test_every_alert_fires_and_is_silent(need_tool: Callable[[str], str], tmp_path: Path) -> None:
    """With real series: what it says when it fires, and the look-alikes that it leaves alone."""
    paths = []
    for name, rules in zip(NAMES, FILES, strict=True):
        tests = {
            "rule_files": [str(rules)],
            "evaluation_interval": "1m",
            "tests": promtool_test(name),
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(tests), encoding="utf-8")
        paths.append(str(path))
    command = [need_tool("promtool"), "test", "rules", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") == len(NAMES)


def test_every_alert_has_its_cases_and_no_other() -> None:
    """Each fires at least once and is silent at least once."""
    assert sorted(path.stem for path in CASES.glob("*.yaml")) == NAMES
    for name in NAMES:
        assert case(name)["fires"], name
        assert case(name)["silent"], name


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_says_what_it_must(name: str) -> None:
    """Its name is its file's; severity, summary, description and the address of its runbook."""
    found = rule(name)
    assert found["alert"] == name
    assert set(found["labels"]) == {"severity"}
    assert found["labels"]["severity"] in SEVERITIES
    said = found["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert said["summary"].endswith(".")
    assert said["description"].endswith(".")
    assert "{{" not in said["summary"]
    assert said["runbook_url"] == f"{RUNBOOK_BASE}/{name}.md"
    assert (RUNBOOKS / f"{name}.md").is_file()


def test_no_file_is_left_over() -> None:
    """One rule a file, and nothing else beside them."""
    assert [path.name for path in sorted(ALERTS.iterdir())] == [f"{name}.yaml" for name in NAMES]


@pytest.mark.parametrize(
    ("name", "lane"),
    [
        ("OneScanStatLaneLate", "stat"),
        ("OneScanRoutineLaneLate", "routine"),
        ("OneScanBackfillLaneLate", "backfill"),
    ],
)
def test_a_lane_is_late_when_health_says_so(name: str, lane: str) -> None:
    """The bounds are those of ``/health``."""
    assert rule(name)["expr"].rstrip().endswith(f'lane="{lane}"}}) > {LATE_SECONDS[lane]:.0f}')


def test_the_documentation_lists_them_all() -> None:
    """docs/monitoring.md has a row for each, with its severity and summary, and no other."""
    text = (ALERTS.parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| [`OneScan")]
    expected = [
        f"| [`{name}`](../helm/onescan/runbooks/{name}.md)"
        f" | {rule(name)['labels']['severity']} | {rule(name)['annotations']['summary']} |"
        for name in NAMES
    ]
    assert sorted(rows) == sorted(expected)
