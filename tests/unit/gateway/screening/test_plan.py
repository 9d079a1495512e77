"""The plan: which checks run where, and why the others do not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from gateway.screening.anatomy import Anatomy, parse_anatomy
from gateway.screening.manifest import Manifest, OrganNeed, Roi
from gateway.screening.phase import contrast_phase
from gateway.screening.plan import SeriesChoice, Step, in_order, plan_check
from gateway.screening.series_facts import SeriesFacts
from gateway.testing import anatomy_measures, organ
from tests.rule_check import manifests_with_rule

MANIFESTS = manifests_with_rule()
LIVER = MANIFESTS["liver"]
AFFINE = np.array([[0, 0, 1, -50], [0, 1, 0, -50], [1, 0, 0, 0], [0, 0, 0, 1]], np.float64)
"""1 mm voxels: (slice, row, column) → LPS mm."""

GRID = np.array([[0, 0, 3, -49], [0, 3, 0, -49], [3, 0, 0, 1], [0, 0, 0, 1]], np.float64)
"""The 3 mm anatomy grid of the same volume."""


CHOICE = SeriesChoice(
    series_instance_uid="1.2.3", key="1.2.3#1", runner_up="1.2.4", explanation="Score 9.0."
)


def step(
    manifest: Manifest = LIVER, *, kvp: float | None = 120.0, **organs: dict[str, Any]
) -> Step:
    anatomy: Anatomy = parse_anatomy(anatomy_measures(**organs))
    gate = MANIFESTS["anatomy"].phase
    assert gate is not None
    return plan_check(
        manifest,
        facts=SeriesFacts(series_instance_uid="1.2.3", kvp=kvp),
        choice=CHOICE,
        anatomy=anatomy,
        phase=contrast_phase(anatomy, gate),
        shape=(100, 100, 100),
        affine=AFFINE,
        anatomy_affine=GRID,
    )


def test_a_healthy_native_scan_runs_on_the_whole_volume() -> None:
    """No region of interest in the manifest: the slab is everything."""
    planned = step()
    assert planned.runs
    assert planned.slab == (0, 100)
    assert planned.roi == (0, 100, 0, 100, 0, 100)
    assert not planned.truncated
    assert not planned.without


ABSENT = organ(None, coverage="absent", volume_ml=0.0)


@pytest.mark.parametrize(
    ("organs", "reason"),
    [
        ({"liver": ABSENT}, "organ_absent"),
        ({"liver": organ(50.0, eroded_ml=99.0)}, "too_little_tissue"),
        ({"aorta": organ(150.0, volume_ml=60.0)}, "contrast"),
        (
            {
                name: organ(None, coverage="absent", volume_ml=0.0)
                for name in ("aorta", "heart", "inferior_vena_cava", "kidney_left", "kidney_right")
            },
            "phase_unknown",
        ),
        ({"liver": ABSENT, "aorta": organ(150.0, volume_ml=60.0)}, "organ_absent"),
    ],
)
def test_what_is_not_evaluated_has_its_reason(organs: dict[str, Any], reason: str) -> None:
    """Organs are asked before the phase."""
    assert step(**organs).reason == reason


def test_a_missing_spleen_leaves_its_measures_out() -> None:
    """Steatosis goes on without it."""
    planned = step(spleen=organ(45.0, eroded_ml=5.0))
    assert planned.runs
    assert planned.without == ("spleen",)


def test_a_truncated_liver_runs_and_is_remembered() -> None:
    """It may be positive, never negative."""
    planned = step(liver=organ(50.0, coverage="truncated"))
    assert planned.runs
    assert planned.truncated == ("liver",)


@pytest.mark.parametrize(
    ("sides", "forbids"),
    [
        (["inferior"], False),
        (["superior"], True),
        (["inferior", "superior"], True),
        (["inferior", "left"], True),
        ([], True),
    ],
)
def test_a_side_may_be_cut_where_the_manifest_says_so(sides: list[str], forbids: bool) -> None:
    """A chest CT ends within the aorta and shows its arch; what is cut elsewhere is not negative.

    Where nothing is known of the side, nothing is allowed.
    """
    need = OrganNeed(
        name="aorta", coverage=("complete", "truncated"), negative_without=("inferior",)
    )
    check = dataclasses.replace(LIVER, needs=dataclasses.replace(LIVER.needs, organs=(need,)))
    cut = organ(42.0, coverage="truncated", volume_ml=80.0, truncated_sides=sides)
    planned = step(check, aorta=cut)
    assert planned.runs
    assert planned.truncated == (("aorta",) if forbids else ())


def test_a_truncated_spleen_forbids_nothing() -> None:
    """The check is about the liver."""
    assert not step(spleen=organ(45.0, coverage="truncated")).truncated


@pytest.mark.parametrize("kvp", [100.0, None])
def test_another_or_unknown_tube_voltage_is_a_doubt(kvp: float | None) -> None:
    """The check runs, and will be indeterminate."""
    planned = step(kvp=kvp)
    assert planned.runs
    assert planned.doubt == "kvp"


def test_a_liver_on_the_wrong_side_is_a_doubt() -> None:
    """A wrong header or situs inversus: the check runs, and will be indeterminate."""
    left = organ(50.0) | {"box": [2, 8, 2, 8, 20, 30]}
    assert step(liver=left, spleen=organ(48.0)).doubt == "orientation_conflict"


def test_a_region_of_interest_is_the_organs_box_and_its_margin() -> None:
    """Anatomy boxes are on the 3 mm grid; the region is in voxels of the volume."""
    manifest = dataclasses.replace(LIVER, roi=Roi(organs=("liver",), margin_mm=(10.0, 5.0, 5.0)))
    planned = step(manifest)
    # Grid voxels 2…7 have centres at 7…22 mm; the box has its margin on both sides.
    assert planned.slab == (0, 33)
    assert planned.roi == (0, 33, 2, 28, 2, 28)


def test_a_region_of_interest_stays_in_the_volume() -> None:
    """However large the margin."""
    manifest = dataclasses.replace(LIVER, roi=Roi(organs=("liver",), margin_mm=(500.0,) * 3))
    assert step(manifest).roi == (0, 100, 0, 100, 0, 100)


def test_stat_checks_come_first() -> None:
    """The order of start is the latency class, then the name."""
    steps = [
        Step(check="bone", latency_class="routine"),
        Step(check="calcium", latency_class="stat"),
        Step(check="aorta", latency_class="stat"),
    ]
    assert [s.check for s in in_order(steps)] == ["aorta", "calcium", "bone"]


def test_a_plan_says_all_that_was_decided() -> None:
    """Series and runner-up, slab and region, and what its network is given."""
    network = dataclasses.replace(
        LIVER,
        kind="network",
        recipe_digest="f" * 64,
        after=("bone",),
        roi=Roi(organs=("liver",), margin_mm=(3.0,) * 3),
    )
    said = step(network).to_json()
    assert said["series_key"] == "1.2.3#1"
    assert said["runner_up"] == "1.2.4"
    assert said["explanation"] == "Score 9.0."
    assert said["after"] == ["bone"]
    assert said["recipe_digest"] == "f" * 64
    assert said["slab"] == [4, 26]
    assert said["roi"][:2] == [0, 22]
    assert step(LIVER).to_json()["recipe_digest"] is None
