"""A verdict holds what users met to the targets, and one miss fails the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.records import Found, Page, percentile, seconds
from loadtests.shapes import LANES, SHAPES
from loadtests.verdict import SAID, judge, passed, profile
from tests.unit.loadtests.recorded_run import recorded, study

PROFILES = ["small", "large", "smoke"]


def missed(found: Found, shape: str = "") -> set[str]:
    """Name the targets of the small profile that a run has missed."""
    lines = judge(found, profile("small", shape))
    return {f"{line.group} {line.what}".strip() for line in lines if not line.is_met}


def test_percentiles() -> None:
    """Of the nearest rank."""
    values = [float(n) for n in range(1, 101)]
    assert percentile(values, 0.95) == 95.0
    assert percentile([3.0], 0.95) == 3.0
    assert percentile([1.0, 9.0], 0.95) == 9.0


def test_a_good_run_passes() -> None:
    """All targets of the small profile, and each of them is looked at."""
    targets = profile("small")
    lines = judge(recorded(), targets)
    assert passed(lines)
    held = {(line.group, line.what) for line in lines}
    for lane in ("stat", "routine"):
        for measure in (*SAID.values(), "aorta", "findings"):
            assert (lane, f"{measure} p95") in held or measure == SAID["late"]
    assert {"p50", "p95", "p99"} <= {
        line.what.split()[-1] for line in lines if line.what.startswith("findings")
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_whole_for_every_shape(name: str, shape: str) -> None:
    """Each target is one that is measured; the lanes are those that the server knows."""
    targets = profile(name, shape)
    assert targets["shape"] == shape
    assert set(targets["seconds_at_most"]) == {*LANES, "pages", "users"}
    assert set(targets["error_budget"]) == set(LANES)
    found = recorded()
    found.studies += [study(1, lane="backfill"), study(2, lane="backfill", way="dimse")]
    lines = judge(found, targets)
    assert all(line.found is not None for line in lines)
    shares = targets["seconds_at_most"].values()
    percentiles = sum(len(measure) for measures in shares for measure in measures.values())
    others = sum(len(targets[kind]) for kind in ("least", "most", "error_budget"))
    assert len(lines) == percentiles + others


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", PROFILES)
def test_no_shape_lets_the_stat_lane_wait(name: str, shape: str) -> None:
    """Whatever overloads the server: its targets are those of the profile."""
    ordinary, shaped = profile(name), profile(name, shape)
    for group in ("stat", "pages", "users"):
        assert shaped["seconds_at_most"][group] == ordinary["seconds_at_most"][group]
    assert shaped["most"] == ordinary["most"]
    assert not any(shaped["error_budget"].values())


def _slow(lane: str, wait: float, number: int = 2) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        slow = [one for one in found.studies if one.lane == lane][:number]
        for one in slow:
            one.fetched = (one.acknowledged or 0.0) + wait

    return change


def _late_acknowledgement(found: Found) -> None:
    for one in found.studies:
        if one.way == "stow" and one.lane == "routine":
            one.acknowledged = one.due + 5.5


def _wait_of_the_aorta(found: Found) -> None:
    for one in [one for one in found.studies if one.lane == "stat"][:2]:
        one.aorta = (one.acknowledged or 0.0) + 14.0


def _set(name: str, value: Any) -> Callable[[Found], None]:
    return lambda found: setattr(found, name, value)


def _outcome(outcome: str) -> Callable[[Found], None]:
    return lambda found: setattr(found.studies[0], "outcome", outcome)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_set("studies", []), {"stored", "screened routine", "screened stat"}),
        (_set("lost", ["1.2.3"]), {"lost"}),
        (_set("errors", ["/v1/events: ConnectionError"]), {"errors"}),
        (_set("wrong_answers", ["fatty: negative"]), {"wrong answers"}),
        (_set("refusals", [(1.0, "/v1/screenings", 429)] * 101), {"refused share"}),
        (_set("late", [0.01] * 98 + [0.6] * 2), {"users begun late p99"}),
        (_set("pages", []), {"pages worklist p95", "pages study page p95", "pages slice p95"}),
        (_slow("stat", 16.0), {"stat findings p95"}),
        (_slow("stat", 21.0, 1), {"stat findings p99"}),
        (_slow("stat", 10.5, 11), {"stat findings p50"}),
        (_slow("routine", 46.0), {"routine findings p95"}),
        (_wait_of_the_aorta, {"stat aorta p95"}),
        (_late_acknowledgement, {"routine acknowledged, STOW-RS p95"}),
        (_outcome("wrong"), {"stat error budget spent"}),
        (_outcome("open"), {"stat error budget spent"}),
        (_outcome("refused"), {"stat error budget spent"}),
    ],
)
def test_one_miss_fails_the_run(change: Callable[[Found], None], names: set[str]) -> None:
    """And the verdict says which."""
    found = recorded()
    change(found)
    assert missed(found) == names
    assert not passed(judge(found, profile("small")))


def test_a_late_sender_hides_nothing() -> None:
    """A study is timed from when it was due, not from when its sender got round to it."""
    late = study(0, begun=9.0, acknowledged=9.5, accepted=9.6, fetched=11.0)
    assert seconds([late], "acknowledged") == [9.5]
    assert seconds([late], "stow") == [9.5]
    assert seconds([late], "whole") == [11.0]
    assert seconds([late], "dimse") == []


def test_a_way_that_nothing_came_by_has_no_targets() -> None:
    """A server without a DIMSE listener is not held to one."""
    found = recorded()
    for one in found.studies:
        one.way = "stow"
    assert missed(found) == set()
    assert not any("C-STORE" in line.what for line in judge(found, profile("small")))


def test_routine_studies_may_wait_where_a_shape_overloads() -> None:
    """But no longer than that shape's own targets say."""
    found = recorded()
    _slow("routine", 200.0)(found)
    assert "routine findings p95" in missed(found, "day")
    assert missed(found, "stat") == set()
    _slow("routine", 250.0)(found)
    assert missed(found, "stat") == {"routine findings p99"}


def test_what_was_found_survives_json() -> None:
    """As the users' process leaves it for the verdict."""
    found = recorded()
    found.refusals = [(1.0, "/v1/screenings", 429)]
    found.pages = [Page("slice", 1.0, 0.1)]
    assert Found.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_an_unknown_profile_is_named() -> None:
    """With those that there are."""
    with pytest.raises(SystemExit, match="'huge'; there are large, small, smoke"):
        profile("huge")
