"""The tables of docs/benchmarks.md are made of kept results, and made again they are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtests import kept
from loadtests.bench import is_met
from loadtests.bench_report import ROWS, render, replaced, seconds, write
from loadtests.bench_tables import PICTURE, runtime

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"

TABLE = "<!-- table: written by loadtests.bench -->\n<!-- end of table -->"


def line(name: str = "decode", **changes: Any) -> dict[str, Any]:
    """One kept result."""
    return {
        "name": name,
        "ratio": 10.0,
        "goal": 9.0,
        "ours": 0.041,
        "peer": 0.41,
        "unit": "s",
        "machine": "two cores",
        "commit": "a1",
        "date": "2026-11-21",
        "command": f"python -m loadtests.bench {name}",
        **changes,
    }


def test_the_document_made_again_is_the_same() -> None:
    """Without a new result nothing in it changes, generated part or not."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert render(text, []) == text


def test_a_result_becomes_a_row_and_again_the_same_row() -> None:
    """Seconds below 0.2 are told in ms; the command that was run stands below the table."""
    once = render(f"before\n{TABLE}\nafter", [line()])
    row = f"| {ROWS['decode'].what} | {ROWS['decode'].peer} | 10× | ≥ 9× | 41 ms | 0.41 s |"
    assert row in once
    assert "Measured last by `python -m loadtests.bench decode`." in once
    assert once.startswith("before\n")
    assert once.endswith("\nafter")
    assert render(once, [line()]) == once
    assert render(once, []) == once


def test_several_runs_of_one_commit_are_told_as_a_range() -> None:
    """10 and 12 is 10–12; another commit's results before them are gone."""
    lines = [line(commit="a0", ratio=99.0), line(), line(ratio=12.0, ours=0.034)]
    text = render(TABLE, lines)
    assert "| 10–12× | ≥ 9× | 34–41 ms |" in text
    assert "99" not in text


def test_what_was_not_measured_keeps_its_row() -> None:
    """A report of `j2k` alone leaves the row of `decode`; rows stand in the order of `ROWS`."""
    both = render(render(TABLE, [line("j2k")]), [line("decode")])
    assert both.index(ROWS["decode"].what) < both.index(ROWS["j2k"].what)


def test_a_document_without_markers_is_refused() -> None:
    """Nothing is guessed about where a table belongs."""
    with pytest.raises(ValueError, match="once each"):
        render("no markers", [line()])
    with pytest.raises(ValueError, match="once each"):
        replaced(TABLE + TABLE, "table", "text")


@pytest.mark.parametrize(
    ("values", "told"),
    [([0.0412], "41.2 ms"), ([0.35, 0.44], "0.35–0.44 s"), ([120.4], "120 s"), ([0.19], "190 ms")],
)
def test_seconds_are_told_in_three_digits(values: list[float], told: str) -> None:
    """In ms below 0.2 s."""
    assert seconds(values) == told


@pytest.mark.parametrize(
    ("result", "met"),
    [
        ({"ratio": 2.0, "goal": 2.0}, True),
        ({"ratio": 1.9, "goal": 2.0}, False),
        ({"ratio": 0.5, "goal": None}, True),
        ({"ratio": 9.0, "goal": 2.0, "met": False}, False),
    ],
)
def test_a_goal_is_met_or_not(result: dict[str, Any], met: bool) -> None:
    """A result without a goal is no failure; one may say itself whether it met its own."""
    assert is_met(result) is met


def test_results_are_kept_with_where_and_how(tmp_path: Path) -> None:
    """Machine, commit, date and command are beside each figure, in the order of the runs."""
    path = tmp_path / "build" / "results.jsonl"
    for ratio in (1.0, 2.0):
        kept.keep({"name": "decode", "ratio": ratio}, "python -m loadtests.bench decode", path)
    lines = kept.read(path)
    assert [one["ratio"] for one in lines] == [1.0, 2.0]
    assert all(one["machine"] and one["commit"] and one["date"] for one in lines)
    assert lines[0]["command"] == "python -m loadtests.bench decode"
    assert kept.read(tmp_path / "none.jsonl") == []


def test_growth_is_drawn_and_told_and_again_the_same(tmp_path: Path) -> None:
    """The picture's bytes are the same for the same figures, and the document points at it."""
    point = {
        "wall_seconds": 5.0,
        "core_seconds": {"worker": 1.0, "triton": 7.0},
        "peak_pss_mb": 3000.0,
        "peak_shm_mb": 400.0,
    }
    copied = {"read files": 157.3, "written shared memory": 157.3}
    growth = {
        "slices": [{"x": n, **point, "copied_mb": copied} for n in (100, 300)],
        "checks": [{"x": n, **point, "copied_mb": copied} for n in (1, 8)],
        "studies": [{"x": n, **point} for n in (1, 2)],
    }
    document = tmp_path / "benchmarks.md"
    markers = "<!-- growth: written by loadtests.bench -->\n<!-- end of growth -->"
    document.write_text(f"{TABLE}\n{markers}\n")
    assert write(document, [line("growth", **growth)])
    picture = (tmp_path / PICTURE).read_bytes()
    assert not write(document, [line("growth", **growth)])
    assert (tmp_path / PICTURE).read_bytes() == picture
    text = document.read_text()
    assert f"]({PICTURE})" in text
    assert (
        "| 300 | 5.00 | 8.00 | worker 1.00, triton 7.00 | 3000 | 400 | "
        "read files 157.3, written shared memory 157.3 |"
    ) in text
    assert "| 2 | 5.00 | 8.00 | worker 1.00, triton 7.00 | 3000 | 400 |  |" in text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("OpenVINO bf16 (parity holds: labels agreement 0.9996)", "OpenVINO bf16: parity holds"),
        ("OpenVINO f32 (the processor has no bf16)", "OpenVINO f32: the processor has no bf16"),
        ("ONNX Runtime f32", "ONNX Runtime f32"),
    ],
)
def test_a_runtime_is_told_without_its_figures(said: str, told: str) -> None:
    """They change from machine to machine."""
    assert runtime(said) == told
