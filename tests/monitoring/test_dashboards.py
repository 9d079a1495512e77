"""The dashboards are ones: Grafana finds its way, and whoever reads them, too."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.alerts import DASHBOARDS
from tests.promql import selectors

FILES = sorted(DASHBOARDS.iterdir())
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in FILES
}
COLUMNS = 24
"""Of Grafana's grid."""


def panels(name: str) -> list[dict[str, Any]]:
    """Give those that show something."""
    return [panel for panel in BOARDS[name]["panels"] if panel["type"] != "row"]


def test_each_has_an_address_of_its_own() -> None:
    """Uids are unique, short and ours; titles are unique."""
    assert {path.suffix for path in FILES} == {".json"}
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS) == 3
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
    assert all(re.fullmatch(r"onescan-[a-z]{1,32}", board["uid"]) for board in BOARDS.values())


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_says_what_it_shows(name: str) -> None:
    """A title, a sentence, a unit, a number of its own, and names for its lines."""
    ids = [panel["id"] for panel in BOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in panels(name)]
    assert len(titles) == len(set(titles)) > 10
    for panel in panels(name):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        if panel["type"] == "timeseries":
            assert all(target["legendFormat"] != "__auto" for target in panel["targets"])


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    """All lie within the grid."""
    cells = [panel["gridPos"] for panel in BOARDS[name]["panels"]]
    assert all(cell["x"] + cell["w"] <= COLUMNS for cell in cells)
    for one, other in combinations(cells, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@pytest.mark.parametrize("name", BOARDS)
def test_every_question_is_of_the_chosen_namespace(name: str) -> None:
    """A dashboard of one deployment shows no other; the data source is chosen, too."""
    board = BOARDS[name]
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace"]
    assert variables["namespace"]["allValue"] == ".*"
    for panel in panels(name):
        for asked in [panel, *panel["targets"]]:
            assert asked["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            for selector in selectors(target["expr"].replace("$__rate_interval", "5m")):
                chosen = {m[0] for m in selector.matchers if m[1:] == ("=~", "$namespace")}
                assert chosen in ({"namespace"}, {"exported_namespace"}), target["expr"]


def test_every_question_is_grammatical(need_tool: Callable[[str], str], tmp_path: Path) -> None:
    """Promtool reads each, with a namespace and a range in place of the variables."""
    expressions = [
        target["expr"].replace("$__rate_interval", "5m").replace("$namespace", "ct")
        for name in BOARDS
        for panel in panels(name)
        for target in panel["targets"]
    ]
    assert not [text for text in expressions if "$" in text]
    rules = [{"record": f"panel:{i}", "expr": text} for i, text in enumerate(expressions)]
    path = tmp_path / "panels.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [need_tool("promtool"), "check", "rules", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
