"""What a radiologist sees in a terminal of 100 columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from gateway.commands.table import findings_table, plan_table
from gateway.commands.words import lesion_words, place_words, site_words

COLUMNS = 100


def lesion(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "kind": "solid_nodule",
        "score": 0.934,
        "category": "4A",
        "long_diameter_mm": 9.1,
        "short_diameter_mm": 7.4,
        "mean_diameter_mm": 8.2,
        "slice_index": 187,
        "site": "lung_left",
        "side": "left",
        "marked": True,
        "flagged": True,
        **changes,
    }


def check(name: str, state: str = "negative", **changes: Any) -> dict[str, Any]:
    return {
        "check": name,
        "state": state,
        "reason": None,
        "score": 0.01,
        "grade": None,
        "thresholds": {
            "score": "probability",
            "unit": "1",
            "marked_by": [],
            "flagged_by": ["probability"] if state == "positive" else [],
        },
        "urgency": "note",
        "lesions": [],
        "measures": {},
        "units": {},
        "text": {"en": f"Nothing over the threshold in {name}.", "zh": "未见超过阈值的异常。"},
        **changes,
    }


AORTA = check(
    "aorta",
    "positive",
    urgency="critical",
    score=0.973,
    lesions=[
        lesion(
            kind=None,
            site="aorta",
            side="left",
            category=None,
            long_diameter_mm=64.2,
            short_diameter_mm=22.0,
        )
    ],
    measures={"probability": 0.973, "volume_ml": 241.0, "median_hu": 42.0, "aorta_mm": 47.3},
    units={"probability": "1", "volume_ml": "mL", "median_hu": "[hnsf'U]", "aorta_mm": "mm"},
    text={
        "en": "An acute aortic syndrome is suspected: CT angiography of the whole aorta now; call "
        "the emergency department and vascular or cardiac surgery; control pulse and pressure.",
        "zh": "疑急性主动脉综合征：立即行全主动脉 CT 血管造影。",
    },
)

RESULT = {
    "study": {"study_instance_uid": "1.2.826.0.1.3680043.8.498.7" + "1" * 30},
    "checks": [
        AORTA,
        check(
            "nodule",
            "positive",
            urgency="follow_up",
            grade="4A",
            lesions=[lesion(number) for number in range(1, 7)] + [lesion(7, marked=False)],
        ),
        check("liver", grade="S0"),
        check("pancreas", "indeterminate", reason="truncated"),
        check("bone", "not_evaluated", reason="no_reference_weights", thresholds=None, score=None),
        check("chest", "failed", reason="model_unavailable", thresholds=None, score=None),
        check("mammography", "not_evaluated", reason="no_check_installed", thresholds=None),
    ],
    "plan": {
        "checks": [
            {
                "check": "aorta",
                "series_key": "1.2.3.4.55667788",
                "runner_up": "1.2.3.4.99887766",
                "recipe_digest": "a1b2c3d4" + "0" * 56,
                "reason": None,
                "doubt": None,
                "slab": [10, 120],
                "roi": [0, 110, 100, 300, 120, 260],
                "truncated": ["aorta"],
                "without": [],
                "after": [],
            },
            {
                "check": "pancreas",
                "series_key": "1.2.3.4.55667788",
                "runner_up": None,
                "recipe_digest": None,
                "reason": "organ_absent",
                "doubt": None,
                "slab": None,
                "roi": None,
                "truncated": [],
                "without": [],
                "after": [],
            },
        ]
    },
    "disclaimer": "Not for clinical use.",
}


def shown(renderable: Any) -> list[str]:
    console = Console(width=COLUMNS, file=io.StringIO())
    console.print(renderable)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


def test_everything_fits_into_the_columns() -> None:
    """Nothing is cut off by the terminal."""
    lines = shown(findings_table(RESULT))
    assert max(map(len, lines)) <= COLUMNS
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(
    "said",
    [
        "aorta, slice 188",
        "64 × 22 mm",
        "critical",
        "probability 0.973, flagged",
        "left lung, slice 188",
        "9.1 × 7.4 mm",
        "and 2 more",
        "follow up",
        "no reference weights",
        "no check installed",
        "CT angiography of the whole aorta now",
        "Slices count from 1",
        "Not for clinical use.",
    ],
)
def test_states_places_and_follow_ups_are_there(said: str) -> None:
    """In words."""
    text = " ".join(" ".join(shown(findings_table(RESULT))).replace("│", " ").split())
    assert said in text


def test_a_lesion_that_is_not_marked_is_not_shown() -> None:
    """It is kept for calibration."""
    hidden = {**RESULT, "checks": [check("nodule", lesions=[lesion(marked=False)])]}
    text = "\n".join(shown(findings_table(hidden)))
    assert "slice" not in text
    assert "Slices" not in text


def test_the_texts_are_in_the_language_that_was_asked_for() -> None:
    """Chinese on request."""
    assert "立即行全主动脉" in "\n".join(shown(findings_table(RESULT, language="zh")))


def test_the_plan_says_what_each_check_was_given() -> None:
    """Series, runner-up, slices from 1, box, recipe, and the decision."""
    lines = shown(plan_table(RESULT))
    assert max(map(len, lines)) <= COLUMNS
    text = "\n".join(lines)
    for said in ("…55667788", "…99887766", "11 to 120", "200 × 140", "a1b2c3d4", "organ absent"):
        assert said in text


@pytest.mark.parametrize(
    ("site", "side", "said"),
    [
        ("lung_left", "left", "left lung"),
        ("kidney_right", "right", "right kidney"),
        ("other_bone", "left", "bone, left"),
        ("vertebrae", "midline", "spine"),
        ("liver", "right", "liver"),
        (None, "left", "left"),
        (None, None, "place unknown"),
    ],
)
def test_a_place_reads_as_a_report_says_it(site: str | None, side: str | None, said: str) -> None:
    """Not as a label of a network."""
    assert site_words(site, side) == said


def test_a_lesion_without_outline_has_an_approximate_size() -> None:
    """The network's estimate is not told to a tenth."""
    one = lesion(long_diameter_mm=None, short_diameter_mm=None, category=None)
    assert lesion_words(one) == "solid nodule, about 8 mm, 0.93"
    assert place_words(one) == "left lung, slice 188"
