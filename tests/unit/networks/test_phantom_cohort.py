"""A cohort is what its seeds say: who is ill, of what, on which scanner, in which split."""

from __future__ import annotations

import itertools
import json
from collections import Counter

import numpy as np
import pytest

from networks.phantoms.case import NEXT_PATIENT, Case, CasePlan, draw_case
from networks.phantoms.cohort import SPLITS, cohort, main, plan_cohort, summary
from networks.phantoms.lesions import CHECKS, NoPlaceError
from networks.phantoms.profiles import SEEN, UNSEEN
from networks.phantoms.region import RegionGrid


@pytest.fixture(scope="module")
def case() -> Case:
    return draw_case(
        CasePlan(seed=800_003, check="nodule", kind="solid_nodule", difficulty="easy",
                 confounders=("bone",), thickness_mm=2.5, spacing_mm=5.0)
    )  # fmt: skip


def test_splits_never_overlap() -> None:
    """Not even when the next patient has to be taken."""
    spans = sorted(SPLITS.values())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
    assert spans[-1][1] <= spans[0][0] + NEXT_PATIENT


@pytest.mark.parametrize("split", list(SPLITS))
def test_unseen_models_scan_tests_only(split: str) -> None:
    """Half of the test cases are scanned on the three unseen models, in all others none."""
    plans = plan_cohort(split, check="aorta", planted=30, healthy=90)
    models = Counter(plan.profile for plan in plans)
    assert sum(models[name] for name in UNSEEN) == (60 if split == "test" else 0)
    assert set(models) & set(UNSEEN) == (set(UNSEEN) if split == "test" else set())
    assert set(models) <= {*SEEN, *UNSEEN}
    assert {plan.seed for plan in plans} <= set(range(*SPLITS[split]))
    assert len({plan.seed for plan in plans}) == len(plans)


def test_every_negative_holds_a_confounder_of_the_check() -> None:
    """And half of the positives, so that it does not give them away."""
    plans = plan_cohort("training", check="stomach", planted=100, healthy=100)
    ill, well = plans[:100], plans[100:]
    assert all(plan.check == "stomach" and plan.kind for plan in ill)
    assert all(plan.check is None and plan.confounders == CHECKS for plan in well)
    both = sum("stomach" in plan.confounders for plan in ill)
    assert 35 <= both <= 65
    assert all(set(CHECKS) - {"stomach"} <= set(plan.confounders) for plan in ill)


def test_kinds_come_in_turn() -> None:
    """Eight kinds over sixteen cases are two each."""
    plans = plan_cohort("validation", check="pancreas", planted=16, healthy=0)
    assert set(Counter(plan.kind for plan in plans).values()) == {2}


def test_scans_are_thin_enough_for_the_check() -> None:
    """No nodule is looked for on thick slices."""
    plans = plan_cohort("training", check="nodule", planted=40, healthy=40)
    assert max(plan.thickness_mm for plan in plans) <= 1.5


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"split": "exam"}, "training, validation, test"),
        ({"check": "knee"}, "pancreas, stomach"),
        ({"difficulty": "cruel"}, "easy, medium, hard"),
        ({"healthy": 100_000}, "has 100000 seeds"),
    ],
)
def test_wrong_plans_are_refused(wrong: dict[str, object], message: str) -> None:
    """The message says what there is."""
    given: dict[str, object] = {"split": "test", "check": "bone", "planted": 1, "healthy": 1}
    given |= wrong
    with pytest.raises(ValueError, match=message):
        plan_cohort(given.pop("split"), **given)  # type: ignore[arg-type]


def test_a_case_holds_what_was_planned(case: Case) -> None:
    """The finding, a confounder of bone, and nothing else."""
    found = [lesion for lesion in case.lesions if lesion.is_finding]
    assert case.findings == ("solid_nodule",)
    assert {lesion.kind for lesion in found} == {"solid_nodule"}
    assert {lesion.check for lesion in case.lesions} == {"nodule", "bone"}


def test_a_plan_decides_everything(case: Case) -> None:
    """Drawn again, the case and its scan are the same."""
    again = draw_case(case.plan)
    grid = RegionGrid.around(case.lesions[0].centre_mm, (6, 12, 12), (2, 2, 2))
    assert [x.truth() for x in again.lesions] == [x.truth() for x in case.lesions]
    assert again.region(grid).tobytes() == case.region(grid).tobytes()


def test_a_region_and_a_scan_show_the_same_lesion(case: Case) -> None:
    """Both hold the nodule where it was planted."""
    lesion = case.lesions[0]
    grid = RegionGrid.around(lesion.centre_mm, (3, 3, 3), (2.5, 2.5, 2.5))
    scan = case.scan(matrix=192)
    place = np.linalg.solve(scan.affine, [*lesion.centre_mm[::-1], 1.0])[:3]
    s, r, c = np.rint(place).astype(int)
    assert case.region(grid)[1, 1, 1] > -500
    assert scan.hu[s, r, c] > -500


def _seed(case: Case) -> int:
    return case.plan.seed


def test_a_cohort_keeps_the_order_and_leaves_out_who_has_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One process or several, each plan gives its case or none."""
    plans = plan_cohort("validation", check="liver", planted=0, healthy=3, confounders=())

    def draw(plan: CasePlan) -> Case:
        if plan.seed == plans[1].seed:
            raise NoPlaceError("no room")
        return Case(plan, None, (), plan.seed, 3.0)  # type: ignore[arg-type]

    monkeypatch.setattr("networks.phantoms.cohort.draw_case", draw)
    made = list(cohort(plans, _seed, processes=1, progress=False))
    assert made == [plans[0].seed, plans[2].seed]


def test_several_processes_draw_what_one_draws() -> None:
    """The same cases in the same order."""
    plans = plan_cohort("validation", check="nodule", planted=1, healthy=1, confounders=("nodule",),
                        kinds=("solid_nodule",), spacing_mm=5.0)  # fmt: skip
    found = [list(cohort(plans, summary, processes=n, progress=False)) for n in (1, 2)]
    assert found[0] == found[1]
    assert [case["check"] for case in found[0]] == ["nodule", None]


def test_the_command_sums_up(capsys: pytest.CaptureFixture[str]) -> None:
    """What was planted, what came of it, how long it took."""
    given = [
        "--check",
        "bone",
        "--planted",
        "1",
        "--healthy",
        "0",
        "--processes",
        "1",
        "--spacing",
        "5",
        "--json",
    ]
    assert main(given) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["planned"] == told["planted"] + told["no_place"] == 1
    assert sum(told["difficulty"].values()) >= told["planted"]
    assert told["seconds_per_case"] > 0
