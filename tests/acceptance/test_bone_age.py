"""A check of another modality through the whole server: a hand radiograph, read in months."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import ROOT
from networks.phantoms.hand_study import make_hand_study
from networks.phantoms.study import make_study
from tests.served import Served, onescan

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.timeout(240)]

CHECK = "bone_age"

FIGURES = json.loads((ROOT / "model_repository/bone_age_net/figures.json").read_text("utf-8"))

FAR_SDS = 3.0
"""A reading farther off than so many SDs of the network's stated errors is a fault of the path."""


def answers(shown: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["check"]: check for check in shown["checks"]}


def read(served: Served, folder: Path, **hand: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Screen a hand; give its truth and the check's answer."""
    truth = make_hand_study(folder, **hand)
    shown = served.screen(str(folder / "hand"), "--checks", CHECK)
    return truth, answers(shown)[CHECK]


@pytest.mark.parametrize(
    "hand",
    [
        {"seed": 930_001, "modality": "DX", "sex": "F", "bone_age_months": 60.0,
         "monochrome1": True, "bits": 10},
        {"seed": 930_002, "modality": "CR", "sex": "M", "bone_age_months": 110.0,
         "monochrome1": False, "bits": 12},
        {"seed": 930_003, "modality": "DX", "sex": "F", "bone_age_months": 150.0, "bits": 14},
    ],
    ids=["girl of 5", "boy of 9", "girl of 12"],
)  # fmt: skip
def test_a_hand_is_read_in_months(served: Served, tmp_path: Path, hand: dict[str, Any]) -> None:
    """Within the network's stated error, beside the child's age; and without a verdict."""
    truth, answer = read(served, tmp_path, **hand)
    measures = answer["measures"]
    error = abs(measures["bone_age_months"] - truth["bone_age_months"])
    assert error <= FAR_SDS * FIGURES["strata"]["all"]["sd"]
    assert measures["chronological_age_months"] == pytest.approx(truth["age_months"], abs=0.1)
    ahead = measures["bone_age_months"] - measures["chronological_age_months"]
    assert measures["ahead_months"] == pytest.approx(ahead, abs=0.01)
    assert measures["male"] == (truth["sex"] == "M")
    assert answer["units"]["bone_age_months"] == "mo"
    assert (answer["state"], answer["reason"]) == ("indeterminate", "no_reference")
    assert answer["text"]["en"]
    assert answer["text"]["zh"]
    assert answer["provenance"]["weights_origin"] == "synthetic phantoms, not for clinical use"
    assert set(answer["provenance"]["models"]) == {"bone_age_net"}


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"right_hand": True, "laterality": ""}, "indeterminate", "mirrored_image"),
        ({"right_hand": True, "laterality": "L"}, "indeterminate", "mirrored_image"),
        ({"right_hand": True}, "not_evaluated", "side"),
        ({"patient_sex": ""}, "indeterminate", "sex_unknown"),
        ({"patient_age": "008Y"}, "indeterminate", "age_unknown"),
        ({"patient_age": "040Y"}, "not_evaluated", "age_over_limit"),
        ({"body_part": "FOOT"}, "not_evaluated", "body_part"),
        ({"lossy": True}, "not_evaluated", "lossy_compression"),
    ],
)
def test_what_is_not_right_is_said(
    served: Served, tmp_path: Path, changes: dict[str, Any], state: str, reason: str
) -> None:
    """A right hand where the header is silent or wrong; an unknown patient; other images."""
    hand = {"seed": 930_010, "modality": "CR", "sex": "M", "bone_age_months": 100.0}
    _, answer = read(served, tmp_path, **hand | changes)
    assert (answer["state"], answer["reason"]) == (state, reason)
    months = answer["measures"].get("bone_age_months")
    assert (months is None) == (state == "not_evaluated" or reason == "sex_unknown")


def test_a_hand_never_reaches_a_check_of_ct(served: Served, tmp_path: Path) -> None:
    """Unasked only its own check runs; one of CT that is asked for says why not."""
    make_hand_study(tmp_path, seed=930_020, modality="DX", bone_age_months=90.0)
    told = answers(served.screen(str(tmp_path / "hand")))
    assert set(told) == {CHECK}
    assert told[CHECK]["measures"]["bone_age_months"] > 0
    asked = answers(served.screen(str(tmp_path / "hand"), "--checks", f"liver,{CHECK}"))
    assert (asked["liver"]["state"], asked["liver"]["reason"]) == (
        "not_evaluated",
        "wrong_modality",
    )


def test_a_ct_never_reaches_the_check_of_hands(served: Served, tmp_path: Path) -> None:
    """Of a child, so that the age is none of the reasons."""
    make_study(
        tmp_path, seed=31, matrix=128, increment_mm=5.0, series=("thin",), patient_age="010Y"
    )
    answer = answers(served.screen(str(tmp_path), "--checks", CHECK))[CHECK]
    assert (answer["state"], answer["reason"]) == ("not_evaluated", "wrong_modality")
    assert answer["measures"] == {}


def test_the_command_writes_a_hand(tmp_path: Path) -> None:
    """`onescan phantom --modality`; a finding of CT is refused."""
    done = onescan("phantom", str(tmp_path / "hand"), "--modality", "DX", "--seed", "3")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    truth = json.loads(Path(told["truth"]).read_text("utf-8"))
    assert truth["modality"] == "DX"
    assert 12 <= truth["bone_age_months"] <= 216
    refused = onescan(
        "phantom", str(tmp_path / "no"), "--modality", "DX", "--seed", "3", "--finding", "bone"
    )
    assert refused.returncode == 2
    assert "CT only" in refused.stderr
