"""Lung-RADS v2022: every row of the table, on both sides of its limits."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.lung_rads import lung_rads
from gateway.screening.rules.lung_rads_advice import ADVICE, INCOMPLETE
from gateway.screening.rules.lung_rads_nodule import CATEGORIES, lung_rads_nodule, rank
from gateway.screening.rules.nodule import Nodule, Prior, Size


def mm(diameter: float | None) -> Size:
    return Size() if diameter is None else Size(long_mm=diameter, short_mm=diameter)


def nodule(
    kind: str | None, total: float | None, solid: float | None = None, **more: Any
) -> Nodule:
    return Nodule(kind=kind, size=mm(total), solid=mm(solid), **more)


def prior(
    total: float | None,
    solid: float | None = None,
    *,
    months: float = 12,
    kind: str | None = None,
    category: str | None = None,
) -> Prior:
    return Prior(months=months, kind=kind, size=mm(total), solid=mm(solid), category=category)


def category(*given: Any, **more: Any) -> str | None:
    return lung_rads_nodule(nodule(*given, **more)).category


# --- baseline


@pytest.mark.parametrize(
    ("diameter", "expected"),
    [(5.9, "2"), (6, "3"), (7.9, "3"), (8, "4A"), (14.9, "4A"), (15, "4B"), (40, "4B")],
)
def test_solid_at_baseline(diameter: float, expected: str) -> None:
    """6, 8 and 15 mm."""
    assert category("solid", diameter) == expected


@pytest.mark.parametrize(
    ("volume", "expected"),
    [(112, "2"), (113, "3"), (267, "3"), (268, "4A"), (1766, "4A"), (1767, "4B")],
)
def test_solid_by_volume(volume: float, expected: str) -> None:
    """113, 268 and 1,767 mm³, where no diameter was measured."""
    said = lung_rads_nodule(Nodule(kind="solid", size=Size(volume_mm3=volume)))
    assert said.category == expected


@pytest.mark.parametrize(
    ("total", "solid", "expected"),
    [
        (5.9, None, "2"),  # below 6 mm in total the solid part does not matter
        (6, 5.9, "3"),
        (6, 6, "4A"),
        (20, 7.9, "4A"),
        (20, 8, "4B"),
        (6, None, None),
    ],
)
def test_part_solid_at_baseline(total: float, solid: float | None, expected: str | None) -> None:
    """6 mm in total, then 6 and 8 mm of the solid part."""
    assert category("part_solid", total, solid) == expected


@pytest.mark.parametrize(("diameter", "expected"), [(29.9, "2"), (30, "3"), (60, "3")])
def test_ground_glass_at_baseline(diameter: float, expected: str) -> None:
    """30 mm."""
    assert category("ground_glass", diameter) == expected


@pytest.mark.parametrize("sign", ["benign_calcification", "fat"])
def test_benign_signs_are_category_1(sign: str) -> None:
    """Whatever the size, even when that is not known."""
    assert category("solid", 20, **{sign: True}) == "1"
    assert category(None, None, **{sign: True}) == "1"


@pytest.mark.parametrize(("diameter", "expected"), [(9.9, "2"), (10, "4A")])
def test_juxtapleural(diameter: float, expected: str) -> None:
    """Solid, smooth and oval at the pleura: category 2 below 10 mm, at baseline and new."""
    assert category("solid", diameter, juxtapleural=True) == expected
    assert category("solid", 9.9, juxtapleural=True, new=True) == "2"
    assert category("ground_glass", 30, juxtapleural=True) == "3"


# --- new


@pytest.mark.parametrize(
    ("diameter", "expected"),
    [(3.9, "2"), (4, "3"), (5.9, "3"), (6, "4A"), (7.9, "4A"), (8, "4B")],
)
def test_new_solid(diameter: float, expected: str) -> None:
    """4, 6 and 8 mm."""
    assert category("solid", diameter, new=True) == expected


@pytest.mark.parametrize(
    ("total", "solid", "expected"),
    [
        (5.9, 3.9, "3"),
        (5.9, 4, "4B"),
        (5.9, None, "3"),
        (6, 3.9, "4A"),
        (6, 4, "4B"),
        (6, None, None),
    ],
)
def test_new_part_solid(total: float, solid: float | None, expected: str | None) -> None:
    """6 mm in total, 4 mm of the solid part."""
    assert category("part_solid", total, solid, new=True) == expected


@pytest.mark.parametrize(("diameter", "expected"), [(29.9, "2"), (30, "3")])
def test_new_ground_glass(diameter: float, expected: str) -> None:
    """As at baseline."""
    assert category("ground_glass", diameter, new=True) == expected


# --- growing


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [(5.6, 4.0, "4A"), (7.9, 6.0, "4A"), (8.0, 6.0, "4B"), (20.0, 10.0, "4B")],
)
def test_growing_solid(now: float, before: float, expected: str) -> None:
    """8 mm."""
    assert category("solid", now, prior=prior(before, category="2")) == expected


@pytest.mark.parametrize(
    ("solid", "before", "expected"),
    [(3.9, 2.0, "4A"), (4.0, 2.0, "4B"), (5.9, 4.5, "3")],  # the last grew by 1.4 mm only
)
def test_growing_solid_part(solid: float, before: float, expected: str) -> None:
    """4 mm of the solid part."""
    then = prior(12, before, category="3", months=3)
    assert category("part_solid", 12, solid, prior=then) == expected


def test_a_solid_part_in_what_was_ground_glass_is_new() -> None:
    """Even where the whole did not grow."""
    then = prior(12, kind="ground_glass", category="2")
    assert category("part_solid", 12, 3.9, prior=then) == "4A"
    assert category("part_solid", 12, 4, prior=then) == "4B"
    assert category("part_solid", 12, None, prior=then) is None


def test_what_became_solid_grew() -> None:
    """Ground-glass or part-solid before."""
    assert category("solid", 7, prior=prior(7, kind="part_solid", category="2")) == "4A"
    assert category("solid", 9, prior=prior(9, kind="ground_glass", category="2")) == "4B"


def test_a_part_solid_nodule_that_grew_without_its_solid_part_is_at_least_3() -> None:
    """The table has no row for it; category 2 is for baseline."""
    assert category("part_solid", 5.9, 2, prior=prior(4, 2, category="2")) == "3"
    assert category("part_solid", 14, 6.5, prior=prior(12, 6.5, category="4A")) == "4A"


@pytest.mark.parametrize(
    ("now", "before", "expected"), [(20, 10, "2"), (31, 20, "3"), (31, 30.5, "2")]
)
def test_ground_glass_with_a_prior(now: float, before: float, expected: str) -> None:
    """Below 30 mm it may grow; from there on it is 2 only while it hardly does."""
    assert category("ground_glass", now, prior=prior(before)) == expected


def test_slow_growth_of_what_has_a_solid_part_is_4b() -> None:
    """Stated after several exams, or seen over two years; ground-glass stays 2."""
    assert category("solid", 5, slowly_growing=True) == "4B"
    assert category("solid", 8, prior=prior(6, months=24, category="2")) == "4B"
    then = prior(12, 3, months=24, category="3")
    assert category("part_solid", 12, 5, prior=then) == "4B"
    assert category("ground_glass", 31, slowly_growing=True) == "2"
    assert category("ground_glass", 33, prior=prior(31, months=24)) == "2"


# --- stable


@pytest.mark.parametrize(
    ("before", "months", "expected"),
    [
        ("3", 6, "2"),
        ("3", 5.5, "2"),  # half a month of grace
        ("3", 5.4, "3"),
        ("4A", 3, "3"),
        ("4A", 2.4, "4A"),
        ("4B", 12, "4B"),  # only a workup proves it benign
        ("4X", 12, "4X"),
        ("2", 12, "2"),
    ],
)
def test_a_stable_nodule_steps_down(before: str, months: float, expected: str) -> None:
    """3 after 6 months, 4A after 3 months, one step each."""
    then = prior(10, months=months, category=before)
    assert category("solid", 10, prior=then) == expected
    part = prior(10, 6.5, months=months, category=before)
    assert category("part_solid", 10, 6.5, prior=part) == expected


def test_a_smaller_nodule_is_stable() -> None:
    """Decreased counts as stable."""
    assert category("solid", 6, prior=prior(10, months=6, category="3")) == "2"


def test_crossing_a_size_limit_counts_though_it_is_no_growth() -> None:
    """From 5.5 to 6.5 mm is less than 1.5 mm and yet a higher row."""
    assert category("solid", 6.5, prior=prior(5.5, category="2")) == "3"
    assert category("solid", 6.5, prior=prior(6.2, category="2")) == "2"


def test_a_prior_of_unknown_category_leaves_the_size() -> None:
    """Named as missing where it would have stepped down."""
    said = lung_rads_nodule(nodule("solid", 7, prior=prior(7)))
    assert (said.category, said.basis, said.missing) == ("3", "stable", ("prior.category",))
    assert lung_rads_nodule(nodule("solid", 5, prior=prior(5))).missing == ()
    assert category("solid", 7, prior=prior(7, category="0")) == "3"


def test_a_prior_of_unknown_size_may_be_positive_never_negative() -> None:
    """Whether it grew cannot be told."""
    said = lung_rads_nodule(nodule("solid", 5, prior=prior(None, category="2")))
    assert (said.category, said.missing) == (None, ("prior.diameter",))
    assert category("solid", 7, prior=prior(None, category="2")) == "3"
    said = lung_rads_nodule(nodule("part_solid", 5, 2, prior=prior(5, None, category="2")))
    assert (said.category, said.missing) == (None, ("prior.solid_diameter",))


# --- signs, airways, cysts


@pytest.mark.parametrize(("diameter", "expected"), [(5, "2"), (6, "4X"), (8, "4X"), (15, "4X")])
def test_suspicious_signs_make_3_and_4_4x(diameter: float, expected: str) -> None:
    """Not category 2."""
    assert category("solid", diameter, suspicious=True) == expected


def test_airway_nodules() -> None:
    """Segmental: 4A, then 4B when it persists. Subsegmental: 2; growing has no row."""
    assert category("airway_segmental", None) == "4A"
    assert category("airway_segmental", None, new=True) == "4A"
    assert category("airway_segmental", 5, prior=prior(5, months=3, category="4A")) == "4B"
    assert category("airway_subsegmental", None) == "2"
    assert category("airway_subsegmental", 5, prior=prior(5, category="2")) == "2"
    said = lung_rads_nodule(nodule("airway_subsegmental", 8, prior=prior(5, category="2")))
    assert (said.category, said.basis) == (None, "no_row")


def test_cysts() -> None:
    """4A, 4B for growing walls, locules or multilocular ones, 3 for a growing lumen."""
    assert category("cyst_thick_walled", 12) == "4A"
    assert category("cyst_multilocular", 12) == "4A"
    thick = prior(12, kind="cyst_thick_walled", category="4A", months=3)
    many = prior(12, kind="cyst_multilocular", category="4A", months=3)
    assert category("cyst_thick_walled", 14, prior=thick) == "3"
    assert category("cyst_thick_walled", 12, prior=thick) == "3"  # stable: one step down
    assert category("cyst_thick_walled", 12, prior=thick, wall_growing=True) == "4B"
    assert category("cyst_multilocular", 14, prior=many) == "4B"
    assert category("cyst_multilocular", 12, prior=many, denser_or_more_locules=True) == "4B"
    assert category("cyst_multilocular", 12, prior=thick) == "4A"  # became multilocular
    assert category("cyst_multilocular", None, prior=many) == "4A"


# --- what is not known


def test_unknown_is_unknown() -> None:
    """Neither kind nor size is guessed."""
    assert lung_rads_nodule(nodule(None, 20)).missing == ("kind",)
    assert lung_rads_nodule(nodule("solid", None)).missing == ("diameter",)
    assert lung_rads_nodule(nodule("part_solid", 20)).missing == ("solid_diameter",)


@given(
    kind=st.sampled_from(["solid", "ground_glass"]),
    new=st.booleans(),
    small=st.floats(1, 60),
    more=st.floats(0, 60),
)
def test_a_larger_nodule_is_never_less_suspicious(
    kind: str, new: bool, small: float, more: float
) -> None:
    """At baseline and new."""
    before = category(kind, small, new=new)
    assert rank(category(kind, small + more, new=new)) >= rank(before)


@given(total=st.floats(6, 60), solid=st.floats(1, 60), more=st.floats(0, 60), new=st.booleans())
def test_a_larger_solid_part_is_never_less_suspicious(
    total: float, solid: float, more: float, new: bool
) -> None:
    """At baseline and new."""
    before = category("part_solid", total, solid, new=new)
    assert rank(category("part_solid", total, solid + more, new=new)) >= rank(before)


# --- the exam


def test_the_most_suspicious_nodule_decides() -> None:
    """In whatever order; none is category 1."""
    found = [nodule("solid", 5), nodule("part_solid", 12, 8), nodule("ground_glass", 31)]
    assert lung_rads(found).category == "4B"
    assert lung_rads(found[::-1]).advice == ADVICE["4B"]
    assert (lung_rads([]).category, lung_rads([]).basis) == ("1", "no_nodule")


def test_an_unplaced_nodule_leaves_positive_or_nothing() -> None:
    """Never category 1 or 2."""
    unclear = nodule("solid", None)
    said = lung_rads([nodule("solid", 5), unclear])
    assert (said.category, said.missing) == (None, ("diameter",))
    assert lung_rads([unclear]).category is None
    said = lung_rads([nodule("solid", 7), unclear])
    assert (said.category, said.missing) == ("3", ("diameter",))


def test_incomplete_exams_are_category_0() -> None:
    """What is seen in an incomplete lung still counts when it is positive."""
    suspicious = [nodule("solid", 9)]
    for why in INCOMPLETE:
        assert lung_rads([], incomplete=why).category == "0"
        assert lung_rads([], incomplete=why).advice == INCOMPLETE[why]
    assert lung_rads(suspicious, incomplete="lungs_incomplete").category == "4A"
    assert lung_rads(suspicious, incomplete="prior_awaited").category == "0"
    assert lung_rads(suspicious, incomplete="inflammatory").category == "0"
    with pytest.raises(ValueError, match="incomplete"):
        lung_rads([], incomplete="tired")


def test_only_3_and_4_ask_for_action() -> None:
    """They are what counts against the budget of false flags."""
    assert tuple(ADVICE) == CATEGORIES
    asking = [name for name, advice in ADVICE.items() if advice.asks_for_action]
    assert asking == ["3", "4A", "4B", "4X"]
    assert not any(advice.asks_for_action for advice in INCOMPLETE.values())
