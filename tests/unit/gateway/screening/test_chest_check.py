"""The chest with its own manifest: from labels and tiles to words."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from gateway.screening.anatomy import Anatomy, Organ
from gateway.screening.answer import Seen, answer
from gateway.screening.findings import CheckResult
from gateway.screening.plan import Step
from gateway.screening.series_facts import SeriesFacts
from gateway.screening.subject import Subject
from gateway.settings import ROOT
from gateway.triton.shared_memory import SharedVolume
from tests.accepted import accepted

CHECK = accepted(ROOT / "model_repository" / "chest" / "pipeline.toml", mark=0.5, flag=0.9)

LABELS = [grade.name for grade in CHECK.classes]

ORGANS = ("lung_right", "lung_left", "liver", "gallbladder", "kidney_right", "kidney_left")


def told(
    *, truncated: bool = False, results: dict[str, CheckResult] | None = None, **chances: Any
) -> CheckResult:
    """Apply rule, thresholds and words to a scan on which every other label is at 0.001."""
    measures = dict.fromkeys(LABELS, 0.001) | chances
    subject = Subject(
        volume=cast(SharedVolume, None),  # no rule looks at pixels
        affine=np.eye(4),
        anatomy=Anatomy(organs={name: Organ(name=name, coverage="complete") for name in ORGANS}),
        facts=SeriesFacts(),
        provenance=lambda manifest: {},
    )
    step = Step(check="chest", latency_class="routine", truncated=("lung_left",) * truncated)
    seen = Seen(
        measures=measures,
        lesions=tuple({"id": n, "kind": name} for n, name in enumerate(LABELS, start=1)),
        memory_bank="ab12",
    )
    return answer(CHECK, step, subject, seen, results or {})


def test_nothing_over_a_threshold_is_negative_and_says_what_was_not_evaluated() -> None:
    """No tile is listed; labels that nobody answered are named, in both languages."""
    result = told(air_trapping=None)
    assert (result.state, result.grade, result.lesions) == ("negative", None, ())
    assert not result.shows_something
    assert "which does not mean absent" in result.text["en"]
    assert "Air trapping" in result.text["en"]
    assert "空气潴留" in result.text["zh"]


def test_a_label_over_its_flag_is_positive_and_names_the_result() -> None:
    """Its tile is the only one that is listed; the bank is in the provenance."""
    result = told(mass=0.99)
    assert (result.state, result.grade, result.urgency) == ("positive", "mass", "follow_up")
    assert [lesion["kind"] for lesion in result.lesions] == ["mass"]
    assert "Lung mass" in result.text["en"]
    assert result.provenance["memory_bank"] == "ab12"
    assert result.thresholds is not None
    assert result.thresholds["flagged_by"] == ["flag_excess"]


def test_a_label_over_its_mark_alone_is_shown_and_asks_for_nothing() -> None:
    """Marked, negative."""
    result = told(cavity=0.7)
    assert (result.state, result.grade) == ("negative", "cavity")
    assert result.thresholds is not None
    assert result.thresholds["marked_by"] == ["any_label"]
    assert [(one["marked"], one["flagged"]) for one in result.lesions] == [(True, False)]


def test_a_pneumothorax_is_urgent() -> None:
    """Though something else is farther over its threshold."""
    assert told(pneumothorax=0.95, mass=0.999).urgency == "urgent"


@pytest.mark.parametrize(("chance", "state"), [(0.001, "indeterminate"), (0.99, "positive")])
def test_lungs_in_part_may_be_positive_never_negative(chance: float, state: str) -> None:
    """What was not seen may hold a finding."""
    assert told(truncated=True, mass=chance).state == state


def test_a_flag_of_another_check_does_not_flag_this_one() -> None:
    """It is told as that check's; the tiles' own opinion of it is not."""
    aorta = CheckResult(check="aorta", state="positive")
    result = told(results={"aorta": aorta}, acute_aortic_syndrome=0.999)
    assert result.state == "negative"
    assert "Found by other checks: Suspected acute aortic syndrome." in result.text["en"]
    assert result.measures["acute_aortic_syndrome"] is None


def test_a_scan_of_which_nothing_is_told_is_not_negative() -> None:
    """Every label unknown."""
    result = told(**dict.fromkeys(LABELS))
    assert (result.state, result.reason) == ("indeterminate", "too_little_tissue")
