"""``python -m loadtests.capacity``: a day, a cost file, answers and their pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.capacity import __main__ as command
from loadtests.capacity.plots import draw


def test_a_day_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    """Every study is done, and a lost zone costs latency only."""
    asked = ["day", "--studies-per-day", "2000", "--min", "1", "--max", "2"]
    assert command.main(asked) == 0
    whole = json.loads(capsys.readouterr().out)
    assert command.main([*asked, "--lose-zone"]) == 0
    lost = json.loads(capsys.readouterr().out)
    assert whole["done"] == whole["studies"] == lost["done"] > 1000
    assert lost["lanes"]["stat"]["most_seconds"] > whole["lanes"]["stat"]["most_seconds"]
    assert 0 <= whole["processor_seconds"] < 60


def test_a_missing_benchmark_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its code."""
    assert command.main(["cost", "--from", str(tmp_path / "study.json")]) == 2
    assert "[capacity.file]" in capsys.readouterr().err


def test_answers_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two rows of the table, then a picture of the costs and one of the day."""
    monkeypatch.setattr(command, "OUT", tmp_path)
    assert command.main(["answers", "--studies", "500", "1000"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows] == ["| 500", "| 1,000"]
    drawn = draw(tmp_path, tmp_path / "images")
    assert [path.name for path in drawn] == ["capacity-cost.png", "capacity-day.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)
