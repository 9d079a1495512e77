"""What is said of a check beyond its thresholds: kind, advice of rules, doubts."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.screening.manifest import FollowUp, Grade, Manifest, Text
from gateway.screening.rules.assessment import Advice, Assessment
from gateway.screening.verdict import Verdict, judge
from tests.rule_check import rule_check

CANCER, CYST = (
    Grade(name="cancer", text=Text("Likely a cancer", "癌可能"), urgency="urgent"),
    Grade(name="cyst", text=Text("Likely a cyst", "囊肿可能"), urgency="note"),
)


def manifest(**changes: object) -> Manifest:
    """Give a check with a differential of two kinds, flagged from 17.4 and marked from 6.4."""
    given: dict[str, object] = {"classes": (CANCER, CYST), "indeterminate": (), "follow_up": ()}
    return dataclasses.replace(rule_check(), **(given | changes))  # type: ignore[arg-type]


def verdict(score: float, *, cancer: float = 0.8, **given: object) -> Verdict:
    measures = {"pdff_percent": score, "cancer": cancer, "cyst": 1 - cancer}
    return judge(manifest(), measures, **given)  # type: ignore[arg-type]


def advice(urgency: str) -> Assessment:
    return Assessment(
        rule="lung_rads_2022",
        category="4A",
        advice=Advice(urgency=urgency, text=Text("CT in 3 months", "3个月复查")),
    )


def test_the_likeliest_kind_is_told_where_something_is_shown() -> None:
    """A differential of a healthy organ would be made of nothing."""
    assert verdict(20.0).grade == "cancer"
    assert verdict(20.0).urgency == "urgent"
    assert verdict(10.0, cancer=0.1).grade == "cyst"
    assert verdict(10.0, cancer=0.1).urgency == "note"
    assert verdict(3.0).grade is None


def test_a_kind_that_the_rule_names_goes_before_the_likeliest() -> None:
    """With its own words; a category that is no class has none."""
    said = verdict(20.0, grade="cyst")
    assert said.grade == "cyst"
    assert "Likely a cyst" in said.text.en
    assert verdict(20.0, grade="4A").grade == "4A"


def test_the_most_urgent_advice_counts_and_all_of_it_is_told() -> None:
    """Whoever gives it."""
    said = verdict(3.0, assessments=[advice("note"), advice("follow_up")])
    assert (said.state, said.urgency) == ("negative", "follow_up")
    assert said.text.en.count("CT in 3 months") == 2


def test_a_further_sentence_of_the_rule_is_told() -> None:
    """In both languages."""
    said = verdict(3.0, texts=[Text("Not looked at", "未评估")])
    assert "Not looked at." in said.text.en
    assert "未评估。" in said.text.zh


@pytest.mark.parametrize(
    ("doubt", "flagged", "urgency"),
    [("orientation_conflict", ("pdff_percent",), "urgent"), ("kvp", (), "note")],
)
def test_a_doubt_about_the_place_does_not_make_it_less_urgent(
    doubt: str, flagged: tuple[str, ...], urgency: str
) -> None:
    """A tear of the aorta on an unknown side is one; fat at another voltage may be none."""
    follow_up = (
        FollowUp(state="positive", urgency="urgent", text=Text("Now", "立即")),
        FollowUp(state="indeterminate", urgency="note", text=Text("Later", "稍后")),
    )
    said = judge(
        manifest(follow_up=follow_up),
        {"pdff_percent": 20.0, "cancer": 0.8, "cyst": 0.2},
        doubt=doubt,
    )
    assert (said.state, said.reason) == ("indeterminate", doubt)
    assert (said.flagged_by, said.urgency) == (flagged, urgency)
    assert ("Now" in said.text.en) == bool(flagged)


def test_weights_that_missed_their_acceptance_never_say_negative() -> None:
    """What they flag is positive all the same: flags have a budget, misses have none."""

    def said(score: float, follow_up: tuple[FollowUp, ...] = (), **given: object) -> Verdict:
        kept = manifest(provenance={"accepted": False}, follow_up=follow_up)
        return judge(kept, {"pdff_percent": score}, **given)  # type: ignore[arg-type]

    assert (said(3.0).state, said(3.0).reason) == ("indeterminate", "weights_not_accepted")
    assert "may not say negative" in said(3.0).text.en
    doubted = FollowUp(state="indeterminate", text=Text("Scan again", "复查"), urgency="note")
    assert "Scan again" not in said(3.0, follow_up=(doubted,)).text.en
    assert said(20.0).state == "positive"
    assert said(3.0, truncated=True).reason == "truncated"
    assert verdict(3.0).state == "negative"
