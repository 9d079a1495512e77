"""Sizes are rounded as each rule wants them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.nodule import Nodule, Prior, Size, to_tenth, to_whole


@pytest.mark.parametrize(
    ("long_mm", "short_mm", "tenth", "whole"),
    [
        (6.0, 5.9, 6.0, 6.0),  # 5.95: halves round up
        (5.94, 5.94, 5.9, 6.0),
        (5.96, 5.86, 6.0, 6.0),  # axes 6.0 and 5.9, their mean 5.95
        (5.4, 5.4, 5.4, 5.0),
        (5.5, 5.5, 5.5, 6.0),
        (8.9, 8.0, 8.5, 8.0),  # 8.45: to a whole mm at once, not by way of 8.5
        (9.0, 8.0, 8.5, 9.0),
    ],
)
def test_means_by_lung_rads_and_by_fleischner(
    long_mm: float, short_mm: float, tenth: float, whole: float
) -> None:
    """0.1 mm for the one, a whole mm for the other."""
    size = Size(long_mm=long_mm, short_mm=short_mm)
    assert (size.mean_tenth_mm, size.mean_whole_mm) == (tenth, whole)


@given(tenths=st.integers(1, 1000))
def test_halves_round_up_whatever_binary_makes_of_them(tenths: int) -> None:
    """x.x5 → next tenth, x.5 → next whole."""
    assert to_tenth(tenths / 10 + 0.05) == pytest.approx((tenths + 1) / 10)
    assert to_whole(tenths + 0.5) == tenths + 1
    assert to_tenth(tenths / 10) == tenths / 10


@given(one=st.floats(0.1, 100), other=st.floats(0.1, 100))
def test_rounding_keeps_the_order(one: float, other: float) -> None:
    """A larger nodule is never rounded to a smaller size."""
    small, large = sorted((one, other))
    assert to_tenth(small) <= to_tenth(large)
    assert to_whole(small) <= to_whole(large)


def test_one_axis_is_no_mean() -> None:
    """The missing axis is not guessed."""
    size = Size(long_mm=8.0)
    assert (size.mean_mm, size.mean_tenth_mm, size.mean_whole_mm) == (None, None, None)


def test_a_volume_stands_for_a_sphere_only_to_compare_growth() -> None:
    """268 mm³ is a sphere of 8.0 mm; a measured diameter goes before."""
    assert Size(volume_mm3=268).equivalent_mm == 8.0
    assert Size(volume_mm3=268, long_mm=9, short_mm=9).equivalent_mm == 9.0
    assert Size().equivalent_mm is None


@pytest.mark.parametrize(
    "values",
    [
        {"long_mm": 0.0},
        {"long_mm": -3.0},
        {"volume_mm3": float("nan")},
        {"long_mm": float("inf")},
        {"long_mm": 5.0, "short_mm": 6.0},
    ],
)
def test_what_cannot_be_a_size_is_refused(values: dict[str, float]) -> None:
    """Zero is no size either."""
    with pytest.raises(ValueError, match=r"size|short_mm"):
        Size(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "mixed"},
        {"kind": "solid", "new": True, "prior": Prior(months=12)},
        {"kind": "solid", "malignancy_probability": 1.2},
    ],
)
def test_what_contradicts_itself_is_refused(values: dict[str, Any]) -> None:
    """Unknown kinds, a new nodule with a prior, a probability above 1."""
    with pytest.raises(ValueError, match=r"kind|prior|probability"):
        Nodule(**values)


@pytest.mark.parametrize("months", [0.0, -1.0, float("nan")])
def test_a_prior_lies_in_the_past(months: float) -> None:
    """Growth over no time means nothing."""
    with pytest.raises(ValueError, match="months"):
        Prior(months=months)
