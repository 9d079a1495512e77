"""The chest as it was trained and as it is served: labels, grid, box, bank, thresholds."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.screening.manifest_reader import load_manifests, read_manifest
from gateway.screening.rules.chest import IN_VIEW
from gateway.screening.rules.chest_taken import TAKEN
from gateway.settings import ROOT
from networks.chest_export import INPUTS
from networks.chest_scenes import BOX
from networks.chest_study import EVALUATED
from networks.memory_bank import ARRAYS as BANK_ARRAYS
from networks.nets.chest_net import KEPT, NEIGHBOURS, ChestFile
from networks.nets.tile_encoder import CLIP_HU, EMBEDDED, TILE
from networks.phantoms.chest_labels import CHEST_LABELS, LABEL_NAMES
from preprocess.bank import ARRAYS, LEAST_TILES
from tests.chest_bank import tiny_bank, write_bank
from tests.tiny_nets import CHEST, write_net

REPOSITORY = ROOT / "model_repository"

MANIFEST = tomllib.loads((REPOSITORY / "chest" / "pipeline.toml").read_text(encoding="utf-8"))


def network() -> Any:
    text = (REPOSITORY / "chest_net" / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_labels_have_the_names_and_the_order_of_the_training() -> None:
    """As columns of the network and as what a reader is told, in both languages."""
    assert tuple(MANIFEST["recipe"]["post"]["labels"]) == LABEL_NAMES
    told = [(one["name"], one["en"], one["zh"]) for one in MANIFEST["classes"]]
    assert told == [(label.name, label.english, label.chinese) for label in CHEST_LABELS]


def test_grid_window_tile_and_box_are_those_of_the_training() -> None:
    """1.5 mm, tiles of 24 mm, −1024 to 1024 HU; the box of lungs, heart and liver."""
    recipe = MANIFEST["recipe"]
    assert recipe["grid"]["spacing_mm"] == [24.0 / TILE] * 3
    assert recipe["grid"]["multiple"] == recipe["post"]["tile"] == TILE
    assert [tuple(one["clip_hu"]) for one in recipe["channels"]] == [CLIP_HU]
    assert tuple(MANIFEST["roi"]["organs"]) == BOX.organs
    assert tuple(MANIFEST["roi"]["margin_mm"]) == BOX.margin_mm


def test_the_network_s_tensors_are_those_of_the_export() -> None:
    """By name and size."""
    config, count = network(), len(LABEL_NAMES)
    inputs = {one.name: list(one.dims) for one in config.input}
    outputs = {one.name: list(one.dims) for one in config.output}
    assert tuple(inputs) == INPUTS
    assert inputs["bank"] == [-1, EMBEDDED]
    assert inputs["bank_labels"] == [-1, count]
    assert tuple(outputs) == ChestFile.OUTPUTS
    assert outputs == {
        "labels": [1, count],
        "where": [1, count],
        "parts": [1, 3, count],
        "kept": [1, KEPT],
        "worth": [1, KEPT],
        "embedded": [1, KEPT, EMBEDDED],
    }


def test_a_bank_is_the_one_that_the_training_writes() -> None:
    """File and least size."""
    assert ARRAYS == BANK_ARRAYS
    assert LEAST_TILES == NEIGHBOURS


def test_every_label_of_its_own_has_thresholds_and_no_other() -> None:
    """What the network is not asked for, and what other checks answer, have none."""
    own = {
        name
        for name, asked in zip(LABEL_NAMES, EVALUATED, strict=True)
        if asked and name not in TAKEN
    }
    assert set(MANIFEST["thresholds"]["labels"]) == own
    assert set(TAKEN) | set(IN_VIEW) <= set(LABEL_NAMES)


def test_it_waits_for_every_check_that_it_takes_a_label_from() -> None:
    """And all of them are installed."""
    asked = {check for taken in TAKEN.values() for check in taken.checks}
    assert set(MANIFEST["after"]) == asked <= set(load_manifests(REPOSITORY))


def test_kinds_that_labels_are_read_off_are_those_of_their_checks() -> None:
    """A misspelt kind would be negative for ever."""
    for taken in TAKEN.values():
        for check in taken.checks if taken.kinds else ():
            manifest = read_manifest(REPOSITORY / check / "pipeline.toml")
            kinds = json.loads(manifest.recipe_json or "{}")["post"]["kinds"]
            assert set(taken.kinds) <= set(kinds)


@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("bank", [False, True])
def test_it_runs_with_weights_and_bank_only(tmp_path: Path, *, weights: bool, bank: bool) -> None:
    """Else its check is not_evaluated: no_reference_weights; both are in the provenance."""
    shutil.copytree(REPOSITORY / "chest", tmp_path / "chest")
    if weights:
        write_net(CHEST, tmp_path / "chest_net" / "1" / "model.onnx")
    if bank:
        write_bank(tmp_path / "chest_net", tiny_bank())
    manifest = read_manifest(tmp_path / "chest" / "pipeline.toml")
    assert manifest.can_run is (weights and bank)
    digest = tiny_bank().digest if bank else None
    assert manifest.models["chest_net/bank"] == digest
