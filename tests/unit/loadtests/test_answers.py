"""An answer under load is held to the unhurried one and to what was released before."""

from __future__ import annotations

from typing import Any

import pytest

from loadtests.answers import faults

EXPECTED = {"aorta": "negative", "liver": "positive"}


def shown(state: str = "done", **states: str) -> dict[str, Any]:
    """A screening as the api shows it."""
    checks = [{"check": name, "state": one} for name, one in {**EXPECTED, **states}.items()]
    return {"state": state, "checks": checks}


def test_the_same_answer_is_right() -> None:
    """Whether other checks were released before the end or with it."""
    assert faults(shown(), EXPECTED, {"aorta": "negative"}) == []
    assert faults(shown(), EXPECTED, EXPECTED) == []


@pytest.mark.parametrize(
    ("answer", "released", "says"),
    [
        (shown("failed"), EXPECTED, "ended as failed"),
        (shown(liver="negative"), {"aorta": "negative"}, "instead of"),
        (shown(liver="not_evaluated"), {"aorta": "negative"}, "instead of"),
        ({"state": "done", "checks": []}, {}, "instead of"),
        (shown(), {"aorta": "positive"}, "released {'aorta': 'positive'} and then"),
        (shown(), {"liver": "positive"}, "aorta was not released by itself"),
    ],
)
def test_every_other_is_wrong(answer: dict[str, Any], released: dict[str, str], says: str) -> None:
    """A positive that became negative above all; the reason is told once."""
    [told] = faults(answer, EXPECTED, released)
    assert says in told


def test_a_check_that_was_not_asked_for_need_not_be_released() -> None:
    """A screening of the liver alone has no aorta."""
    answer = {"state": "done", "checks": [{"check": "liver", "state": "positive"}]}
    assert faults(answer, {"liver": "positive"}, {}) == []
