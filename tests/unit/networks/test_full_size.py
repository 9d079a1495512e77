"""Networks as wide as nnU-Net keep the contract of the small ones; random weights say so."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gateway.exceptions import NetworkRefusedError
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT
from gateway.triton.onnx_labels import has_random_weights, onnx_labels
from networks.bring.onnx_file import read_onnx
from networks.detection_export import export_classifier
from networks.export import main, open_session
from networks.random_weights import drawn_network, label_random, write_repository
from networks.sizes import full_widths
from networks.tasks import trainable
from tests.tiny_nets import PANCREAS, write_net

REPOSITORY = ROOT / "model_repository"

MILLIONS = {
    "anatomy": (1.4, 18.9), "pancreas": (0.8, 19.0), "stomach": (0.8, 19.0), "liver": (0.5, 6.1),
    "bone": (1.1, 16.7), "aorta": (0.8, 19.0), "nodule": (1.1, 16.7), "calcium": (0.6, 18.4),
    "chest": (0.6, 14.3), "bone_age": (0.4, 8.2),
}  # fmt: skip
"""Parameters of the small and the full size, as docs/models.md tells them."""

EXPORTERS = (
    "networks.export", "networks.tasks.roi", "networks.tasks.liver", "networks.tasks.bone_age",
    "networks.chest_export", "networks.detection_export",
)  # fmt: skip


class Exported(Exception):
    """What would be written, without the writing."""

    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], names: Sequence[str]):
        super().__init__()
        self.module, self.inputs, self.names = module, inputs, tuple(names)

    def contract(self) -> dict[str, Any]:
        """Give names, types and shapes of what goes in and comes out; nothing is computed."""
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True) as mode:
            given = self.module(*(mode.from_tensor(x) for x in self.inputs.values()))
        outputs = given if isinstance(given, tuple) else (given,)
        told = {name: (x.dtype, tuple(x.shape)) for name, x in self.inputs.items()}
        return told | {
            name: (x.dtype, tuple(x.shape)) for name, x in zip(self.names, outputs, strict=True)
        }


@pytest.fixture
def nothing_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every exporter stop where it would write."""

    def stop(module: nn.Module, path: Path, *, inputs: Any, outputs: Any, dynamic: Any) -> None:
        raise Exported(module, inputs, outputs)

    # all are imported before one is changed: each takes the name from the first
    for module in [importlib.import_module(name) for name in EXPORTERS]:
        monkeypatch.setattr(module, "write_onnx", stop)


@pytest.mark.parametrize("check", trainable())
def test_the_full_size_keeps_the_contract(check: str, nothing_written: None) -> None:
    """The same tensors as the small one and as the released file; more parameters."""
    contracts, counts = [], []
    for size in ("small", "full"):
        task, network = drawn_network(check, size)
        counts.append(sum(x.numel() for x in network.parameters()) / 1e6)
        with pytest.raises(Exported) as stopped:
            task.export(network, Path("nowhere.onnx"))
        contracts.append([stopped.value.contract()])
        names = (list(stopped.value.inputs), list(stopped.value.names))
        if hasattr(network, "classifier"):
            with pytest.raises(Exported) as stopped:
                export_classifier(network.classifier, Path("nowhere.onnx"))
            contracts[-1].append(stopped.value.contract())
    assert contracts[0] == contracts[1]
    assert [round(count, 1) for count in counts] == list(MILLIONS[check])
    graph = onnx.load(str(REPOSITORY / f"{check}_net/1/model.onnx")).graph
    assert ([x.name for x in graph.input], [x.name for x in graph.output]) == names


def test_widths_are_those_of_nnunet() -> None:
    """32 at full resolution, doubled by each halving of the plane, 320 at most."""
    assert full_widths((2, 2, 2, 2)) == (64, 128, 256, 320)
    assert full_widths((4, 2, 2)) == (128, 256, 320)
    assert full_widths((2, 2, 2, 2), 512) == (64, 128, 256, 512)


