"""Manifests are read strictly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.exceptions import ManifestError
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.rules import check_rules
from gateway.screening.thresholds import Condition
from gateway.settings import ROOT
from tests.rule_check import RULE_TOML

REPOSITORY = ROOT / "model_repository"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A copy of the manifests that may be broken."""
    for path in (REPOSITORY / "anatomy" / "pipeline.toml", RULE_TOML):
        (tmp_path / path.parent.name).mkdir()
        shutil.copy(path, tmp_path / path.parent.name)
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
    assert "no rule" in broken(repository, 'name = "liver"               #', 'name = "astrology" #')


def test_a_source_that_is_not_installed_is_refused(repository: Path) -> None:
    """A rule needs the pipeline that it reads."""
    assert "source" in broken(repository, 'source = "anatomy"', 'source = "anatomie"')


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('scheme = "SCT", value = "10200004", ', 'scheme = "SCT", ', "value is missing"),
        ('value = "10200004"', 'value = " "', "value is empty"),
        ('value = "10200004"', "value = 10200004", "value"),
        ("[codes]", '[codes]\norgan = { scheme = "SCT" }', "organ"),
        ('meaning = "Liver" }', 'meaning = "Liver", version = "1" }', "version"),
    ],
)
def test_a_broken_code_is_refused(repository: Path, old: str, new: str, told: str) -> None:
    """Every form of a result tells the codes, so they are read when the server starts."""
    assert told in broken(repository, old, new)


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


def test_a_rule_without_a_source_needs_a_network(repository: Path) -> None:
    """Or there is nothing to measure on."""
    assert "source" in broken(repository, 'source = "anatomy"\n', "")


def test_checks_that_would_wait_for_each_other_are_refused(repository: Path) -> None:
    """By whatever way."""
    text = (repository / "liver" / "pipeline.toml").read_text()
    (repository / "other").mkdir()
    other = text.replace('name = "liver"\nversion', 'name = "other"\nafter = ["liver"]\nversion', 1)
    (repository / "other" / "pipeline.toml").write_text(other)
    assert load_manifests(repository)["other"].after == ("liver",)
    message = broken(repository, 'kind = "rule"', 'after = ["other"]\nkind = "rule"')
    assert "leads back" in message


def test_a_check_that_is_not_installed_may_be_waited_for(repository: Path) -> None:
    """Sites install what they need."""
    path = repository / "liver" / "pipeline.toml"
    path.write_text(path.read_text().replace('kind = "rule"', 'after = ["bone"]\nkind = "rule"'))
    assert load_manifests(repository)["liver"].after == ("bone",)


def test_anatomy_is_no_check_to_come_after(repository: Path) -> None:
    """It has no result."""
    message = broken(repository, 'kind = "rule"', 'after = ["anatomy"]\nkind = "rule"')
    assert "no check" in message


def test_a_network_may_ask_for_organs_and_name_its_scores(repository: Path) -> None:
    """And have a rule and thresholds of its lesions."""
    anatomy = (repository / "anatomy" / "pipeline.toml").read_text()
    recipe = anatomy[anatomy.index("[recipe]") : anatomy.index("# The contrast gate")]
    path = repository / "liver" / "pipeline.toml"
    text = path.read_text().replace('kind = "rule"', 'kind = "network"\nensemble = "liver"')
    text = text.replace("schema = 1", 'schema = 1\nscores = ["pdff_percent"]', 1)
    text = text.replace("report = false", "report = false\norgans = true", 1)
    text = text.replace('source = "anatomy"\n', "", 1)
    text = text.replace(
        "[thresholds.mark]", "[thresholds.lesion]\nmark = 0.2\nflag = 0.5\n[thresholds.mark]", 1
    )
    path.write_text(text + recipe)
    liver = load_manifests(repository)["liver"]
    assert liver.organs
    assert not liver.has_network  # its weights are not here
    assert not liver.can_run
    weights = repository / "anatomy_net" / "1" / "model.onnx"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    liver = load_manifests(repository)["liver"]
    assert liver.has_network
    assert len(liver.models["anatomy_net"] or "") == 64
    assert liver.scores == ("pdff_percent",)
    assert liver.rule is not None
    assert liver.rule.source is None
    assert liver.thresholds is not None
    assert liver.thresholds.lesion is not None
    assert liver.thresholds.lesion.score == "score"
