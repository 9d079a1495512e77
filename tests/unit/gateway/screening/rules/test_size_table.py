"""Size tables: limits belong above; no two guidelines share one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules import c_lung_rads, fleischner, lung_rads_nodule
from gateway.screening.rules.nodule import to_tenth, to_whole
from gateway.screening.rules.size_table import SizeTable

TABLE = SizeTable(limits_mm=(6, 8), limits_mm3=(100, 250), rows=("a", "b", "c"))

SPHERES = (
    lung_rads_nodule.SOLID,
    lung_rads_nodule.SOLID_NEW,
    lung_rads_nodule.SOLID_GROWING,
    lung_rads_nodule.PART_SOLID_TOTAL,
    lung_rads_nodule.PART_SOLID_SOLID,
    lung_rads_nodule.PART_SOLID_SOLID_CHANGED,
    lung_rads_nodule.GROUND_GLASS,
    lung_rads_nodule.JUXTAPLEURAL,
)


@pytest.mark.parametrize(
    ("diameter", "volume", "row"),
    [
        (5.9, None, "a"),
        (6.0, None, "b"),
        (8.0, None, "c"),
        (None, 99, "a"),
        (None, 100, "b"),
        (None, 250, "c"),
        (5.9, 250, "a"),
        (None, None, None),
    ],
)
def test_rows(diameter: float | None, volume: float | None, row: str | None) -> None:
    """A size on a limit belongs above; the diameter decides where both are known."""
    assert TABLE.row(diameter, volume) == row


def test_a_table_without_volumes_does_not_read_them() -> None:
    """C-Lung-RADS has none."""
    assert c_lung_rads.SOLID.row(None, 500) is None


@pytest.mark.parametrize("table", SPHERES)
@given(tenths=st.integers(20, 400))
def test_volumes_of_lung_rads_are_spheres(table: SizeTable, tenths: int) -> None:
    """For spheres, mm and mm³ of Lung-RADS give the same row."""
    diameter = to_tenth(tenths / 10)
    volume = to_whole(math.pi / 6 * diameter**3)
    assert table.row(diameter) == table.row(None, volume)


def test_fleischner_volumes_are_not_those_of_lung_rads() -> None:
    """100 and 250 mm³ against 113 and 268: 110 mm³ is small for one only."""
    assert fleischner.SOLID.row(None, 110) == "6_to_8"
    assert lung_rads_nodule.SOLID.row(None, 110) == "2"
    assert fleischner.SOLID.limits_mm3 != lung_rads_nodule.SOLID.limits_mm3[:2]


@pytest.mark.parametrize(
    "values",
    [
        {"limits_mm": (6, 8), "rows": ("a", "b")},
        {"limits_mm": (8, 6), "rows": ("a", "b", "c")},
        {"limits_mm": (6, 8), "limits_mm3": (100,), "rows": ("a", "b", "c")},
    ],
)
def test_a_table_that_is_none_is_refused(values: dict[str, tuple[float, ...]]) -> None:
    """Rising limits, and one row more than limits."""
    with pytest.raises(ValueError, match="size table"):
        SizeTable(**values)  # type: ignore[arg-type]
