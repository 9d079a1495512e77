"""Which name a sum of calcium may have."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.screening.anatomy import Anatomy, Organ
from gateway.screening.rules import RULES
from gateway.screening.rules.rule import RuleInput, RuleOutput
from gateway.screening.series_facts import SeriesFacts

MEASURES: dict[str, float | None] = {
    "agatston": 339.0,
    "agatston_LAD": 300.0,
    "agatston_RCA": 39.0,
    "volume_mm3": 254.3,
    "vessels": 2,
    "increment_mm": 3.0,
    "noise_sd_hu": 12.0,
}

PLAQUE = {"id": 1, "kind": "LAD", "measures": {"agatston": 300.0}}


def said(*, gated: bool | None = None, kvp: float | None = 120.0, **measures: Any) -> RuleOutput:
    return RULES["cac_drs"](
        RuleInput(
            anatomy=Anatomy(),
            measures=MEASURES | measures,
            lesions=(PLAQUE,),
            series=SeriesFacts(series_instance_uid="1.2", kvp=kvp, gated=gated),
        )
    )


def test_a_gated_scan_of_120_kvp_and_3_mm_has_an_agatston_score() -> None:
    """And category A with its vessels; no estimate beside it."""
    out = said(gated=True)
    assert out.grade == "A3/N2"
    assert out.measures["agatston"] == 339.0
    assert out.measures["agatston_estimate"] is None
    assert out.measures["cac_level"] == 3
    assert out.lesions is None


@pytest.mark.parametrize("gated", [None, False])
def test_a_scan_without_gating_has_an_estimate_and_no_agatston_score(gated: bool | None) -> None:
    """Category V; what is not known to be gated is not."""
    out = said(gated=gated)
    assert out.grade == "V3/N2"
    assert out.measures["agatston"] is None
    assert out.measures["agatston_estimate"] == 339.0
    assert out.measures["agatston_LAD"] is None
    assert out.measures["agatston_estimate_LAD"] == 300.0
    assert out.lesions == [{"id": 1, "kind": "LAD", "measures": {"agatston_estimate": 300.0}}]


@pytest.mark.parametrize(
    "change",
    [{"kvp": 100.0}, {"kvp": None}, {"noise_sd_hu": 25.1}, {"noise_sd_hu": None}],
)
def test_a_scan_that_is_good_for_a_level_alone_has_no_number(change: dict[str, Any]) -> None:
    """Another voltage, or noise that passes 130 HU by itself: not even of an artery or a plaque."""
    out = said(**change)
    assert out.grade == "V3/N2"
    assert out.measures["cac_level"] == 3
    numbers = ("agatston", "agatston_estimate", "agatston_LAD", "agatston_RCA", "volume_mm3")
    assert [out.measures[name] for name in numbers] == [None] * 5
    assert out.lesions == [{"id": 1, "kind": "LAD", "measures": {}}]


def test_no_calcium_is_level_0_without_vessels() -> None:
    """A measured nothing, not a missing one."""
    out = said(agatston=0.0, vessels=0)
    assert out.grade == "V0"
    assert out.measures["cac_level"] == 0
    assert out.measures["agatston_estimate"] == 0.0


def test_without_a_sum_nothing_is_said() -> None:
    """The check is then indeterminate for want of its score."""
    out = said(agatston=None, vessels=None)
    assert out.grade is None
    assert out.measures["cac_level"] is None


def test_a_truncated_heart_without_calcium_has_no_category() -> None:
    """An artery outside the scan may be calcified: nobody is told of a very low risk."""
    anatomy = Anatomy(organs={"heart": Organ(name="heart", coverage="truncated")})
    measures = {**MEASURES, "agatston": 0.0, "vessels": 0}
    out = RULES["cac_drs"](RuleInput(anatomy=anatomy, measures=measures))
    assert out.grade is None
    assert not out.assessments
    assert out.measures["cac_level"] == 0


def test_an_aorta_that_was_left_out_measures_no_noise() -> None:
    """Then there is a level and no number."""
    out = RULES["cac_drs"](
        RuleInput(
            anatomy=Anatomy(),
            without={"aorta"},
            measures=MEASURES,
            series=SeriesFacts(kvp=120.0, gated=False),
        )
    )
    assert out.assessments[0].basis == "ordinal"
