"""Fleischner 2017: every row of its table, on both sides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.screening.rules.fleischner import fleischner, fleischner_risk
from gateway.screening.rules.fleischner_advice import ADVICE
from gateway.screening.rules.nodule import Nodule, Size


def mm(diameter: float | None) -> Size:
    return Size() if diameter is None else Size(long_mm=diameter, short_mm=diameter)


def nodule(
    kind: str | None, total: float | None, solid: float | None = None, **more: Any
) -> Nodule:
    return Nodule(kind=kind, size=mm(total), solid=mm(solid), **more)


def row(*nodules: Nodule, risk: str | None = "low") -> str | None:
    return fleischner(nodules, risk=risk).category


@pytest.mark.parametrize(
    ("diameter", "expected"),
    [
        (5.4, "under_6"),
        (5.5, "6_to_8"),  # 6 mm when rounded
        (8.4, "6_to_8"),
        (8.5, "over_8"),  # 9 mm when rounded
    ],
)
def test_single_solid(diameter: float, expected: str) -> None:
    """< 6, 6–8 and > 8 mm of whole millimetres."""
    assert row(nodule("solid", diameter)) == f"solid_single_{expected}"


@pytest.mark.parametrize(
    ("volume", "expected"),
    [(99.4, "under_6"), (100, "6_to_8"), (250.4, "6_to_8"), (251, "over_8")],
)
def test_single_solid_by_volume(volume: float, expected: str) -> None:
    """100 and 250 mm³, where no diameter was measured."""
    found = Nodule(kind="solid", size=Size(volume_mm3=volume))
    assert row(found) == f"solid_single_{expected}"


@pytest.mark.parametrize(
    ("kind", "total", "solid", "expected"),
    [
        ("ground_glass", 5.4, None, "ground_glass_single_under_6"),
        ("ground_glass", 5.5, None, "ground_glass_single_from_6"),
        ("part_solid", 5.4, 5, "part_solid_single_under_6"),
        ("part_solid", 5.5, 5.4, "part_solid_single_solid_under_6"),
        ("part_solid", 9, 5.5, "part_solid_single_solid_from_6"),
        ("part_solid", 9, None, "part_solid_single_from_6"),
    ],
)
def test_single_subsolid(kind: str, total: float, solid: float | None, expected: str) -> None:
    """6 mm in total, 6 mm of the solid part."""
    assert row(nodule(kind, total, solid)) == expected


def test_multiple() -> None:
    """The largest decides."""
    small, large = nodule("solid", 4), nodule("solid", 9)
    assert row(small, small) == "solid_multiple_under_6"
    assert row(small, large) == "solid_multiple_from_6"
    glass, part = nodule("ground_glass", 4), nodule("part_solid", 7, 3)
    assert row(glass, glass) == "subsolid_multiple_under_6"
    assert row(glass, part) == "subsolid_multiple_from_6"


@pytest.mark.parametrize(
    ("row", "low", "high"),
    [
        ("solid_single_under_6", None, (12, 12)),
        ("solid_single_6_to_8", (6, 12), (6, 12)),
        ("solid_single_over_8", (3, 3), (3, 3)),
        ("solid_multiple_under_6", None, (12, 12)),
        ("solid_multiple_from_6", (3, 6), (3, 6)),
        ("ground_glass_single_under_6", None, None),
        ("ground_glass_single_from_6", (6, 12), (6, 12)),
        ("part_solid_single_under_6", None, None),
        ("part_solid_single_solid_under_6", (3, 6), (3, 6)),
        ("part_solid_single_solid_from_6", (3, 6), (3, 6)),
        ("subsolid_multiple_under_6", (3, 6), (3, 6)),
        ("subsolid_multiple_from_6", (3, 6), (3, 6)),
    ],
)
def test_months_of_the_first_ct(
    row: str, low: tuple[float, float] | None, high: tuple[float, float] | None
) -> None:
    """As the table has them."""
    assert ADVICE[row]["low"].first_ct_months == low
    assert ADVICE[row]["high"].first_ct_months == high


def test_an_optional_ct_is_no_flag() -> None:
    """Only a follow-up that the table asks for is."""
    said = fleischner([nodule("solid", 4)], risk="high")
    assert said.advice is not None
    assert "optional" in said.advice.text.en
    assert not said.asks_for_action
    assert fleischner([nodule("solid", 6)], risk="low").asks_for_action


def test_the_earlier_ct_wins_between_solid_and_subsolid() -> None:
    """Each group is single or multiple for itself."""
    solid, glass = nodule("solid", 7), nodule("ground_glass", 7)
    assert row(glass, nodule("solid", 12)) == "solid_single_over_8"
    assert row(nodule("solid", 4), glass) == "ground_glass_single_from_6"
    assert row(solid, nodule("part_solid", 8, 7)) == "part_solid_single_solid_from_6"
    # An optional CT at 12 months never hides a CT that is asked for.
    assert row(nodule("solid", 4), glass, risk="high") == "ground_glass_single_from_6"


def test_an_unknown_risk_is_told_both_ways() -> None:
    """Named as missing only where the table needs it."""
    said = fleischner([nodule("solid", 4)], risk=None)
    assert said.missing == ("risk",)
    assert said.advice is not None
    assert "Low risk: No routine" in said.advice.text.en
    assert "高危:" in said.advice.text.zh
    assert not said.asks_for_action
    assert fleischner([nodule("solid", 9)], risk=None).missing == ()
    assert fleischner([nodule("solid", 7)], risk=None).asks_for_action


def test_benign_nodules_do_not_count() -> None:
    """Nor make another one multiple."""
    benign = nodule("solid", 20, benign_calcification=True)
    assert row(benign) == "no_nodule"
    assert row() == "no_nodule"
    assert row(benign, nodule("solid", 4)) == "solid_single_under_6"


def test_an_unplaced_nodule_leaves_a_follow_up_or_nothing() -> None:
    """Never "no routine follow-up"."""
    unclear = nodule("solid", None)
    said = fleischner([unclear], risk="low")
    assert (said.category, said.missing) == (None, ("diameter",))
    said = fleischner([nodule("ground_glass", 4), nodule(None, 5)], risk="low")
    assert (said.category, said.missing) == (None, ("kind",))
    assert row(nodule("solid", 9), nodule(None, 5)) == "solid_single_over_8"
    said = fleischner([nodule("airway_segmental", 5)], risk="low")
    assert (said.category, said.basis) == (None, "no_row")


def test_the_solid_part_is_missed_where_it_would_decide() -> None:
    """The first CT is the same either way, what follows is not."""
    assert fleischner([nodule("part_solid", 9)], risk="low").missing == ("solid_diameter",)


@pytest.mark.parametrize(
    ("changed", "risk"),
    [
        ({}, "low"),
        ({"smoked": True}, "high"),
        ({"upper_lobe": True, "smoked": None}, "high"),
        ({"family_history": None}, None),
    ],
)
def test_risk(changed: dict[str, bool | None], risk: str | None) -> None:
    """One factor suffices; low only when each is known to be absent."""
    factors: dict[str, bool | None] = {
        "smoked": False,
        "spiculated": False,
        "upper_lobe": False,
        "emphysema_or_fibrosis": False,
        "family_history": False,
    }
    assert fleischner_risk(**{**factors, **changed}) == risk


def test_another_risk_is_refused() -> None:
    """Low, high or not known."""
    with pytest.raises(ValueError, match="risk"):
        fleischner([], risk="medium")


KINDS = st.sampled_from(["solid", "part_solid", "ground_glass"])
NODULES = st.lists(st.tuples(KINDS, st.floats(1, 40), st.floats(1, 40)), max_size=4)


@given(found=NODULES, risk=st.sampled_from(["low", "high", None]))
def test_every_row_exists(found: list[tuple[str, float, float]], risk: str | None) -> None:
    """Whatever is found has a row with advice in both languages."""
    said = fleischner([nodule(*each) for each in found], risk=risk)
    assert said.category in ADVICE
    assert said.advice is not None


@given(found=NODULES.filter(bool), more=st.floats(0, 20))
def test_a_larger_nodule_never_ends_a_follow_up(
    found: list[tuple[str, float, float]], more: float
) -> None:
    """What asks for action still does when everything is larger."""
    now = fleischner([nodule(*each) for each in found], risk="low")
    then = fleischner([nodule(k, t + more, s + more) for k, t, s in found], risk="low")
    assert then.asks_for_action >= now.asks_for_action
