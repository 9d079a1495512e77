"""Flag thresholds move to the budget, and no further than the negatives can say."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway.exceptions import UsageError
from gateway.screening.calibration import (
    POOLED,
    CheckFlags,
    Flag,
    Score,
    calibrate,
    split_budget,
    wilson_upper,
)
from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT
from tests.rule_check import rule_check


def check(name: str = "bone", *, share: float | None = 0.01, **flag: Any) -> Manifest:
    manifest = dataclasses.replace(rule_check(), name=name)
    assert manifest.thresholds is not None
    thresholds = dataclasses.replace(
        manifest.thresholds,
        id=f"{name}-0",
        flag=dataclasses.replace(
            manifest.thresholds.flag,
            **{"value": 0.6, "also": (), "false_flag_budget": share, **flag},
        ),
    )
    return dataclasses.replace(manifest, thresholds=thresholds)


def scores(
    values: list[float], *, name: str = "bone", model: str = "A", **given: Any
) -> list[Score]:
    return [
        Score(study=f"{model}{index}", check=name, scanner_model=model, score=value, **given)
        for index, value in enumerate(values)
    ]


def spread(count: int, highest: float) -> list[float]:
    """Give scores evenly from 0 up to and with the highest."""
    return [highest * (index + 1) / count for index in range(count)]


def one(found: Any) -> tuple[Flag, ...]:
    [flags] = found.checks
    assert isinstance(flags, CheckFlags)
    return flags.flags


def test_too_many_flags_raise_the_threshold_just_over_the_first_that_has_no_room() -> None:
    """Of 300 negatives at 1 % three may be flagged; ten are."""
    values = [0.01] * 290 + [0.61 + 0.01 * n for n in range(10)]
    [flag] = [
        f for f in one(calibrate({"bone": check()}, scores(values))) if f.scanner_model == "A"
    ]
    assert flag.value == pytest.approx(0.6701)  # 0.68, 0.69 and 0.70 are left
    assert (flag.flagged_before, flag.flagged, flag.change) == (10, 3, "raised")


def test_few_negatives_never_lower_a_threshold() -> None:
    """Three allowed flags say nothing of a share of 1 %."""
    [flag, _] = one(calibrate({"bone": check()}, scores(spread(300, 0.4))))
    assert (flag.value, flag.change) == (0.6, "kept")


def test_many_negatives_lower_it_to_the_budget() -> None:
    """Ten of 1,000 may be flagged, so ten are."""
    [flag, pooled] = one(calibrate({"bone": check()}, scores(spread(1000, 0.4))))
    assert flag.change == "lowered"
    assert flag.flagged == 10
    assert flag.value == pytest.approx(0.3961, abs=1e-4)
    assert flag.upper_bound == pytest.approx(0.0183, abs=1e-4)
    assert pooled.scanner_model == POOLED


def test_a_scanner_model_with_few_negatives_shares_the_threshold_of_all() -> None:
    """Its own would be made of noise."""
    given = [*scores(spread(400, 0.9), model="A"), *scores(spread(50, 0.2), model="B")]
    flags = one(calibrate({"bone": check()}, given))
    assert [flag.scanner_model for flag in flags] == ["A", POOLED]
    assert flags[1].negatives == 450
    found = calibrate({"bone": check()}, given).checks[0]
    assert found.value_for("A") == flags[0].value
    assert found.value_for("B") == flags[1].value


def test_flags_of_rules_use_up_the_share_first() -> None:
    """Two of three are a rule's; one is left for the score."""
    given = [
        *scores([0.01] * 290),
        *scores([0.7, 0.8, 0.9], model="A"),
        *scores([0.02, 0.02], model="A", flagged_by_rule=True),
    ]
    given = [dataclasses.replace(s, study=str(n)) for n, s in enumerate(given)]
    flag = one(calibrate({"bone": check(share=0.0102)}, given))[0]
    assert flag.flagged == 3
    assert flag.value == pytest.approx(0.8001)


def test_rules_that_alone_flag_too_many_are_told_of() -> None:
    """No threshold of the score can help, so it is not moved."""
    given = [*scores([0.01] * 290), *scores([0.02] * 10, flagged_by_rule=True)]
    flag = one(calibrate({"bone": check()}, given))[0]
    assert (flag.value, flag.change, flag.flagged) == (0.6, "over_budget", 10)


def test_a_threshold_that_flags_low_scores_moves_downwards() -> None:
    """As one on the liver's HU would."""
    values = [0.9] * 290 + [0.1 + 0.01 * n for n in range(10)]
    flag = one(calibrate({"bone": check(at="less_or_equal", value=0.5)}, scores(values)))[0]
    assert flag.value == pytest.approx(0.1299)
    assert (flag.flagged, flag.change) == (3, "raised")


def test_the_budget_of_a_study_is_split_as_the_manifests_say() -> None:
    """Half the budget, half of each share; calcium has none."""
    shipped = load_manifests(ROOT / "model_repository")
    split = split_budget(shipped, 0.05)
    assert sum(split.values()) <= 0.05 + 1e-9
    assert "calcium" not in split
    assert split["aorta"] == pytest.approx(0.002)
    assert split_budget(shipped, 0.025)["aorta"] == pytest.approx(0.001)


def test_studies_are_counted_once_whatever_flags_them() -> None:
    """And a measurement flags none."""
    manifests = {
        name: check(name, share=share)
        for name, share in (("bone", 0.01), ("nodule", 0.01), ("calcium", None))
    }
    given = [score for name in manifests for score in scores([0.9] * 5 + [0.1] * 295, name=name)]
    found = calibrate(manifests, given)
    assert (found.studies, found.flagged_before) == (300, 5)
    assert found.flagged == 0  # ties at 0.9: all five or none
    assert [one.check for one in found.checks] == ["bone", "nodule"]


def test_too_few_negatives_are_refused() -> None:
    """A set that rests on nothing is worse than none."""
    with pytest.raises(UsageError, match="200"):
        calibrate({"bone": check()}, scores([0.1] * 199))


@pytest.mark.parametrize(
    ("hits", "trials", "upper"), [(0, 100, 0.0370), (5, 100, 0.1118), (30, 600, 0.0705)]
)
def test_the_interval_is_wilson_s(hits: int, trials: int, upper: float) -> None:
    """Against published tables."""
    assert wilson_upper(hits, trials) == pytest.approx(upper, abs=1e-4)
    assert wilson_upper(0, 0) == 1.0
