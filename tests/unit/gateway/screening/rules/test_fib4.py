"""FIB-4: published vectors, cuts on both sides, ages, monotony."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.fib4 import HIGH_ABOVE, LOW_BELOW, LOW_BELOW_OLDER, assess_fib4, fib4

AGES = st.floats(35, 100)
ENZYMES = st.floats(5, 1000)
PLATELETS = st.floats(20, 800)


def assess(value: float, *, age: float) -> str | None:
    """Categorise inputs whose index is the value: ALT 1, platelets as old as the patient."""
    said = assess_fib4(age_years=age, ast_u_per_l=value, alt_u_per_l=1.0, platelets_10e9_per_l=age)
    assert said.value == pytest.approx(value)
    return said.category


@pytest.mark.parametrize(
    ("age", "ast", "alt", "platelets", "index"),
    [(55, 40, 50, 200, 1.556), (45, 30, 60, 250, 0.697), (70, 60, 35, 150, 4.733)],
)
def test_vectors(age: float, ast: float, alt: float, platelets: float, index: float) -> None:
    """The formula gives the reference numbers, rounded there to a thousandth."""
    computed = fib4(age_years=age, ast_u_per_l=ast, alt_u_per_l=alt, platelets_10e9_per_l=platelets)
    assert computed == pytest.approx(index, abs=5e-4)


@pytest.mark.parametrize(
    ("value", "age", "category"),
    [
        (math.nextafter(LOW_BELOW, 0), 64, "low"),
        (LOW_BELOW, 64, "indeterminate"),
        (HIGH_ABOVE, 64, "indeterminate"),
        (math.nextafter(HIGH_ABOVE, 9), 64, "high"),
        (LOW_BELOW, 65, "low"),
        (1.99, 65, "low"),
        (LOW_BELOW_OLDER, 65, "indeterminate"),
        (1.99, 64.9, "indeterminate"),
        (2.68, 65, "high"),
    ],
)
def test_cuts_on_both_sides(value: float, age: float, category: str) -> None:
    """A value on a cut is indeterminate; from 65 years on the lower cut is 2.0."""
    if age == 64:  # a power of two: the index is the value to the last bit
        said = assess_fib4(
            age_years=64, ast_u_per_l=value, alt_u_per_l=1.0, platelets_10e9_per_l=64
        )
        assert said.category == category
    else:
        assert assess(value, age=age) == category


def test_it_is_invalid_below_35() -> None:
    """Not a number, not a category; at 35 it is."""
    values = {"ast_u_per_l": 60.0, "alt_u_per_l": 35.0, "platelets_10e9_per_l": 150.0}
    said = assess_fib4(age_years=34.99, **values)
    assert (said.category, said.value, said.basis) == (None, None, "age_under_35")
    assert assess_fib4(age_years=35, **values).category is not None


@pytest.mark.parametrize("name", ["age_years", "ast", "alt", "platelets"])
def test_a_missing_input_is_named(name: str) -> None:
    """And nothing is computed."""
    values: dict[str, float | None] = {"age_years": 50, "ast": 40, "alt": 40, "platelets": 200}
    values[name] = None
    said = assess_fib4(
        age_years=values["age_years"],
        ast_u_per_l=values["ast"],
        alt_u_per_l=values["alt"],
        platelets_10e9_per_l=values["platelets"],
    )
    assert (said.category, said.value, said.missing) == (None, None, (name,))


@pytest.mark.parametrize(("alt", "platelets"), [(0.0, 200.0), (40.0, 0.0)])
def test_zero_is_no_measurement(alt: float, platelets: float) -> None:
    """A zero would divide, and would be a missing value in disguise."""
    with pytest.raises(ValueError, match="positive"):
        fib4(age_years=50, ast_u_per_l=40, alt_u_per_l=alt, platelets_10e9_per_l=platelets)


@given(age=AGES, ast=ENZYMES, alt=ENZYMES, platelets=PLATELETS, more=st.floats(0, 100))
def test_more_age_or_ast_raises_it_more_platelets_lower_it(
    age: float, ast: float, alt: float, platelets: float, more: float
) -> None:
    """The index is monotone in each."""

    def index(age: float, ast: float, platelets: float) -> float:
        return fib4(age_years=age, ast_u_per_l=ast, alt_u_per_l=alt, platelets_10e9_per_l=platelets)

    here = index(age, ast, platelets)
    assert index(age + more, ast, platelets) >= here
    assert index(age, ast + more, platelets) >= here
    assert index(age, ast, platelets + more) <= here
