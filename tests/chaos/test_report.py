"""A run's file is read again, goes on where it was interrupted, and passes only when whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadtests.chaos.__main__ import read
from loadtests.chaos.faults import FAULTS
from loadtests.chaos.ledger import Sums
from loadtests.chaos.plan import plan
from loadtests.chaos.report import lines, passed
from loadtests.chaos.run import Outcome, left

STEPS = plan(FAULTS, 3, 1)

SUMS = Sums(
    sent=4, stored=3, store_refused=1, ordered=3, acknowledged=3, finished=2, failed=1
)  # fmt: skip


def outcome(number: int, **changes: object) -> Outcome:
    """Make the outcome of a step."""
    step = STEPS[number - 1]
    return Outcome(number, step.fault.name, step.store, 2.0, 9.0, 3.0, 20.0, SUMS, **changes)  # type: ignore[arg-type]


def test_a_run_goes_on_after_its_last_whole_line(tmp_path: Path) -> None:
    """What was being written when it was killed is brought again."""
    ledger = tmp_path / "ledger.jsonl"
    done = [outcome(1), outcome(2, wrong={"no_orphan": ["process 7 (stub) belongs to nobody"]})]
    text = "".join(json.dumps(one.to_json()) + "\n" for one in [*done, outcome(3)])
    ledger.write_text(text[:-40], encoding="utf-8")
    assert read(ledger) == done
    assert left(STEPS, done) == STEPS[2:]
    assert left(STEPS, []) == STEPS
    assert read(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("outcomes", "good"),
    [
        ([outcome(1), outcome(2), outcome(3)], True),
        ([outcome(1), outcome(2)], False),
        ([outcome(1), outcome(2), outcome(3, skipped="no mount namespace")], False),
        ([outcome(1), outcome(2), outcome(3, wrong={"no_orphan": ["one"]})], False),
    ],
)
def test_a_run_passes_when_all_was_brought_and_held(outcomes: list[Outcome], good: bool) -> None:
    assert passed(outcomes, len(STEPS)) is good


def test_the_ledger_is_printed_as_two_equations() -> None:
    """And what was wrong stands below its fault."""
    wrong = outcome(2, wrong={"no_orphan": ["process 7 (stub) belongs to nobody"]})
    text = "\n".join(lines([outcome(1), wrong], summed=True))
    assert "8 sent = 6 acknowledged + 2 refused" in text
    assert "6 acknowledged = 4 finished + 2 visibly failed" in text
    assert "no_orphan: process 7 (stub) belongs to nobody" in text
    assert "books" not in text
