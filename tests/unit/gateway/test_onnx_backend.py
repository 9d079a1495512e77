"""The engine of our ONNX backend, on a 3D U-Net exported from torch."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from gateway.runtime.backends.onnxruntime import engine
from gateway.settings import ROOT
from tests.tiny_nets import CHEST, PANCREAS, write_net

SAME_ANSWERS = 0.999
"""Share of equal argmax values between two f32 runtimes; ties fall either way."""


class Block(nn.Sequential):
    """Two convolutions with instance normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            layers += [
                nn.Conv3d(channels, outputs, 3, padding=1),
                nn.InstanceNorm3d(outputs, affine=True),
                nn.LeakyReLU(0.01),
            ]
        super().__init__(*layers)


class TinyUnet(nn.Module):
    """Two levels; gives logits and their argmax."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse, self.last = Block(2, 8), Block(8, 16), Block(16, 8)
        self.down, self.up = nn.MaxPool3d(2), nn.ConvTranspose3d(16, 8, 2, 2)
        self.head = nn.Conv3d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        skip = self.fine(x)
        up = self.up(self.coarse(self.down(skip)))
        logits = self.head(self.last(torch.cat([up, skip], 1)))
        return logits, logits.argmax(1).to(torch.uint8)


@pytest.fixture(scope="module")
def unet() -> TinyUnet:
    torch.manual_seed(0)
    return TinyUnet().eval()


@pytest.fixture(scope="module")
def model(unet: TinyUnet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    dynamic = {0: "n", 2: "d", 3: "h", 4: "w"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls its own older exporter deprecated
        torch.onnx.export(
            unet,
            (torch.zeros(1, 2, 32, 32, 32),),
            str(path),
            input_names=["volume"],
            output_names=["logits", "labels"],
            dynamic_axes={
                "volume": dynamic,
                "logits": dynamic,
                "labels": {0: "n", 1: "d", 2: "h", 3: "w"},
            },
            opset_version=17,
            dynamo=False,
        )
    return path


def volume(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(7).random((1, 2, *shape), dtype=np.float32)


def test_openvino_runs_many_shapes_as_torch_does(model: Path, unet: TinyUnet) -> None:
    """One compilation with dynamic axes serves every study."""
    loaded = engine.load(model, openvino=True, precision="f32", threads=2)
    assert loaded.description.startswith("OpenVINO f32")
    for shape in ((32, 32, 32), (32, 48, 64), (32, 32, 32)):
        x = volume(*shape)
        outputs = loaded.run({"volume": x})
        with torch.no_grad():
            logits, labels = (one.numpy() for one in unet(torch.from_numpy(x)))
        scale = float(np.abs(logits).max())
        np.testing.assert_allclose(outputs["logits"], logits, atol=1e-3 * scale)
        assert outputs["labels"].dtype == np.uint8
        assert np.mean(outputs["labels"] == labels) > SAME_ANSWERS


def test_an_output_that_is_passed_on_keeps_the_file_s_name(tmp_path: Path) -> None:
    """OpenVINO gives the tensor behind it a name of its own choice."""
    write_net(PANCREAS, tmp_path / "model.onnx")
    loaded = engine.load(tmp_path / "model.onnx", openvino=True, precision="f32")
    assert "OpenVINO" in loaded.description
    answer = loaded.run({"volume": np.zeros((1, 2, 16, 16, 16), np.float32)})
    assert list(answer) == ["labels", "lesion", "score", "kinds"]
    assert {name: array.shape[1:] for name, array in answer.items()} == {
        "labels": (16, 16, 16), "lesion": (16, 16, 16), "score": (1,), "kinds": (8,),
    }  # fmt: skip


def test_what_openvino_answers_otherwise_is_left_to_onnxruntime(tmp_path: Path) -> None:
    """OpenVINO 2026.4 reduces over all axes here, without an error."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    sums (float[N, 3, L] x) => (float[N, L] y) { y = ReduceLogSumExp<axes = [1], keepdims = 0>(x) }
    """
    write_net(text, tmp_path / "model.onnx")
    loaded = engine.load(tmp_path / "model.onnx", openvino=True, precision="f32")
    assert "OpenVINO answers otherwise" in loaded.description
    x = np.random.default_rng(1).normal(size=(1, 3, 4)).astype(np.float32)
    np.testing.assert_allclose(loaded.run({"x": x})["y"], np.log(np.exp(x).sum(1)), rtol=1e-5)


@pytest.mark.parametrize("network", ["bone_net", "nodule_net"])
def test_peaks_that_change_places_are_no_other_answer(network: str) -> None:
    """A detector's table is ordered by score, and two rows that score alike may change places."""
    path = ROOT / "model_repository" / network / "1" / "model.onnx"
    loaded = engine.load(path, openvino=True, native_bf16=False)
    assert loaded.description == "OpenVINO f32 (the processor has no bf16)"


def test_in_bf16_peaks_keep_their_places() -> None:
    """There scores move by more than the last bit, and weak peaks come and go."""
    peaks = np.array([[[0.5, 1, 2, 3, 4], [0.4, 9, 9, 9, 4], [0.1, 5, 5, 5, 4]]], np.float32)
    turned = peaks[:, [1, 0, 2]]
    assert engine.parity({"peaks": peaks}, {"peaks": turned})[0]
    assert not engine.parity({"peaks": peaks}, {"peaks": turned}, any_order=False)[0]


