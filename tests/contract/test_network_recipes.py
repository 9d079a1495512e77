"""What a network learnt from is what it is served: recipes against the tasks that train."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from networks.roi_sampling import padded_multiple
from networks.tasks import task_class
from networks.tasks.roi import RoiTask

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"

BOXES = ("aorta", "calcium", "pancreas", "stomach")
"""Checks whose network looks at one box."""

LESIONS = ("aorta", "pancreas", "stomach")


@cache
def manifest(name: str) -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / name / "pipeline.toml").read_text(encoding="utf-8"))


def config(name: str) -> Any:
    text = (REPOSITORY / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def task(name: str) -> type[RoiTask]:
    found = task_class(name)
    assert issubclass(found, RoiTask)
    return found


@pytest.mark.parametrize("name", BOXES)
def test_grid_and_windows_are_those_of_the_training(name: str) -> None:
    """Spacing, multiple of the padding, and HU that become 0 and 1."""
    recipe = manifest(name)["recipe"]
    assert tuple(recipe["grid"]["spacing_mm"]) == task(name).spacing_mm
    assert recipe["grid"]["multiple"] == padded_multiple(task(name).shape.multiple)
    assert tuple(tuple(c["clip_hu"]) for c in recipe["channels"]) == task(name).windows_hu


@pytest.mark.parametrize("name", BOXES)
def test_the_box_is_that_of_the_training(name: str) -> None:
    """Organs and margin; training shakes both."""
    roi, box = manifest(name)["roi"], task(name).box
    assert tuple(roi["organs"]) == box.organs
    assert tuple(roi["margin_mm"]) == box.margin_mm


@pytest.mark.parametrize("name", BOXES)
def test_labels_and_kinds_are_those_of_the_training(name: str) -> None:
    """In that order: they are numbers in the network's answer."""
    post = manifest(name)["recipe"]["post"]
    assert tuple(post["labels"]) == task(name).labels
    assert tuple(post.get("kinds", ())) == task(name).kinds
    if name in LESIONS:
        assert post["labels"].index(post["lesion"]) == task(name).shape.lesion


@pytest.mark.parametrize("name", LESIONS)
def test_scores_and_classes_are_the_patient_s_probability_and_the_kinds(name: str) -> None:
    """As `postprocess.lesions` orders them."""
    kinds = list(task(name).kinds)
    assert manifest(name)["scores"] == ["probability", *kinds]
    assert [grade["name"] for grade in manifest(name).get("classes", [])] == kinds


@pytest.mark.parametrize("name", LESIONS)
def test_the_flag_s_share_of_the_budget_is_what_its_threshold_is_set_for(name: str) -> None:
    """Of healthy studies."""
    flag = manifest(name)["thresholds"]["flag"]
    assert flag["false_flag_budget"] == task(name).flag_share


@pytest.mark.parametrize("name", LESIONS)
def test_what_is_marked_has_a_place(name: str) -> None:
    """From the mark threshold on the most suspicious place is given where no voxel is lesion."""
    post, mark = manifest(name)["recipe"]["post"], manifest(name)["thresholds"]["mark"]
    assert post["place_from"] <= mark["value"]


@pytest.mark.parametrize("name", BOXES)
def test_the_network_s_tensors_fit_its_recipe(name: str) -> None:
    """Windows in, and one number a kind out."""
    network = config(f"{name}_net")
    assert network.input[0].dims[0] == len(manifest(name)["recipe"]["channels"])
    outputs = {tensor.name: list(tensor.dims) for tensor in network.output}
    expected = {"labels": [-1] * 3}
    if name in LESIONS:
        expected |= {"lesion": [-1] * 3, "score": [1]}
    if task(name).kinds:
        expected["kinds"] = [len(task(name).kinds)]
    assert outputs == expected
