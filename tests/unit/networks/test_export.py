"""The exported file gives the labels that torch gives, on any grid and batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from networks.evaluation.anatomy import MODEL
from networks.export import LEAST_AGREEMENT, agreement, export_network, open_session, smooth_volume
from networks.labels import ANATOMY_LABELS
from networks.unet import UNet


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(2)
    return UNet().eval()


@pytest.fixture(scope="module")
def exported(network: UNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "1" / "model.onnx"
    export_network(network, path)
    return path


def test_file_agrees_with_torch(network: UNet, exported: Path) -> None:
    """At least 99.9 % of voxels of a smooth volume get the same label."""
    assert agreement(network, exported) >= LEAST_AGREEMENT


@pytest.mark.parametrize("shape", [(1, 2, 32, 64, 48), (2, 2, 48, 32, 32)])
def test_file_takes_any_batch_and_grid(exported: Path, shape: tuple[int, ...]) -> None:
    """Batch and axes are dynamic; the answer is one byte a voxel."""
    volume = np.random.default_rng(0).random(shape, np.float32)
    labels = open_session(exported).run(["labels"], {"volume": volume})[0]
    assert labels.dtype == np.uint8
    assert labels.shape == (shape[0], *shape[2:])


@pytest.mark.skipif(not MODEL.exists(), reason="no released network in this checkout")
def test_released_file_keeps_its_contract() -> None:
    """The committed network is opset 17, small, and speaks `volume` and `labels`."""
    model = onnx.load(MODEL)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert [value.name for value in model.graph.input] == ["volume"]
    assert [value.name for value in model.graph.output] == ["labels"]
    assert MODEL.stat().st_size <= 8_000_000
    labels = open_session(MODEL).run(["labels"], {"volume": smooth_volume(1, (32, 48, 64))})[0]
    assert labels.max() < len(ANATOMY_LABELS)


def test_labels_file_is_the_label_list() -> None:
    """labels.txt names the label values in order."""
    lines = (MODEL.parent.parent / "labels.txt").read_text().splitlines()
    assert tuple(lines) == ANATOMY_LABELS
