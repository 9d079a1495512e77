"""The parts of the target torch: ONNX operators in PyTorch, packages, their configuration."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import parser

from gateway.exceptions import CompilerMissingError
from gateway.runtime.backends.onnxruntime import engine
from gateway.runtime.backends.onnxruntime.rows import in_one_order
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT
from gateway.triton.repository import read_config
from networks.bring.plain_unet import PlainUNet
from networks.bring.torch_export import as_onnx
from networks.compile import torch_builder
from networks.compile.builder import UnsupportedNetworkError
from networks.compile.halves import halved
from networks.compile.parity import probe, reference
from networks.compile.profile import Profile, Shapes, profile_of
from networks.compile.run import Job, compile_repository
from networks.compile.torch_builder import TorchBuilder, open_builder
from networks.compile.torch_graph import GraphModule
from networks.compile.torch_package import is_compiled
from tests.brought_nets import PLAN
from tests.tiny_nets import PANCREAS, write_net

REPOSITORY = ROOT / "model_repository"

NETWORKS = sorted(path.parents[1].name for path in REPOSITORY.glob("*/1/model.onnx"))


def small_inputs(name: str) -> dict[str, Any]:
    """Draw the least that a network takes, and where that is a point a little more."""
    check = name.removesuffix("_net").removesuffix("_crops")
    config = read_config(REPOSITORY / name / "config.pbtxt")
    manifest = load_manifests(REPOSITORY)[check]
    profile = profile_of(config, manifest, precision="fp32", max_batch=2)
    shapes = {
        key: tuple(2 * n if axis > 1 and n != most else n
                   for axis, (n, most) in enumerate(zip(ends.least, ends.most)))
        for key, ends in profile.shapes.items()
    }  # fmt: skip
    return probe(REPOSITORY / name / "1" / "model.onnx", shapes)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_here_has_a_twin(name: str) -> None:
    """All operators, all shapes that are computed from shapes: as ONNX Runtime answers."""
    path = REPOSITORY / name / "1" / "model.onnx"
    module = GraphModule(onnx.load(str(path))).eval()
    inputs = small_inputs(name)
    with torch.inference_mode():
        given = module(*(torch.from_numpy(inputs[key]) for key in module.inputs))
    ours = dict(zip(module.outputs, (one.numpy() for one in given), strict=True))
    theirs = reference(path)(inputs)
    assert {k: (v.dtype, v.shape) for k, v in ours.items()} == {
        k: (v.dtype, v.shape) for k, v in theirs.items()
    }
    holds, measured = engine.parity(*in_one_order(theirs, ours))
    assert holds, measured


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_made_on_the_host(name: str) -> None:
    """On a device without values all is there: no copy from the host, no look at a value."""
    path = REPOSITORY / name / "1" / "model.onnx"
    module = GraphModule(onnx.load(str(path))).eval().to("meta")
    inputs = small_inputs(name)
    with torch.inference_mode():
        given = module(*(torch.from_numpy(inputs[key]).to("meta") for key in module.inputs))
    assert {one.device.type for one in given} == {"meta"}
    names = [one.name for one in onnx.load(str(path)).graph.output]
    assert names == module.outputs


def test_an_nnunet_has_a_twin() -> None:
    """A network that others bring: its logits, on another size than it was written on."""
    torch.manual_seed(3)
    network = PlainUNet(PLAN).eval()
    module = GraphModule(as_onnx(network, 1, (8, 16, 16))).eval()
    volume = torch.rand(1, 1, 8, 24, 32)
    with torch.inference_mode():
        torch.testing.assert_close(module(volume)[0], network(volume), rtol=1e-4, atol=1e-5)


def test_fp16_is_the_file_s_own() -> None:
    """What was written in fp16 computes in fp16, and answers within the bounds."""
    path = REPOSITORY / "nodule_crops" / "1" / "model.onnx"
    module = GraphModule(halved(onnx.load(str(path)))).eval()
    assert {w.dtype for w in module.buffers()} >= {torch.float16}
    inputs = small_inputs("nodule_crops")
    with torch.inference_mode():
        given = module(torch.from_numpy(inputs["crops"]))
    ours = dict(zip(module.outputs, (one.numpy() for one in given), strict=True))
    holds, measured = engine.parity(reference(path)(inputs), ours)
    assert holds, measured


def unknown(text: str) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> one (float[N, 4] x) => (float[N, 4] y) {text}'
    )


def test_what_has_no_twin_is_said() -> None:
    """Then the network stays with ONNX Runtime, and the report says why."""
    with pytest.raises(UnsupportedNetworkError, match="Erf"):
        GraphModule(unknown("{ y = Erf(x) }"))


def of(check: str, name: str) -> tuple[Any, Profile]:
    config = read_config(REPOSITORY / name / "config.pbtxt")
    return config, profile_of(
        config, load_manifests(REPOSITORY)[check], precision="fp32", max_batch=4
    )


def test_a_package_takes_every_shape_of_its_profile(tmp_path: Path) -> None:
    """Made once; batches and axes are free."""
    write_net(PANCREAS, tmp_path / "model.onnx")
    builder = open_builder("cpu")
    _, profile = of("pancreas", "pancreas_net")
    package = builder.build((tmp_path / "model.onnx").read_bytes(), profile)
    (tmp_path / "model.pt2").write_bytes(package)
    assert not is_compiled(tmp_path / "model.pt2")
    assert builder.way(tmp_path / "model.pt2") == "exported"
    for shape in ((1, 2, 16, 16, 16), (1, 2, 48, 32, 80)):
        inputs = {"volume": np.random.default_rng(1).random(shape, np.float32)}
        expected = reference(tmp_path / "model.onnx")(inputs)
        given = builder.run(package, inputs)
        for name, value in expected.items():
            np.testing.assert_allclose(given[name], value, rtol=1e-5)


def test_the_configuration_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instances on the GPU, inputs left where they are, tensors as before."""
    builder = TorchBuilder(torch, "cpu", ahead=False)
    builder.device = "cuda"
    config, _ = of("nodule", "nodule_crops")
    text = builder.config(config, 4, REPOSITORY / "nodule_crops" / "1" / "model.onnx")
    for said in ('backend: "python"', "KIND_GPU", "FORCE_CPU_ONLY_INPUT_TENSORS",
                 "onescan_outputs", "chance,kinds"):  # fmt: skip
        assert said in text
    assert "openvino" not in text


