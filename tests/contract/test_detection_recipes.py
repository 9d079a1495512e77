"""What a detector learnt from is what it is served: its recipe against the task that trains it."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.contract import PRIORITY_PARAMETER
from gateway.screening.manifest_reader import read_manifest
from gateway.screening.rules.lung import KINDS
from gateway.triton.client import PRIORITY_STAT
from networks.detection_run import AROUND_MM, CANDIDATES, LEAST_SCORE, MARGIN
from networks.nets.crop_classifier import CROP
from networks.nets.detector import TOP
from networks.phantoms.lesions.bone import METASTASES
from networks.phantoms.tissue import organ_table
from networks.tasks import task_class
from networks.tasks.detection import DetectionTask
from networks.tasks.nodule import FOLLOW_UP_MM
from postprocess.search import CROPS_TOGETHER
from preprocess.posts import DetectionsPost
from preprocess.recipe import Recipe
from tests.fake_pb_utils import load_model

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"

CHECKS = ("bone", "nodule")


@cache
def manifest(name: str) -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / name / "pipeline.toml").read_text(encoding="utf-8"))


def post(name: str) -> DetectionsPost:
    read = Recipe.from_mapping(manifest(name)["recipe"]).post
    assert isinstance(read, DetectionsPost)
    return read


def task(name: str) -> type[DetectionTask]:
    found = task_class(name)
    assert issubclass(found, DetectionTask)
    return found


def config(name: str) -> Any:
    text = (REPOSITORY / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


@pytest.mark.parametrize("name", CHECKS)
def test_grid_and_windows_are_those_of_the_training(name: str) -> None:
    """And nothing is padded: tiles repeat the edge themselves."""
    recipe = manifest(name)["recipe"]
    assert tuple(recipe["grid"]["spacing_mm"]) == task(name).tile.spacing_mm
    assert set(recipe["grid"]) == {"spacing_mm"}
    assert tuple(tuple(c["clip_hu"]) for c in recipe["channels"]) == task(name).windows_hu


@pytest.mark.parametrize("name", CHECKS)
def test_tiles_and_candidates_are_those_of_the_training(name: str) -> None:
    """What judges the networks searches in the same way."""
    read = post(name)
    assert (read.tile, read.margin, read.crop) == (task(name).tile.shape, MARGIN, CROP)
    assert (read.candidates, read.least_score) == (CANDIDATES, LEAST_SCORE)
    assert read.around_mm <= min(manifest(name)["roi"]["margin_mm"]) == AROUND_MM


@pytest.mark.parametrize("name", CHECKS)
def test_kinds_are_those_of_the_training(name: str) -> None:
    """In that order: they are columns of the networks' answers."""
    kinds = list(task(name).kinds)
    assert list(post(name).kinds) == kinds
    assert manifest(name)["scores"] == ["probability", *kinds]
    assert [grade["name"] for grade in manifest(name)["classes"]] == kinds


@pytest.mark.parametrize("name", CHECKS)
def test_the_search_goes_where_the_training_looked(name: str) -> None:
    """The tissues of the planting are those organs of anatomy, and no other."""
    labels = manifest("anatomy")["recipe"]["post"]["labels"]
    tissues = task(name).planting().tissues
    assert {labels[organ_table()[tissue]] for tissue in tissues} == set(post(name).organs)
    assert manifest(name)["roi"]["organs"] == list(post(name).organs)


def test_a_metastasis_is_one_of_three_kinds_and_a_nodule_any() -> None:
    """As the training ranks marks; and the lung rule knows each kind of nodule."""
    assert post("bone").wanted == METASTASES
    assert post("nodule").wanted == ()
    assert set(post("nodule").kinds) == set(KINDS)
    assert manifest("nodule")["rule"]["parameters"]["follow_up_mm"] == FOLLOW_UP_MM


@pytest.mark.parametrize("name", CHECKS)
def test_a_lesion_is_marked_and_flagged_where_its_check_is(name: str) -> None:
    """Two sets of numbers that must not drift apart; and the share of the false-flag budget."""
    thresholds = read_manifest(REPOSITORY / name / "pipeline.toml").thresholds
    assert thresholds is not None
    assert thresholds.lesion is not None
    assert thresholds.lesion.mark == thresholds.mark.value
    assert thresholds.lesion.flag == thresholds.flag.value
    assert thresholds.flag.false_flag_budget == task(name).flag_share


@pytest.mark.parametrize("name", CHECKS)
def test_the_networks_tensors_fit_the_recipe(name: str) -> None:
    """Tiles and crops in; rows of peaks, chances and kinds out; whole requests fit a batch."""
    read, channels = post(name), len(manifest(name)["recipe"]["channels"])
    detector, classifier = config(read.detector), config(read.classifier)
    assert manifest(name)["provenance"]["model"] == [read.detector, read.classifier]
    assert list(detector.input[0].dims) == [channels, *read.tile]
    assert list(detector.output[0].dims) == [TOP, 5 + len(read.kinds)]
    assert list(classifier.input[0].dims) == [channels, *[read.crop] * 3]
    assert {t.name: list(t.dims) for t in classifier.output} == {
        "chance": [1],
        "kinds": [len(read.kinds)],
    }
    assert detector.max_batch_size % read.chunk == 0
    assert classifier.max_batch_size % CROPS_TOGETHER == 0


def test_both_sides_call_the_priority_by_one_name() -> None:
    """The gateway sends it, the search reads it."""
    names = load_model(REPOSITORY / "ct_detect/1/model.py").execute.__globals__
    assert (names["PRIORITY_PARAMETER"], names["STAT"]) == (PRIORITY_PARAMETER, PRIORITY_STAT)
