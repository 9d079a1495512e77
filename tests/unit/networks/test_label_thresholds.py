"""Thresholds of a check that tells many labels, from its calibration into its manifest."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from gateway.settings import ROOT
from networks.chest_study import EVALUATED
from networks.evaluation.thresholds import set_accepted, set_manifest
from networks.phantoms.chest_labels import LABEL_NAMES

SHIPPED = ROOT / "model_repository" / "chest" / "pipeline.toml"


def told() -> dict[str, Any]:
    """Give what the calibration of the chest tells, a flag of its own for each label."""
    asked = [name for name, is_asked in zip(LABEL_NAMES, EVALUATED, strict=True) if is_asked]
    return {
        "check": "chest",
        "score": "probability",
        "healthy": 1000,
        "mark": {"values": dict.fromkeys(asked, 1e-05), "share": 0.01, "a_study": 0.6},
        "flag": {
            "values": {name: 0.25 + n / 1000 for n, name in enumerate(asked)},
            "share": 0.01,
            "measured": [0.01, 0.0055, 0.0183],
        },
    }


def test_the_shipped_manifest_takes_the_thresholds_of_each_label(tmp_path: Path) -> None:
    """Of all that are its own, and of no label that another check answers; nothing else."""
    path = tmp_path / "pipeline.toml"
    path.write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    assert set_manifest(path, told(), SHIPPED)
    before, after = (tomllib.loads(p.read_text(encoding="utf-8")) for p in (SHIPPED, path))
    flags = told()["flag"]["values"]
    labels = after["thresholds"]["labels"]
    assert set(labels) == set(before["thresholds"]["labels"])
    assert "solid_nodule" not in labels
    assert all(cut == {"mark": 1e-05, "flag": flags[name]} for name, cut in labels.items())
    assert "on 1000 scans of phantoms" in after["thresholds"]["flag"]["operating_point"]
    assert "0.01 of healthy scans" in after["thresholds"]["mark"]["also"][0]["operating_point"]
    assert after["thresholds"]["mark"]["operating_point"] == "a label over its flag"
    assert after["thresholds"]["id"].startswith("chest-")
    for manifest in (before, after):
        manifest["thresholds"] = {}
    assert before == after


def test_a_manifest_without_labels_is_left_as_it_is(tmp_path: Path) -> None:
    """And one that is not there."""
    path = tmp_path / "pipeline.toml"
    text = '[thresholds]\nid = "x"\n'
    assert not set_manifest(path, told(), SHIPPED)
    path.write_text(text, encoding="utf-8")
    assert not set_manifest(path, told(), SHIPPED)
    assert path.read_text(encoding="utf-8") == text


def test_a_detector_s_thresholds_are_those_of_its_lesions_too(tmp_path: Path) -> None:
    """Whatever the check's own score is called."""
    path = tmp_path / "pipeline.toml"
    nodule = SHIPPED.parent.parent / "nodule" / "pipeline.toml"
    path.write_text(nodule.read_text(encoding="utf-8"), encoding="utf-8")
    calibrated = {
        "check": "nodule",
        "score": "probability",
        "healthy": 100,
        "mark": {"value": 0.375, "false_positives": 0.8, "measured": [0.8, 0.6, 0.99]},
        "flag": {"value": 0.875, "share": 0.01, "measured": [0.01, 0.002, 0.05]},
    }
    assert set_manifest(path, calibrated, nodule)
    thresholds = tomllib.loads(path.read_text(encoding="utf-8"))["thresholds"]
    assert thresholds["score"] == "actionable_score"
    for name, value in (("mark", 0.375), ("flag", 0.875)):
        assert thresholds[name]["value"] == thresholds["lesion"][name] == value


def test_acceptance_is_written_where_the_weights_are_told_of(tmp_path: Path) -> None:
    """Once, and anew when it is released again; the rest stays."""
    path = tmp_path / "pipeline.toml"
    assert not set_accepted(path, True)
    path.write_text('name = "x"\n')
    assert not set_accepted(path, True)
    path.write_text('[provenance]\nmodel = "x_net"\n\n[cost]\nvalue = 1\n')
    for accepted in (False, True, False):
        assert set_accepted(path, accepted)
        assert tomllib.loads(path.read_text()) == {
            "provenance": {"accepted": accepted, "model": "x_net"},
            "cost": {"value": 1},
        }
