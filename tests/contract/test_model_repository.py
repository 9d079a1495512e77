"""model_repository against gateway/contract.py, Triton's own protobuf and preprocess.Recipe."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.contract import CT_INPUTS, CT_OUTPUTS, REGION_PREFIX, Tensor
from networks.labels import ANATOMY_LABELS
from networks.model_card import reaches_aims
from preprocess.recipe import Recipe
from preprocess.region import REGION_NAME

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"

NETWORKS = {
    "anatomy_net",
    "aorta_net",
    "bone_age_net",
    "bone_crops",
    "bone_net",
    "calcium_net",
    "chest_net",
    "liver_net",
    "nodule_crops",
    "nodule_net",
    "pancreas_net",
    "stomach_net",
}

MODELS = NETWORKS | {
    "anatomy",
    "aorta",
    "bone",
    "bone_age",
    "calcium",
    "chest",
    "ct_detect",
    "ct_postprocess",
    "ct_preprocess",
    "liver",
    "nodule",
    "pancreas",
    "stomach",
}
"""What Triton loads."""

RULES: set[str] = set()
"""Checks that are a rule over another pipeline."""

CONFIGS = sorted(REPOSITORY.glob("*/config.pbtxt"))
MANIFESTS = sorted(REPOSITORY.glob("*/pipeline.toml"))


def folder(path: Path) -> str:
    return path.parent.name


def parsed(name: str) -> Any:
    text = (REPOSITORY / name / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def tensors(declared: Any) -> dict[str, Tensor]:
    """Give a configuration's inputs or outputs as the contract states them."""
    names = model_config_pb2.DataType.Name
    return {
        t.name: Tensor(t.name, names(t.data_type), tuple(t.dims), bool(getattr(t, "optional", 0)))
        for t in declared
    }


def ensembles() -> list[str]:
    return [folder(path) for path in CONFIGS if parsed(folder(path)).platform == "ensemble"]


def test_the_root_holds_the_known_models_and_nothing_else() -> None:
    """Triton takes every folder for a model, hidden ones and caches too."""
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    assert folders == MODELS | RULES
    assert {folder(path) for path in CONFIGS} == MODELS


@pytest.mark.parametrize("path", CONFIGS, ids=folder)
def test_a_configuration_is_triton_s(path: Path) -> None:
    """It parses, is named for its folder, and says which version is served."""
    config = parsed(folder(path))
    assert config.name == folder(path)
    assert config.platform or config.backend
    assert list(config.version_policy.specific.versions) == [1]
    assert (path.parent / "1").is_dir()


@pytest.mark.parametrize("path", CONFIGS, ids=folder)
def test_every_tensor_says_its_axes_and_unit(path: Path) -> None:
    """On its own line, in a comment."""
    lines = [
        line for line in path.read_text().splitlines() if "data_type:" in line and "dims" in line
    ]
    described = [line for line in lines if "_data: true" not in line]
    assert described
    assert not [line for line in described if not re.search(r"#\s+\S+", line)]


@pytest.mark.parametrize("name", ensembles())
def test_outer_tensors_are_those_of_the_contract(name: str) -> None:
    """An ensemble takes every required tensor, no unknown one, and gives them all."""
    config = parsed(name)
    contract = {tensor.name: tensor for tensor in CT_INPUTS}
    taken = tensors(config.input)
    assert taken == {key: contract[key] for key in taken}
    assert {t.name for t in CT_INPUTS if not t.optional} | {"SOURCE", "VOLUME"} <= set(taken)
    assert tensors(config.output) == {tensor.name: tensor for tensor in CT_OUTPUTS}


@pytest.mark.parametrize("name", ensembles())
def test_the_steps_of_an_ensemble_fit_each_other(name: str) -> None:
    """Every step exists, takes what its model declares, of the type that the step before gives."""
    config = parsed(name)
    known = {key: tensor.data_type for key, tensor in tensors(config.input).items()}
    for step in config.ensemble_scheduling.step:
        model = parsed(step.model_name)
        inputs, outputs = tensors(model.input), tensors(model.output)
        required = {key for key, tensor in inputs.items() if not tensor.optional}
        assert required <= set(step.input_map) <= set(inputs)
        assert set(step.output_map) <= set(outputs)
        assert all(
            known[outer] == inputs[inner].data_type for inner, outer in step.input_map.items()
        )
        known |= {outer: outputs[inner].data_type for inner, outer in step.output_map.items()}
    assert {t.name: t.data_type for t in CT_OUTPUTS}.items() <= known.items()


def test_case_tells_outer_from_inner_tensors() -> None:
    """UPPER_SNAKE crosses the gateway, lower_snake stays between steps."""
    outer = {tensor.name for tensor in (*CT_INPUTS, *CT_OUTPUTS)}
    for name in sorted(MODELS):
        config = parsed(name)
        for key in (*tensors(config.input), *tensors(config.output)):
            assert key in outer if key.isupper() else key.islower()


@pytest.mark.parametrize("name", sorted(MODELS - set(ensembles())))
def test_stat_goes_before_routine_where_all_checks_queue(name: str) -> None:
    """A shared step has levels and several instances; with one instance levels cost seconds."""
    config = parsed(name)
    [group] = config.instance_group
    levels = (
        config.dynamic_batching.priority_levels,
        config.dynamic_batching.default_priority_level,
    )
    assert config.HasField("dynamic_batching")
    assert levels == ((0, 0) if name in NETWORKS else (2, 2))
    assert group.count == 1 if name in NETWORKS else group.count > 1