def test_the_configuration_decides_for_openvino(model: Path) -> None:
    """Without the accelerator in config.pbtxt ONNX Runtime runs the file, with equal answers."""
    plain = engine.load(model, openvino=False)
    assert plain.description.startswith("ONNX Runtime f32")
    x = {"volume": volume(32, 32, 32)}
    accelerated = engine.load(model, openvino=True, precision="f32")
    agreement = np.mean(plain.run(x)["labels"] == accelerated.run(x)["labels"])
    assert agreement > SAME_ANSWERS


def test_onnxruntime_takes_over_what_openvino_cannot_load(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that OpenVINO refuses is still served, and the log says why."""
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    loaded = engine.load(model, openvino=True)
    assert loaded.description.startswith("ONNX Runtime f32 (OpenVINO failed: ")
    assert loaded.run({"volume": volume(32, 32, 32)})["labels"].shape == (1, 32, 32, 32)


def test_auto_is_f32_where_bf16_is_not_native(model: Path) -> None:
    """bf16 without hardware for it would be slower and less exact."""
    assert engine.load(model, openvino=True, native_bf16=False).description == (
        "OpenVINO f32 (the processor has no bf16)"
    )


def test_auto_with_native_bf16_is_what_parity_says(model: Path) -> None:
    """The choice and the measurement are in the description."""
    description = engine.load(model, openvino=True, native_bf16=True).description
    assert description.startswith(
        ("OpenVINO bf16 (parity holds: logits", "OpenVINO f32 (bf16 parity fails: logits")
    )
    assert "labels agreement" in description


@pytest.mark.parametrize("openvino", [True, False])
def test_nothing_is_told_to_the_makers_of_the_runtimes(
    model: Path, tmp_path: Path, openvino: bool
) -> None:
    """A process that loads a model leaves no trace of their telemetry in its home."""
    code = (
        "import sys; from pathlib import Path; from gateway.runtime.backends.onnxruntime import "
        f"engine; print(engine.load(Path(sys.argv[1]), openvino={openvino}).description)"
    )
    known = ("ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS", "CI")
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        env={k: v for k, v in os.environ.items() if k not in known} | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("OpenVINO" if openvino else "ONNX Runtime")
    assert not list(tmp_path.iterdir())


def test_another_precision_is_refused(model: Path) -> None:
    """A misspelt setting does not silently become a default."""
    with pytest.raises(ValueError, match="auto, f32 or bf16"):
        engine.load(model, openvino=True, precision="fp16")


@pytest.mark.parametrize(
    ("name", "changed", "holds"),
    [
        ("labels", 0.004, True),
        ("labels", 0.006, False),
        ("logits", 0.02, True),
        ("logits", 0.04, False),
    ],
)
def test_parity_has_a_threshold_a_kind_of_output(name: str, changed: float, holds: bool) -> None:
    """Argmax may differ in one voxel of 200, real values by 3 % of their norm."""
    reference = {"labels": np.zeros(1000, np.uint8), "logits": np.full(1000, 2.0, np.float32)}
    candidate = {key: array.copy() for key, array in reference.items()}
    if name == "labels":
        candidate["labels"][: int(1000 * changed)] = 1
    else:
        candidate["logits"] *= 1 + changed
    assert engine.parity(reference, candidate)[0] is holds


def test_parity_of_other_shapes_or_nonsense_fails() -> None:
    """What cannot be compared is not equal."""
    reference = {"logits": np.ones(4, np.float32)}
    assert not engine.parity(reference, {"logits": np.ones(3, np.float32)})[0]
    assert not engine.parity(reference, {"logits": np.full(4, np.nan, np.float32)})[0]


def test_tensors_are_described_as_the_file_has_them(model: Path) -> None:
    """Dynamic axes are None; auto-completion makes them −1."""
    inputs, outputs = engine.describe(model)
    assert inputs == [engine.TensorInfo("volume", np.dtype("float32"), (None, 2, None, None, None))]
    assert [(one.name, one.dtype.name) for one in outputs] == [
        ("logits", "float32"),
        ("labels", "uint8"),
    ]


def test_probe_inputs_are_smooth_and_always_the_same() -> None:
    """Parity is judged on the same input at every start."""
    tensor = engine.TensorInfo("volume", np.dtype("float32"), (None, 2, None, 32, None))
    first, second = (engine.probe_inputs([tensor])["volume"] for _ in range(2))
    assert first.shape == (1, 2, 64, 32, 64)
    np.testing.assert_array_equal(first, second)
    assert np.mean(np.diff(first, axis=2) == 0) > 0.8
    assert 0 <= first.min() < first.max() <= 1


def test_a_table_beside_the_batch_is_probed_with_many_vectors_of_length_1(tmp_path: Path) -> None:
    """One row could not vote, and long ones overflow: parity would fail for no reason."""
    write_net(CHEST, tmp_path / "model.onnx")
    inputs, _ = engine.describe(tmp_path / "model.onnx")
    assert [one.batched for one in inputs] == [True, False, False]
    probe = engine.probe_inputs(inputs)
    assert probe["volume"].shape == (1, 1, 64, 64, 64)
    assert probe["bank"].shape == (64, 64)
    assert probe["bank_labels"].shape == (64, 73)
    length = np.linalg.norm(probe["bank"].astype(np.float32), axis=1)
    np.testing.assert_allclose(length, 1, atol=1e-3)