class TorchTensorRT(ModuleType):
    """In the place of torch-tensorrt: takes its arguments, and puts an operator into the program.

    What it cannot show is whether TensorRT takes the program.
    """

    __version__ = "2.0"

    def __init__(self) -> None:
        super().__init__("torch_tensorrt")
        self.given: list[dict[str, Any]] = []
        self.compiled: dict[str, Any] = {}
        self.dynamo = self
        self._library = torch.library.Library("tensorrt", "DEF")
        self._library.define("as_is(Tensor x) -> Tensor")
        self._library.impl("as_is", torch.clone, "CompositeExplicitAutograd")
        self._library.impl("as_is", torch.empty_like, "Meta")

    def Input(self, **given: Any) -> dict[str, Any]:
        self.given.append(given)
        return given

    def compile(self, exported: Any, **given: Any) -> Any:
        self.compiled = given
        inner = exported.module()

        class Accelerated(torch.nn.Module):
            def forward(self, *inputs: Any) -> Any:
                return [torch.ops.tensorrt.as_is(one) for one in inner(*inputs)]

        free = tuple(
            {n: torch.export.Dim.AUTO for n in range(len(one["opt_shape"]))
             if one["min_shape"][n] != one["max_shape"][n]}
            for one in given["arg_inputs"]
        )  # fmt: skip
        example = tuple(torch.zeros(one["opt_shape"]) for one in given["arg_inputs"])
        return torch.export.export(Accelerated(), example, dynamic_shapes=(free,), strict=False)

    def save(self, made: Any, path: str, **given: Any) -> None:
        assert given["output_format"] == "exported_program"
        torch.export.save(made, path)