def test_no_step_bounds_its_queue() -> None:
    """A full queue of one branch hangs an ensemble for ever; admission is the gateway's."""
    for path in CONFIGS:
        assert not parsed(folder(path)).dynamic_batching.default_queue_policy.max_queue_size


def test_networks_are_warm_when_they_are_ready() -> None:
    """With an input of their own shape, whose axes they may halve four times."""
    for path in CONFIGS:
        config = parsed(folder(path))
        if config.backend != "onnxruntime":
            continue
        (warmup,) = config.model_warmup
        declared = tensors(config.input)
        for key, given in warmup.inputs.items():
            dims = declared[key].dims
            assert all(a in (-1, b) for a, b in zip(dims, given.dims))
            assert all(n % 16 == 0 for n, free in zip(given.dims, dims) if free == -1)


def test_networks_ask_for_openvino_on_the_cpu() -> None:
    """The wheel's backend and the official one read the same field."""
    for path in CONFIGS:
        config = parsed(folder(path))
        if config.backend == "onnxruntime":
            accelerators = config.optimization.execution_accelerators
            assert [one.name for one in accelerators.cpu_execution_accelerator] == ["openvino"]


@pytest.mark.parametrize("path", MANIFESTS, ids=folder)
def test_a_manifest_is_named_for_its_folder(path: Path) -> None:
    """And a network's or the infrastructure's ensemble is served."""
    manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    assert manifest["name"] == folder(path)
    assert manifest["schema"] == 1
    assert (manifest["kind"] == "rule") == (folder(path) in RULES)
    if manifest["kind"] != "rule":
        assert manifest["ensemble"] in ensembles()


@pytest.mark.parametrize("path", MANIFESTS, ids=folder)
def test_a_recipe_is_one_that_preprocess_reads(path: Path) -> None:
    """As TOML and as the JSON that travels; a rule has none."""
    manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    if manifest["kind"] == "rule":
        assert "recipe" not in manifest
        return
    recipe = Recipe.from_mapping(manifest["recipe"])
    assert recipe.name == manifest["name"]
    assert Recipe.from_json(json.dumps(manifest["recipe"])).digest() == recipe.digest()


def test_the_labels_of_anatomy_are_the_network_s() -> None:
    """Recipe, label definition of the training, and in that order."""
    manifest = tomllib.loads((REPOSITORY / "anatomy/pipeline.toml").read_text())
    assert manifest["recipe"]["post"]["labels"] == list(ANATOMY_LABELS)
    assert len(manifest["recipe"]["channels"]) == parsed("anatomy_net").input[0].dims[0]


def test_the_gate_measures_organs_that_anatomy_has() -> None:
    """A misspelt organ would be one region less, silently."""
    manifest = tomllib.loads((REPOSITORY / "anatomy/pipeline.toml").read_text())
    organs = set(manifest["recipe"]["post"]["labels"][1:])
    assert set(manifest["phase"]["native_max_hu"]) <= organs
    for path in MANIFESTS:
        check = tomllib.loads(path.read_text())
        assert {need["name"] for need in check["requires"].get("organs", [])} <= organs
        assert set(check.get("roi", {}).get("organs", [])) <= organs
        post = check.get("recipe", {}).get("post", {})
        assert {*post.get("within", []), *post.get("organs", [])} <= organs
        assert post.get("noise_organ", "aorta") in organs


def test_an_ensemble_takes_what_its_manifest_sends() -> None:
    """Organs, clinical values and report; what is not sent is not taken."""
    for path in MANIFESTS:
        check = tomllib.loads(path.read_text())
        if check["kind"] == "rule":
            continue
        taken = set(tensors(parsed(check["ensemble"]).input))
        sent = {
            "ORGANS": check["inputs"].get("organs", False),
            "CLINICAL": bool(check["inputs"]["clinical"]),
            "REPORT": check["inputs"]["report"],
        }
        assert {name for name, is_sent in sent.items() if is_sent} == taken & set(sent)


def test_every_key_of_a_manifest_is_documented() -> None:
    """The README of the repository names each."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for path in MANIFESTS:
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
        names = set(manifest) | {f"requires.{key}" for key in manifest["requires"]}
        assert not [n for n in sorted(names) if f"`{n}`" not in readme and f"`{n}." not in readme]


def test_both_sides_open_regions_of_one_prefix() -> None:
    """The gateway makes the name, preprocess opens it."""
    assert REGION_NAME.fullmatch(f"{REGION_PREFIX}0123456789ab-77-4711-{'f' * 32}")
    assert REGION_NAME.pattern.startswith(REGION_PREFIX)


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*_net/figures.json")), ids=folder)
def test_a_manifest_says_whether_the_weights_reached_their_aims(path: Path) -> None:
    """As the figures of the card have it; weights that did not may not say negative."""
    figures = json.loads(path.read_text(encoding="utf-8"))
    manifest = REPOSITORY / figures["check"] / "pipeline.toml"
    provenance = tomllib.loads(manifest.read_text(encoding="utf-8"))["provenance"]
    assert provenance.get("accepted", True) is reaches_aims(figures)
