"""Manifests are read strictly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.exceptions import ManifestError
from gateway.screening.manifest import Condition
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.rules import check_rules
from gateway.settings import ROOT

REPOSITORY = ROOT / "model_repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the manifests that may be broken."""
    for name in ("anatomy", "liver"):
        (tmp_path / name).mkdir()
        shutil.copy(REPOSITORY / name / "pipeline.toml", tmp_path / name)
    return tmp_path


def broken(repository: Path, old: str, new: str, name: str = "liver") -> str:
    path = repository / name / "pipeline.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ManifestError) as caught:
        check_rules(load_manifests(repository))
    return str(caught.value)


def test_the_shipped_manifests_load_and_name_rules_that_exist() -> None:
    """Every manifest of the repository is whole."""
    manifests = load_manifests(REPOSITORY)
    check_rules(manifests)
    assert not manifests["anatomy"].is_check
    assert manifests["liver"].is_check
    assert len(manifests["liver"].digest) == 64


def test_an_unknown_key_is_refused_by_name(repository: Path) -> None:
    """A typing error in a manifest cannot pass as a default."""
    message = broken(repository, "min_eroded_ml = 100.0", "min_eroded = 100.0")
    assert "liver/pipeline.toml" in message
    assert "min_eroded" in message


def test_a_value_of_the_wrong_type_is_refused(repository: Path) -> None:
    """Text is no number."""
    assert "timeout_seconds" in broken(
        repository, "timeout_seconds = 10.0", 'timeout_seconds = "x"'
    )


def test_an_unknown_reason_is_refused(repository: Path) -> None:
    """Reasons come from the one list."""
    assert "reason" in broken(repository, 'reason = "iron_or_amiodarone"', 'reason = "odd"')


def test_a_name_that_differs_from_the_folder_is_refused(repository: Path) -> None:
    """The folder is the name."""
    assert "folder" in broken(repository, 'name = "liver"', 'name = "lever"')


def test_a_rule_that_does_not_exist_is_refused(repository: Path) -> None:
    """A manifest from a newer release says so at start-up."""
    assert "no rule" in broken(repository, 'name = "steatosis"', 'name = "astrology"')


def test_a_source_that_is_not_installed_is_refused(repository: Path) -> None:
    """A rule needs the pipeline that it reads."""
    assert "source" in broken(repository, 'source = "anatomy"', 'source = "anatomie"')


def test_a_broken_recipe_is_refused(repository: Path) -> None:
    """The recipe is checked before any study meets it."""
    message = broken(repository, "multiple = 16", "multiple = 0", "anatomy")
    assert "recipe" in message


def test_a_repository_without_manifests_is_refused(tmp_path: Path) -> None:
    """A wrong path is no server without checks."""
    with pytest.raises(ManifestError):
        load_manifests(tmp_path)


def test_a_condition_on_a_missing_measure_does_not_hold() -> None:
    """What was not measured can neither flag nor mark."""
    assert not Condition("liver_hu", "less", 40.0).holds({"liver_hu": None})
    assert not Condition("liver_hu", "less", 40.0).holds({})
    assert Condition("liver_hu", "less_or_equal", 40.0).holds({"liver_hu": 40.0})
