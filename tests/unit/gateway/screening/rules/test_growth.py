"""Growth by Lung-RADS v2022."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.growth import growth


@pytest.mark.parametrize(
    ("now", "before", "months", "says"),
    [
        (7.5, 6.0, 12, "stable"),  # 1.5 mm is not more than 1.5 mm
        (7.6, 6.0, 12, "growing"),
        (7.6, 6.0, 3, "growing"),
        (5.0, 6.0, 12, "stable"),
        (8.0, 6.0, 24, "slowly_growing"),
        (9.0, 6.0, 24, "slowly_growing"),
        (9.1, 6.0, 24, "growing"),
        (7.5, 6.0, 24, "stable"),
    ],
)
def test_more_than_1_5_mm_in_12_months(now: float, before: float, months: float, says: str) -> None:
    """On both sides, over a year and over more."""
    assert growth(now, before, months=months) == says


@given(
    before=st.integers(20, 300),
    less=st.integers(0, 100),
    more=st.integers(0, 100),
    months=st.floats(1, 60),
)
def test_a_larger_nodule_never_grew_less(before: int, less: int, more: int, months: float) -> None:
    """Growth is monotone in the size now."""
    order = ("stable", "slowly_growing", "growing")
    small = growth((before + less) / 10, before / 10, months=months)
    large = growth((before + less + more) / 10, before / 10, months=months)
    assert order.index(large) >= order.index(small)
