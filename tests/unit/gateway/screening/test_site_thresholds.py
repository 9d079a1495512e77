"""Thresholds of a site: kept with evidence, applied by scanner, dropped when stale."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from pathlib import Path

import pytest

from gateway.exceptions import ThresholdSetError
from gateway.screening.calibration import POOLED, Calibration, CheckFlags, Flag
from gateway.screening.manifest import Manifest
from gateway.screening.site_thresholds import (
    SiteThresholds,
    load_site,
    path_of,
    save_site,
    warn_of_stale,
)
from gateway.screening.thresholds import LesionThresholds
from tests.rule_check import rule_check


def flag(model: str, value: float) -> Flag:
    return Flag(
        scanner_model=model,
        value=value,
        before=17.4,
        negatives=1000,
        flagged_before=12,
        flagged=6,
        upper_bound=0.013,
        change="raised",
    )


@pytest.fixture
def liver() -> Manifest:
    manifest = rule_check()
    assert manifest.thresholds is not None
    lesion = LesionThresholds(score="score", mark=0.3, flag=17.4)
    return dataclasses.replace(
        manifest,
        models={"liver_net": "f" * 64},
        thresholds=dataclasses.replace(manifest.thresholds, lesion=lesion),
    )


@pytest.fixture
def site(tmp_path: Path, liver: Manifest) -> SiteThresholds:
    return save(tmp_path, liver)


def save(home: Path, liver: Manifest) -> SiteThresholds:
    assert liver.thresholds is not None
    flags = (flag("SIEMENS X", 21.5), flag(POOLED, 19.25))
    found = Calibration(
        budget=0.05,
        studies=1000,
        flagged_before=40,
        flagged=30,
        upper_bound=0.0425,
        checks=(CheckFlags(check="liver", base=liver.thresholds.id, budget=0.006, flags=flags),),
    )
    return save_site(
        home,
        "st-mary",
        found,
        {"liver": liver},
        created_at="2026-01-02T03:04:05+00:00",
        evidence='{"scores": []}\n',
    )


def test_the_flag_moves_by_scanner_and_the_mark_does_not(
    site: SiteThresholds, liver: Manifest
) -> None:
    """Lesions that are flagged with their check move along."""
    for model, value in (("SIEMENS X", 21.5), ("GE Y", 19.25)):
        tuned = site.tuned(liver, model).thresholds
        assert tuned is not None
        assert (tuned.flag.value, tuned.mark.value) == (value, 6.4)
        assert tuned.id == "liver-steatosis-1+st-mary-1"
        assert tuned.lesion is not None
        assert tuned.lesion.flag == value
    assert site.provenance(liver) == {"set": "st-mary-1", "digest": site.digest}


def test_lesions_with_a_flag_of_their_own_keep_it(site: SiteThresholds, liver: Manifest) -> None:
    """It is another number."""
    assert liver.thresholds is not None
    lesion = LesionThresholds(score="volume_mm3", mark=10.0, flag=50.0)
    other = dataclasses.replace(
        liver, thresholds=dataclasses.replace(liver.thresholds, lesion=lesion)
    )
    tuned = site.tuned(other, "GE Y").thresholds
    assert tuned is not None
    assert tuned.lesion == lesion


def test_a_set_of_other_weights_or_thresholds_is_not_applied(
    site: SiteThresholds, liver: Manifest
) -> None:
    """The manifest's hold, and the log says so."""
    assert liver.thresholds is not None
    weights = dataclasses.replace(liver, models={"liver_net": "e" * 64})
    renamed = dataclasses.replace(
        liver, thresholds=dataclasses.replace(liver.thresholds, id="liver-9")
    )
    for other in (weights, renamed):
        assert site.tuned(other, "GE Y") is other
        assert site.provenance(other) is None
        assert warn_of_stale(site, {"liver": other}) == ["liver"]
    assert warn_of_stale(site, {"liver": liver}) == []


def test_every_version_is_kept_with_its_evidence(tmp_path: Path, liver: Manifest) -> None:
    """The set in use is the newest; its digest is that of the file."""
    save(tmp_path, liver)
    second = save(tmp_path, liver)
    assert second.id == "st-mary-2"
    folder = tmp_path / "thresholds"
    assert sorted(path.name for path in folder.iterdir()) == [
        "st-mary-1.evidence.json",
        "st-mary-1.toml",
        "st-mary-2.evidence.json",
        "st-mary-2.toml",
        "st-mary.toml",
    ]
    data = (folder / "st-mary.toml").read_bytes()
    assert second.digest == hashlib.sha256(data).hexdigest()
    values = tomllib.loads(data.decode())
    evidence = (folder / values["evidence"]).read_bytes()
    assert values["evidence_digest"] == hashlib.sha256(evidence).hexdigest()
    assert json.loads(evidence) == {"scores": []}
    assert values["checks"]["liver"]["flags"][0]["negatives"] == 1000


def test_the_default_site_needs_no_file_and_another_does(tmp_path: Path, liver: Manifest) -> None:
    """A name that is misspelt is not the manifests' thresholds."""
    default = load_site(tmp_path, "default")
    assert default.tuned(liver, "GE Y") is liver
    assert default.digest is None
    with pytest.raises(ThresholdSetError, match="calibrate"):
        load_site(tmp_path, "st-marry")


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden"])
def test_a_site_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    """It becomes a file's name."""
    with pytest.raises(ThresholdSetError):
        path_of(tmp_path, name)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema = 1", "schema = 2"),
        ('site = "st-mary"', 'site = "st-john"'),
        ('scanner_model = "*"', 'scanner_model = "GE Y"'),
        ("value = 19.25", "value = "),
    ],
)
def test_a_broken_set_is_refused(tmp_path: Path, site: SiteThresholds, old: str, new: str) -> None:
    """Never half of it."""
    path = path_of(tmp_path, "st-mary")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ThresholdSetError, match="broken"):
        load_site(tmp_path, "st-mary")
