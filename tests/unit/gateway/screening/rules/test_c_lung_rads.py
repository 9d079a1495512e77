"""C-Lung-RADS: every row of its table, on both sides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.c_lung_rads import ADVICE, CATEGORIES, c_lung_rads, c_lung_rads_nodule
from gateway.screening.rules.nodule import Nodule, Size


def mm(diameter: float | None) -> Size:
    return Size() if diameter is None else Size(long_mm=diameter, short_mm=diameter)


def nodule(
    kind: str | None,
    total: float | None,
    solid: float | None = None,
    p: float | None = 0.1,
    **more: Any,
) -> Nodule:
    return Nodule(kind=kind, size=mm(total), solid=mm(solid), malignancy_probability=p, **more)


@pytest.mark.parametrize(
    ("kind", "total", "solid", "category"),
    [
        ("solid", 5.9, None, "1"),
        ("solid", 6, None, "2"),
        ("solid", 9.9, None, "2"),
        ("solid", 10, None, "3"),
        ("solid", 17.9, None, "3"),
        ("solid", 18, None, "4"),
        ("ground_glass", 5.9, None, "1"),
        ("ground_glass", 6, None, "2"),
        ("ground_glass", 19.9, None, "2"),
        ("ground_glass", 20, None, "3"),
        ("ground_glass", 90, None, "3"),
        ("part_solid", 5.9, None, "1"),
        ("part_solid", 6, 5.9, "2"),
        ("part_solid", 12, 6, "3"),
        ("part_solid", 12, 9.9, "3"),
        ("part_solid", 12, 10, "4"),
    ],
)
def test_the_table(kind: str, total: float, solid: float | None, category: str) -> None:
    """Sizes on both sides of each limit."""
    assert c_lung_rads_nodule(nodule(kind, total, solid)).category == category


@pytest.mark.parametrize(
    ("diameter", "p", "category"),
    [(7, 0.49, "2"), (7, 0.5, "4"), (12, 0.5, "4"), (5, 0.99, "1"), (20, 0.0, "4")],
)
def test_the_model_raises_2_and_3(diameter: float, p: float, category: str) -> None:
    """From a probability of 0.5 on; category 1 is left alone."""
    assert c_lung_rads_nodule(nodule("solid", diameter, p=p)).category == category


def test_an_unknown_probability_is_named_where_it_matters() -> None:
    """The category stands, and might be 4."""
    said = c_lung_rads_nodule(nodule("solid", 7, p=None))
    assert (said.category, said.missing) == ("2", ("malignancy_probability",))
    assert c_lung_rads_nodule(nodule("solid", 5, p=None)).missing == ()


def test_calcification_is_category_0_fat_is_not_in_the_table() -> None:
    """And a fat-containing nodule is placed by its size."""
    assert c_lung_rads_nodule(nodule("solid", 20, benign_calcification=True)).category == "0"
    assert c_lung_rads_nodule(nodule("solid", 20, fat=True)).category == "4"


def test_unknown_is_unknown() -> None:
    """Neither kind nor size is guessed; airways and cysts have no row."""
    assert c_lung_rads_nodule(nodule(None, 20)).missing == ("kind",)
    assert c_lung_rads_nodule(nodule("solid", None)).missing == ("diameter",)
    assert c_lung_rads_nodule(nodule("part_solid", 20)).missing == ("solid_diameter",)
    assert c_lung_rads_nodule(nodule("airway_segmental", 20)).basis == "no_row"


def test_the_riskiest_nodule_decides() -> None:
    """No nodule is category 0; an unplaced one leaves 2 or more, or nothing."""
    assert c_lung_rads([]).category == "0"
    assert c_lung_rads([nodule("solid", 5), nodule("ground_glass", 25)]).category == "3"
    said = c_lung_rads([nodule("solid", 5), nodule("solid", None)])
    assert (said.category, said.missing) == (None, ("diameter",))
    assert c_lung_rads([nodule("solid", 8), nodule("solid", None)]).category == "2"


@given(kind=st.sampled_from(["solid", "ground_glass"]), one=st.floats(1, 60), more=st.floats(0, 60))
def test_a_larger_nodule_is_never_less_risky(kind: str, one: float, more: float) -> None:
    """The category is monotone in the size."""
    before = c_lung_rads_nodule(nodule(kind, one)).category
    after = c_lung_rads_nodule(nodule(kind, one + more)).category
    assert before is not None
    assert after is not None
    assert after >= before


def test_every_category_has_its_advice() -> None:
    """2 and more ask for action."""
    assert tuple(ADVICE) == CATEGORIES
    assert [c for c in CATEGORIES if ADVICE[c].asks_for_action] == ["2", "3", "4"]
