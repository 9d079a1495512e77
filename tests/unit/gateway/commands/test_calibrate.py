"""``onescan calibrate`` on results that were screened before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.commands.calibrate import add_arguments, evidence_of, read_results, run, scores_of
from gateway.exceptions import UsageError
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.site_thresholds import load_site
from gateway.settings import Settings, TritonSettings
from tests.rule_check import write_rule_repository


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    repository = write_rule_repository(tmp_path / "models")
    return Settings(home=tmp_path / "home", triton=TritonSettings(model_repository=str(repository)))


def result(settings: Settings, number: int, percent: float, **changes: Any) -> dict[str, Any]:
    liver = load_manifests(settings.model_repository)["liver"]
    check = {
        "check": "liver",
        "state": "positive" if percent >= 17.4 else "negative",
        "reason": None,
        "score": percent,
        "thresholds": {
            "score": "pdff_percent",
            "flagged_by": ["pdff_percent"] if percent >= 17.4 else [],
        },
        "provenance": {
            "manifest_digest": liver.digest,
            "models": dict(liver.models),
            "scanner_model": "SIEMENS X",
        },
    }
    return {"study": {"study_instance_uid": f"1.2.{number}"}, "checks": [{**check, **changes}]}


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(given)


def write(folder: Path, results: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for one in results:
        name = one["study"]["study_instance_uid"]
        (folder / f"{name}.json").write_text(json.dumps(one))
    return folder


def test_a_set_is_made_of_results_and_used_by_name(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ten of 300 are flagged at 0.6 %: one may be."""
    results = [result(settings, n, 1.0) for n in range(290)]
    results += [result(settings, 300 + n, 18.0 + n) for n in range(10)]
    folder = write(tmp_path / "results", results)
    given = ("--negatives", str(folder), "--site", "st-mary")
    assert run(arguments(*given, "--dry-run"), settings) == 0
    assert not (settings.home / "thresholds").exists()
    assert run(arguments(*given), settings) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "17.4 → 26.0001" in said
    assert "10 were flagged, 1 would be" in said
    assert "Kept as st-mary-1" in said
    site = load_site(settings.home, "st-mary")
    liver = load_manifests(settings.model_repository)["liver"]
    tuned = site.tuned(liver, "SIEMENS X").thresholds
    assert tuned is not None
    assert tuned.flag.value == pytest.approx(26.0001)


def test_the_evidence_names_no_study(settings: Settings) -> None:
    """A digest stands for its UID."""
    scores, _ = scores_of([result(settings, 7, 3.0)], load_manifests(settings.model_repository))
    text = evidence_of(scores)
    assert "1.2.7" not in text
    [row] = json.loads(text)["scores"]
    assert (row["check"], row["score"], len(row["study"])) == ("liver", 3.0, 16)


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"manifest_digest": "0" * 64, "models": {}, "scanner_model": "X"}},
        {"state": "not_evaluated", "score": None, "reason": "contrast"},
        {"state": "indeterminate", "reason": "kvp"},
        {"check": "mammography"},
    ],
)
def test_only_answers_of_what_is_installed_count(
    settings: Settings, changes: dict[str, Any]
) -> None:
    """Scores of other weights are other numbers; without an answer there is none."""
    manifests = load_manifests(settings.model_repository)
    scores, passed_over = scores_of([result(settings, 1, 3.0, **changes)], manifests)
    assert scores == []
    assert passed_over == ("provenance" in changes)


def test_a_truncated_organ_that_could_have_been_flagged_counts(settings: Settings) -> None:
    """It may be positive, so it may be falsely so."""
    cut = result(settings, 1, 3.0, state="indeterminate", reason="truncated")
    scores, _ = scores_of([cut], load_manifests(settings.model_repository))
    assert len(scores) == 1


def test_a_study_that_was_screened_twice_counts_once(settings: Settings) -> None:
    """The last result stands."""
    twice = [result(settings, 1, 3.0), result(settings, 1, 5.0)]
    scores, _ = scores_of(twice, load_manifests(settings.model_repository))
    assert [score.score for score in scores] == [5.0]


def test_results_and_dicom_are_told_apart(settings: Settings, tmp_path: Path) -> None:
    """A folder of JSON that is no result is DICOM to be screened, or nothing."""
    folder = write(tmp_path / "results", [result(settings, 1, 3.0)])
    several = tmp_path / "all.json"
    several.write_text(json.dumps({"studies": [result(settings, 2, 4.0)]}))
    dicom = tmp_path / "dicom"
    dicom.mkdir()
    (dicom / "truth.json").write_text("{}")
    results, left = read_results([folder, several, dicom])
    assert [one["study"]["study_instance_uid"] for one in results] == ["1.2.1", "1.2.2"]
    assert left == [dicom]


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """As any wrong argument is."""
    with pytest.raises(UsageError, match="nowhere"):
        read_results([tmp_path / "nowhere"])
