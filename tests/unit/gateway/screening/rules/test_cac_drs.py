"""CAC-DRS: categories, and when a number may be called an Agatston score."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.cac_drs import ADVICE, cac_drs, cac_drs_label, cac_drs_level

GATED: dict[str, Any] = {"gated": True, "kvp": 120, "increment_mm": 3.0, "noise_sd_hu": None}
CHEST: dict[str, Any] = {"gated": False, "kvp": 120, "increment_mm": 3.0, "noise_sd_hu": 20.0}


def said(agatston: float | None, given: dict[str, Any], **changed: Any) -> Assessment:
    return cac_drs(agatston, **{**given, **changed})


@pytest.mark.parametrize(
    ("agatston", "category"),
    [
        (0, "A0"),
        (1, "A1"),
        (99, "A1"),
        (100, "A2"),
        (299, "A2"),
        (300, "A3"),
        (339.0, "A3"),
        (99.4, "A1"),
        (99.6, "A2"),
    ],
)
def test_categories_on_both_sides_of_their_cuts(agatston: float, category: str) -> None:
    """0, 1–99, 100–299, 300 and more, of the rounded score."""
    assert said(agatston, GATED).category == category


def test_counted_calcium_is_never_told_away() -> None:
    """A score of 0.3 rounds to 0 and is calcium all the same."""
    assert said(0.3, GATED).category == "A1"


@given(one=st.floats(0, 5000), other=st.floats(0, 5000))
def test_more_calcium_is_never_a_lower_level(one: float, other: float) -> None:
    """The level is monotone in the score."""
    assert cac_drs_level(max(one, other)) >= cac_drs_level(min(one, other))


@pytest.mark.parametrize(
    "changed",
    [
        {"gated": False, "noise_sd_hu": 20.0},
        {"gated": None, "noise_sd_hu": 20.0},
        {"increment_mm": 2.5, "noise_sd_hu": 20.0},
        {"increment_mm": None, "noise_sd_hu": 20.0},
    ],
)
def test_what_is_not_known_to_be_gated_in_3_mm_is_an_estimate(changed: dict[str, Any]) -> None:
    """Never an A category; the number keeps its qualified name."""
    answer = said(150, GATED, **changed)
    assert (answer.category, answer.basis, answer.value) == ("V2", "agatston_estimate", 150)


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        (GATED, {"kvp": 100}),
        (GATED, {"kvp": None}),
        (CHEST, {"kvp": 100}),
        (CHEST, {"noise_sd_hu": 25.01}),
        (CHEST, {"noise_sd_hu": None}),
    ],
)
def test_another_voltage_or_much_noise_leaves_an_ordinal(
    given: dict[str, Any], changed: dict[str, Any]
) -> None:
    """The number is not told."""
    answer = said(150, given, **changed)
    assert (answer.category, answer.basis, answer.value) == ("V2", "ordinal", None)


def test_noise_on_the_limit_still_has_a_number() -> None:
    """25 HU is the limit, above it begins the ordinal."""
    assert said(150, CHEST, noise_sd_hu=25.0).basis == "agatston_estimate"


def test_what_was_not_known_is_named() -> None:
    """So that a site can see why it gets no Agatston score."""
    unknown = dict.fromkeys(GATED)
    assert said(10, unknown).missing == ("gated", "kvp", "increment_mm", "noise_sd_hu")
    assert said(None, GATED).missing == ("agatston",)
    assert said(None, GATED).category is None


@pytest.mark.parametrize(
    ("category", "vessels", "label"),
    [("A2", 3, "A2/N3"), ("A0", 0, "A0"), ("V1", None, "V1"), ("V1", 1, "V1/N1")],
)
def test_labels(category: str, vessels: int | None, label: str) -> None:
    """Category and vessels as reports write them."""
    assert cac_drs_label(category, vessels) == label


@pytest.mark.parametrize(("agatston", "vessels"), [(0, 1), (10, 0), (10, 5), (-1, None)])
def test_contradictions_are_refused(agatston: float, vessels: int | None) -> None:
    """Calcium lies in one to four vessels, none in none."""
    with pytest.raises(ValueError, match=r"vessels|agatston"):
        said(agatston, GATED, vessels=vessels)


def test_calcium_is_a_measurement_and_no_flag() -> None:
    """It never counts against the budget of false flags."""
    assert set(ADVICE) == {f"{letter}{level}" for letter in "AV" for level in range(4)}
    assert not any(advice.asks_for_action for advice in ADVICE.values())