@pytest.fixture(scope="module")
def full_liver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the smallest full network by the command."""
    path = tmp_path_factory.mktemp("full") / "1" / "model.onnx"
    main(["liver", str(path), "--random", "--size", "full"])
    return path


def test_a_full_network_runs_in_onnx_runtime(full_liver: Path) -> None:
    """One box; probabilities of every grade, as the released one gives them."""
    fed = {
        "volume": np.random.default_rng(0).random((1, 2, 32, 32, 32), np.float32),
        "clinical": np.full((1, 8), np.nan, np.float32),
        "tokens": np.zeros((1, 256), np.int64),
    }
    ours = open_session(full_liver).run(None, fed)
    theirs = open_session(REPOSITORY / "liver_net/1/model.onnx").run(None, fed)
    assert [(x.shape, x.dtype) for x in ours] == [(x.shape, x.dtype) for x in theirs]
    assert all(((x >= 0) & (x <= 1)).all() for x in ours[:2])


def test_a_random_network_says_so(full_liver: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the file, which is how the gateway knows; released ones do not."""
    assert has_random_weights(full_liver)
    for released in REPOSITORY.glob("*/1/model.onnx"):
        assert not has_random_weights(released)
    # what else a file says stays, and is read without the graph
    told = onnx_labels(REPOSITORY / "chest_net/1/model.onnx")
    model = onnx.load(str(REPOSITORY / "chest_net/1/model.onnx"))
    assert told == {one.key: one.value for one in model.metadata_props}
    assert len(told["encoder"]) == 64


def test_labels_of_what_is_no_onnx_file_are_none(tmp_path: Path) -> None:
    """Damaged, cut off, empty."""
    path = tmp_path / "model.onnx"
    for data in (b"", b"\xff" * 40, b"\x72\xff\x01ab", bytes(range(256))):
        path.write_bytes(data)
        assert not has_random_weights(path)


def test_random_weights_are_not_brought_in(tmp_path: Path) -> None:
    """`onescan models import` refuses them: the label would be lost."""
    path = tmp_path / "model.onnx"
    write_net(PANCREAS, path)
    read_onnx(path)
    label_random(path)
    with pytest.raises(NetworkRefusedError, match="random"):
        read_onnx(path)


def test_a_repository_of_random_networks(tmp_path: Path) -> None:
    """Small ones here; cards that say so, and manifests that let no check be evaluated."""
    output = tmp_path / "models"
    (row,) = write_repository(output, size="small", checks=["bone_age"])
    assert row["network"] == "bone_age_net"
    assert 0.36e6 < row["parameters"] < 0.38e6
    assert "Random weights" in (output / "bone_age_net" / "README.md").read_text()
    manifests = load_manifests(output)
    assert manifests["bone_age"].random_weights == ("bone_age_net",)
    assert manifests["pancreas"].random_weights == ()
    with pytest.raises(ValueError, match="not empty"):
        write_repository(output, size="small", checks=["bone_age"])


def test_random_anatomy_spoils_every_check_of_a_ct(tmp_path: Path) -> None:
    """Whose network is trained too; a radiograph has no organs to be seen."""
    import shutil

    output = tmp_path / "models"
    left_out = shutil.ignore_patterns("model.onnx", "__pycache__")
    shutil.copytree(REPOSITORY, output, ignore=left_out)
    write_net(PANCREAS, output / "anatomy_net" / "1" / "model.onnx")
    label_random(output / "anatomy_net" / "1" / "model.onnx")
    manifests = load_manifests(output)
    spoilt = {name for name, one in manifests.items() if one.random_weights}
    assert spoilt == {name for name, one in manifests.items() if one.needs.has_anatomy}
    assert {"aorta", "liver", "chest", "nodule"} <= spoilt
    assert "bone_age" not in spoilt


def test_a_training_keeps_its_own_size() -> None:
    """The size of a checkpoint is not changed by a word on the command line."""
    with pytest.raises(SystemExit):
        main(["checkpoint.pt", "model.onnx", "--size", "full"])
    with pytest.raises(SystemExit, match="no network 'knee'"):
        main(["knee", "model.onnx", "--random"])
