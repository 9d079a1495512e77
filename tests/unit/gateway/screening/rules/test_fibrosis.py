"""The blood rules over what a partner sent."""

from __future__ import annotations

import pytest

from gateway.screening.clinical import numbers, read_clinical
from gateway.screening.rules.fibrosis import assess_fibrosis


def test_units_reach_the_formulas_right() -> None:
    """Albumin sent in g/dL and kept in g/L gives the same score as in g/L."""
    sent = {"age_years": 50, "bmi": 30, "diabetes": True, "ast": 40, "alt": 50, "platelets": 200}
    per_dl = read_clinical({**sent, "albumin": {"value": 4, "unit": "g/dL"}})
    per_l = read_clinical({**sent, "albumin": 40})
    first, second = (assess_fibrosis(numbers(values))[2] for values in (per_dl, per_l))
    assert first.value == pytest.approx(second.value)
    assert first.value == pytest.approx(-0.323)


def test_the_age_of_the_header_serves_where_none_was_sent() -> None:
    """What was sent goes before."""
    blood = {"ast": 40.0, "alt": 50.0, "platelets": 200.0}
    assert assess_fibrosis(blood, age_years=55)[0].value == pytest.approx(1.556, abs=5e-4)
    assert assess_fibrosis({**blood, "age_years": 30.0}, age_years=55)[0].category is None


def test_nothing_sent_is_nothing_said() -> None:
    """No rule answers, each names what it lacks."""
    for said in assess_fibrosis({}):
        assert said.category is None
        assert said.missing
