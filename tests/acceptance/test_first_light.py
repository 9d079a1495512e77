"""The main job, as a user does it: DICOM files in, the state of each check out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from networks.phantoms.study import make_study
from tests.served import Served, onescan

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.timeout(240)]

PDFF_GRADES = {3: "S0", 12: "S1", 20: "S2", 30: "S3"}
"""Fat fraction of the liver, %, and the grade that a reader would give."""

SEEDS = (41, 4242)

TOLERANCE_HU = 4.0


def liver(result: dict[str, Any]) -> dict[str, Any]:
    [check] = [check for check in result["checks"] if check["check"] == "liver"]
    return dict(check)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pdff", sorted(PDFF_GRADES))
def test_a_fatty_liver_is_graded(served: Served, tmp_path: Path, pdff: int, seed: int) -> None:
    """PDFF 3, 12, 20, 30 % come out S0, S1, S2, S3, with the planted liver HU ± 4."""
    truth = make_study(
        tmp_path / "s", seed=seed, pdff_percent=pdff, matrix=256, increment_mm=3.0, series=("thin",)
    )
    check = liver(served.screen(str(tmp_path / "s"), "--checks", "liver"))
    found = check["measures"]["liver_hu"]
    print(f"PDFF {pdff} %: {check['state']} {check['grade']}, liver {found} HU")
    assert check["grade"] == PDFF_GRADES[pdff] == truth["steatosis"]["grade"]
    assert check["state"] == ("positive" if pdff >= 20 else "negative")
    assert abs(found - truth["steatosis"]["expected_liver_hu"]) <= TOLERANCE_HU


def test_the_native_abdomen_is_answered_or_refused_for_a_true_reason(
    served: Served, ct: Path
) -> None:
    """Its slab cuts the liver above and below: what was not seen is never called negative."""
    result = served.screen(str(ct / "abdomen-native"))
    check = liver(result)
    measures = check["measures"]
    print(
        f"abdomen-native: {check['state']}: {check['reason']}, "
        f"liver {measures['liver_hu']} HU, spleen {measures['spleen_hu']} HU"
    )
    assert result["state"] == "done"
    assert (check["state"], check["reason"]) == ("indeterminate", "truncated")
    assert measures["liver_hu"] == pytest.approx(47, abs=TOLERANCE_HU)
    assert measures["spleen_hu"] == pytest.approx(35, abs=TOLERANCE_HU)


def test_a_contrast_scan_is_not_evaluated(served: Served, ct: Path) -> None:
    """Whatever the header says, contrast is seen in the aorta."""
    check = liver(served.screen(str(ct / "abdomen-contrast")))
    assert (check["state"], check["reason"]) == ("not_evaluated", "contrast")


def test_a_head_is_not_evaluated(served: Served, ct: Path) -> None:
    """Of localizer, screenshots and 5 mm axial slices the last are looked at; no liver is there."""
    result = served.screen(str(ct / "head-phantom-study"))
    check = liver(result)
    assert (check["state"], check["reason"]) == ("not_evaluated", "organ_absent")
    [chosen] = [s for s in result["series"] if s["choices"]["liver"]["role"] == "chosen"]
    assert (chosen["slices"], chosen["thickness_mm"]) == (28, 5.0)


def test_enhanced_and_single_frame_give_the_same_answer(served: Served, tmp_path: Path) -> None:
    """One multi-frame object and its slices apart are the same scan."""
    answers = []
    for enhanced in (False, True):
        folder = tmp_path / str(enhanced)
        make_study(
            folder, seed=6, pdff_percent=25, matrix=128, increment_mm=4.0,
            series=("thin",), enhanced=enhanced,
        )  # fmt: skip
        answers.append(liver(served.screen(str(folder), "--checks", "liver")))
    assert answers[0]["measures"] == answers[1]["measures"]
    assert answers[0]["grade"] == answers[1]["grade"]


def test_the_worker_takes_little_memory(served: Served, tmp_path: Path) -> None:
    """Peak resident memory under 1.5 × the volume plus 500 MB, 300 slices of 512²."""
    make_study(tmp_path / "s", seed=3, slices=300, series=("thin",))
    served.screen(str(tmp_path / "s"))
    pid = served.child("worker").pid
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024
    volume = 300 * 512 * 512 * 2
    print(f"worker: peak {peak / 1e6:.0f} MB, volume {volume / 1e6:.0f} MB")
    assert peak < 1.5 * volume + 500e6
    assert psutil.pid_exists(pid)


def test_json_is_one_object_and_nothing_else(served: Served, tmp_path: Path) -> None:
    """Screen and inspect print one object each; with the fields that others build on."""
    make_study(tmp_path / "s", seed=8, matrix=128, increment_mm=5.0)
    shown = onescan("screen", str(tmp_path / "s"), "--url", served.url, "--json",
                    environ=served.environ)  # fmt: skip
    result = json.loads(shown.stdout)
    assert set(result) > {"study", "checks", "state"}
    assert set(result["checks"][0]) > {
        "check", "state", "reason", "score", "thresholds", "urgency", "lesions", "measures",
        "provenance",
    }  # fmt: skip
    inspected = json.loads(onescan("inspect", str(tmp_path / "s"), "--json").stdout)
    assert set(inspected) >= {"series", "chosen", "geometry", "quality", "checks"}


def test_without_a_server_screen_starts_its_own(tmp_path: Path) -> None:
    """And stops it; results are written where --out says."""
    truth = make_study(tmp_path / "s", seed=8, matrix=128, increment_mm=5.0, series=("thin",))
    home = tmp_path / "home"
    done = onescan(
        "screen", str(tmp_path / "s"), "--checks", "liver", "--out", str(tmp_path / "out"),
        environ={"ONESCAN_HOME": str(home)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "liver" in done.stdout
    written = json.loads((tmp_path / "out" / f"{truth['study_instance_uid']}.json").read_text())
    assert written["state"] == "done"
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if str(home) in " ".join(p.info["cmdline"] or [])
    ]
    assert not left
