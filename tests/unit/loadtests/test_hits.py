"""What counts as found, by the rule of one mark a lesion, near enough and of its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtests.cohort import CHECKS, HEALTHY_SEED, figures, plan, read
from loadtests.hits import ball_diameter, count


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """A ball of 10 mm around (20, 30, 40) LPS mm, on a grid of 1 mm."""
    z, y, x = np.ogrid[-8:9, -8:9, -8:9]
    affine = np.array([[0.0, 0, 1, 12], [0, 1, 0, 22], [1, 0, 0, 32], [0, 0, 0, 1]])
    path = tmp_path / "lesions.npz"
    np.savez_compressed(path, mask_1=x * x + y * y + z * z <= 25, affine_1=affine)
    return path


TRUTH: dict[str, Any] = {"lesions": [{"id": 1, "check": "nodule", "is_finding": True, "kind": "s"}]}


def mark(
    x: float = 20.0, size: float = 10.0, *, marked: bool = True, volume: float | None = None
) -> dict[str, Any]:
    return {
        "score": 0.9, "marked": marked, "centre_mm": [x, 30.0, 40.0],
        "mean_diameter_mm": size, "volume_mm3": volume,
    }  # fmt: skip


def told(
    *lesions: dict[str, Any], state: str = "positive", check: str = "nodule"
) -> dict[str, Any]:
    return {"checks": [{"check": check, "state": state, "reason": None, "lesions": list(lesions)}]}


@pytest.mark.parametrize(
    ("lesion", "found"),
    [
        (mark(), True),
        (mark(27.9), True),
        (mark(28.5), False),
        (mark(size=4.0), False),
        (mark(size=21.0), False),
        (mark(size=90.0, volume=524.0), True),
        (mark(marked=False), False),
    ],
    ids=["centre", "within 3 mm", "beyond", "too small", "too large", "by volume", "not shown"],
)
def test_a_mark_hits_near_the_mask_and_near_its_size(
    masks: Path, lesion: dict[str, Any], found: bool
) -> None:
    assert count("nodule", told(lesion), TRUTH, masks).found is found


def test_two_marks_on_one_lesion_are_one_hit(masks: Path) -> None:
    counted = count("nodule", told(mark(), mark(21.0)), TRUTH, masks)
    assert (counted.hits, counted.marks) == (1, 2)


def test_another_check_s_lesion_is_not_the_one_wanted(masks: Path) -> None:
    assert not count("bone", told(mark(), check="bone"), TRUTH, masks).found


def test_a_measurement_is_no_false_flag(masks: Path) -> None:
    screening = told(check="calcium")
    assert count("", screening, TRUTH, masks).flagged == ()
    assert count("", told(check="liver"), TRUTH, masks).flagged == ("liver",)


@pytest.mark.parametrize(("category", "found"), [("marked", True), ("negative", False)])
def test_the_chest_finds_by_its_label(masks: Path, category: str, found: bool) -> None:
    screening = told(check="chest", state="negative")
    screening["checks"][0]["assessments"] = [{"rule": "emphysema", "category": category}]
    truth = {
        "lesions": [
            {"id": 1, "check": "chest", "is_finding": True, "kind": "x", "label": "emphysema"}
        ]
    }
    assert count("chest", screening, truth, masks).found is found


def test_a_ball_has_the_diameter_of_its_volume() -> None:
    assert ball_diameter(4 / 3 * np.pi * 5**3) == pytest.approx(10.0)


def test_no_seed_is_used_twice_and_every_check_has_its_share() -> None:
    plans = plan(25, 600, matrix=512)
    assert len({planned.seed for planned in plans}) == len(plans) == 800
    assert all(sum(p.check == check for p in plans) == 25 for check in CHECKS)
    assert max(p.seed for p in plans if p.check) < HEALTHY_SEED


def test_acceptance_is_missed_by_one_check_alone() -> None:
    lines = [
        {"name": f"{c}{n}", "check": c, "found": c != "bone", "state": "done", "states": {},
         "flagged": []}
        for c in CHECKS for n in range(25)
    ] + [
        {"name": f"h{n}", "check": "", "found": False, "state": "done", "states": {}, "flagged": []}
        for n in range(600)
    ]  # fmt: skip
    assert not figures(lines)["met"]
    assert figures([{**line, "found": True} for line in lines])["met"]
    flagged = [{**line, "found": True, "flagged": ["liver"] * (n % 9 == 0)}
               for n, line in enumerate(lines)]  # fmt: skip
    assert not figures(flagged)["met"]


def test_a_line_that_was_cut_off_is_screened_again(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text('{"name": "a"}\n{"name": "b')
    assert [line["name"] for line in read(ledger)] == ["a"]
