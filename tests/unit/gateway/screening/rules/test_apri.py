"""APRI: the formula and its cuts."""

from __future__ import annotations

import math

import pytest

from gateway.screening.rules.apri import apri, assess_apri


def assess(value: float) -> str | None:
    """Categorise inputs whose index is the value: limit 1, platelets 100."""
    return assess_apri(
        ast_u_per_l=value, ast_upper_limit_u_per_l=1.0, platelets_10e9_per_l=100.0
    ).category


def test_formula() -> None:
    """100 · (80 / 40) / 200 = 1."""
    assert apri(ast_u_per_l=80, ast_upper_limit_u_per_l=40, platelets_10e9_per_l=200) == 1.0


@pytest.mark.parametrize(
    ("value", "category"),
    [
        (0.5, "low"),
        (math.nextafter(0.5, 1), "indeterminate"),
        (1.5, "indeterminate"),
        (math.nextafter(1.5, 2), "high"),
    ],
)
def test_cuts_on_both_sides(value: float, category: str) -> None:
    """Low up to 0.5, high above 1.5."""
    assert assess(value) == category


def test_no_upper_limit_of_normal_is_assumed() -> None:
    """Laboratories differ, so without theirs there is no index."""
    said = assess_apri(ast_u_per_l=80, ast_upper_limit_u_per_l=None, platelets_10e9_per_l=None)
    assert said.category is None
    assert said.missing == ("ast_upper_limit", "platelets")


def test_zero_is_no_measurement() -> None:
    """No index over a limit of zero."""
    with pytest.raises(ValueError, match="positive"):
        apri(ast_u_per_l=80, ast_upper_limit_u_per_l=0, platelets_10e9_per_l=200)