def test_torch_tensorrt_takes_the_exported_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the profile's shapes, without TF32 in fp32; the package is known as one of engines."""
    stand_in = TorchTensorRT()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", stand_in)
    write_net(PANCREAS, tmp_path / "model.onnx")
    _, profile = of("pancreas", "pancreas_net")
    builder = TorchBuilder(torch, "cpu", ahead=False, tensorrt=stand_in)
    package = builder.build((tmp_path / "model.onnx").read_bytes(), profile)
    (tmp_path / "model.pt2").write_bytes(package)
    assert builder.way(tmp_path / "model.pt2") == "torch-tensorrt"
    [shapes] = profile.shapes.values()
    assert stand_in.given == [
        {
            "min_shape": shapes.least,
            "opt_shape": shapes.usual,
            "max_shape": shapes.most,
            "dtype": torch.float32,
        }
    ]
    assert stand_in.compiled["use_explicit_typing"]
    assert stand_in.compiled["disable_tf32"]
    inputs = {"volume": np.random.default_rng(1).random((1, 2, 16, 16, 16), np.float32)}
    for name, value in reference(tmp_path / "model.onnx")(inputs).items():
        np.testing.assert_allclose(builder.run(package, inputs)[name], value, rtol=1e-5)
    assert builder.machine != TorchBuilder(torch, "cpu", ahead=False).machine
    assert "torch-tensorrt 2.0" in str(builder.machine)


def test_torch_tensorrt_needs_itself_and_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each."""
    with pytest.raises(CompilerMissingError, match="need a GPU"):
        open_builder("cpu", ahead="tensorrt")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    with pytest.raises(CompilerMissingError, match="torch-tensorrt"):
        open_builder("cuda", ahead="tensorrt")


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is asked for, a compiler that is asked for: one sentence each."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CompilerMissingError, match="no GPU"):
        open_builder("cuda")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CompilerMissingError, match=r"C\+\+ compiler"):
        open_builder("cpu", ahead="yes")
    assert not open_builder("cpu").ahead


def test_a_machine_is_its_processor_and_pytorch() -> None:
    """A package of another is not taken; a GPU is known by its compute capability."""
    here = open_builder("cpu").machine
    assert "PyTorch" in str(here)
    assert here != TorchBuilder(torch, "cpu", ahead=True).machine
    assert set(here.told()) == {"architecture", "torch"}


def test_a_network_without_a_package_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU with OpenVINO as before; the report says why."""
    source = tmp_path / "source"
    for name in ("ct_preprocess", "ct_postprocess", "pancreas"):
        shutil.copytree(REPOSITORY / name, source / name)
    (source / "pancreas_net").mkdir()
    shutil.copy(REPOSITORY / "pancreas_net" / "config.pbtxt", source / "pancreas_net")
    write_net(PANCREAS, source / "pancreas_net" / "1" / "model.onnx")
    builder = open_builder("cpu")

    def refuse(model: bytes, profile: Profile) -> bytes:
        raise UnsupportedNetworkError("no twin of Weird")

    monkeypatch.setattr(builder, "build", refuse)
    job = Job(source=source, cache=tmp_path / "cache", output=tmp_path / "out", precision="fp32")
    (row,) = compile_repository(job, builder)["networks"]
    assert (row["outcome"], row["why"]) == ("onnxruntime", "no twin of Weird")
    made, before = (
        read_config(folder / "pancreas_net" / "config.pbtxt") for folder in (job.output, source)
    )
    assert made == before


def test_shapes_of_one_are_not_free() -> None:
    """A network without a batch axis of studies stays without one."""
    builder = TorchBuilder(torch, "cpu", ahead=False)
    ends = Shapes((1, 2, 16, 16, 16), (1, 2, 64, 64, 64), (1, 2, 128, 96, 96))
    assert sorted(builder._free(Profile({"volume": ends}, "fp32", 1), "volume")) == [2, 3, 4]
    assert torch_builder.AHEAD[0] == "auto"
