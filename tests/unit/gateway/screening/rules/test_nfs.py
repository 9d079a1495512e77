"""NAFLD fibrosis score: the formula, its units and its cuts."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.screening.rules.nfs import HIGH_ABOVE, LOW_BELOW, LOW_BELOW_OLDER, assess_nfs, nfs

PATIENT: dict[str, Any] = {
    "age_years": 50,
    "bmi_kg_per_m2": 30,
    "diabetes": True,
    "ast_u_per_l": 40,
    "alt_u_per_l": 50,
    "platelets_10e9_per_l": 200,
    "albumin_g_per_l": 40,
}


def shifted(value: float, **changed: Any) -> str | None:
    """Categorise a patient whose albumin makes the score the value."""
    patient = {**PATIENT, **changed}
    patient["albumin_g_per_l"] += (nfs(**patient) - value) / 0.066
    said = assess_nfs(**patient)
    assert said.value == pytest.approx(value)
    return said.category


def test_formula() -> None:
    """−1.675 + 1.85 + 2.82 + 1.13 + 0.792 − 2.6 − 2.64 = −0.323, albumin 40 g/L being 4 g/dL."""
    assert nfs(**PATIENT) == pytest.approx(-0.323)


def test_the_constant_is_negative() -> None:
    """A page in circulation prints it without its sign."""
    nothing = dict.fromkeys(PATIENT, 0) | {"alt_u_per_l": 1}
    assert nfs(**nothing) == pytest.approx(-1.675)


@pytest.mark.parametrize(
    ("value", "age", "category"),
    [
        (LOW_BELOW - 1e-6, 50, "low"),
        (LOW_BELOW + 1e-6, 50, "indeterminate"),
        (HIGH_ABOVE - 1e-6, 50, "indeterminate"),
        (HIGH_ABOVE + 1e-6, 50, "high"),
        (LOW_BELOW_OLDER - 1e-6, 65, "low"),
        (LOW_BELOW_OLDER + 1e-6, 65, "indeterminate"),
        (LOW_BELOW_OLDER - 1e-6, 64, "indeterminate"),
        (HIGH_ABOVE + 1e-6, 65, "high"),
    ],
)
def test_cuts_on_both_sides(value: float, age: float, category: str) -> None:
    """From 65 years on the lower cut is 0.12."""
    assert shifted(value, age_years=age) == category


def test_it_is_invalid_below_35() -> None:
    """Not even when something else is missing."""
    said = assess_nfs(**{**PATIENT, "age_years": 34, "bmi_kg_per_m2": None})
    assert (said.category, said.basis) == (None, "age_under_35")


@pytest.mark.parametrize("name", PATIENT)
def test_a_missing_input_leaves_no_score(name: str) -> None:
    """Unknown diabetes is not its absence."""
    said = assess_nfs(**{**PATIENT, name: None})
    assert said.category is None
    assert len(said.missing) == 1


def test_zero_is_no_measurement() -> None:
    """ALT divides."""
    with pytest.raises(ValueError, match="positive"):
        nfs(**{**PATIENT, "alt_u_per_l": 0})
