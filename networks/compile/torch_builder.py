"""Packages by PyTorch where TensorRT is not: for Triton's Python backend, on a GPU or the CPU.

The network's ONNX file becomes a module (`networks.compile.torch_graph`), is exported with free
axes, and compiled ahead of time by AOTInductor where there is a C++ compiler; without one the
exported program itself is the package, and PyTorch runs it operator by operator. torch-tensorrt
may put what TensorRT knows of the program into engines and leave the rest to PyTorch; that was not
run where this was written, for want of a GPU.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf import text_format
from numpy.typing import NDArray

from gateway.exceptions import CompilerMissingError
from networks.compile.builder import Arrays, UnsupportedNetworkError
from networks.compile.config import HEADER, on_device, onnx_config
from networks.compile.key import Machine
from networks.compile.profile import Profile
from networks.compile.torch_package import Run, holds_engines, is_compiled, load_package

SERVED = {"model.py": "torch_model.py", "torch_package.py": "torch_package.py"}
"""What Triton runs beside a package, and of which file here it is a copy."""

AHEAD = ("auto", "yes", "no", "tensorrt")
"""Whether to compile ahead of time: on the CPU it takes minutes a network, and OpenVINO is
quicker; auto does so on a GPU. The last is by torch-tensorrt instead of AOTInductor."""

WORKSPACE_BYTES = 8 * 1024**3
"""What TensorRT's tactics may take while they are compared."""

DEVICES = ("auto", "cuda", "cpu")

COMPILERS = ("g++", "clang++", "c++")


def open_builder(device: str = "auto", ahead: str = "auto") -> TorchBuilder:
    """Find PyTorch, a device and a compiler.

    Raises
    ------
    CompilerMissingError
        When PyTorch, torch-tensorrt or the GPU that was asked for is not here.
    """
    try:
        import torch
    except ImportError:
        raise CompilerMissingError(
            "Packages for the target torch need PyTorch, which is not installed here"
            " (onescan[train])."
        ) from None
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise CompilerMissingError("There is no GPU here that PyTorch can use: ask for the CPU.")
    if ahead == "tensorrt":
        return TorchBuilder(torch, device, ahead=False, tensorrt=_torch_tensorrt(device))
    compiler = any(shutil.which(name) for name in COMPILERS)
    if ahead == "yes" and not compiler:
        raise CompilerMissingError(
            f"To compile ahead of time AOTInductor needs a C++ compiler: {', '.join(COMPILERS)}."
        )
    wanted = device == "cuda" if ahead == "auto" else ahead == "yes"
    return TorchBuilder(torch, device, ahead=wanted and compiler)


def _torch_tensorrt(device: str) -> Any:
    if device != "cuda":
        raise CompilerMissingError("TensorRT's engines need a GPU: --ahead-of-time tensorrt.")
    try:
        return import_module("torch_tensorrt")
    except ImportError:
        raise CompilerMissingError(
            "To compile by TensorRT the target torch needs torch-tensorrt, which is not installed"
            " here (onescan[gpu])."
        ) from None


class TorchBuilder:
    """One device and one PyTorch.

    Parameters
    ----------
    torch : module
    device : {"cuda", "cpu"}
    ahead : bool
        Whether to compile ahead of time, which needs a C++ compiler.
    tensorrt : module, optional
        ``torch_tensorrt``, where it is to compile.
    """

    plan_file = "model.pt2"

    def __init__(self, torch: Any, device: str, *, ahead: bool, tensorrt: Any = None) -> None:
        self._torch, self.device, self.ahead, self._tensorrt = torch, device, ahead, tensorrt
        if device == "cuda":
            major, minor = torch.cuda.get_device_capability()
            architecture = f"{major}.{minor}"
        else:
            # compiled code uses the widest vectors that the processor has
            architecture = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
        way = "AOTInductor" if ahead else "exported"
        if tensorrt is not None:
            way = f"torch-tensorrt {tensorrt.__version__}"
        self._machine = Machine(architecture, torch=f"{torch.__version__} {way}")
        self._names: dict[str, tuple[list[str], list[str]]] = {}
        self._loaded: tuple[str, Run] | None = None

    @property
    def machine(self) -> Machine:
        """Device and PyTorch of this process."""
        return self._machine

    @property
    def files(self) -> Mapping[str, bytes]:
        """What else a version's folder needs, by name."""
        folder = Path(__file__).parent
        return {name: (folder / copied).read_bytes() for name, copied in SERVED.items()}

    def config(self, config: Any, max_batch: int, model: Path) -> str:
        """Say a network's ``config.pbtxt`` for its package; the file has the tensors' order."""
        made = on_device(config, gpu=self.device == "cuda")
        made.ClearField("optimization")
        made.ClearField("platform")
        made.backend = "python"
        made.max_batch_size = max_batch
        for warm in made.model_warmup:
            warm.batch_size = max(1, min(warm.batch_size, max_batch))
        graph = onnx.load(str(model)).graph
        made.parameters["onescan_inputs"].string_value = ",".join(_inputs(graph))
        made.parameters["onescan_outputs"].string_value = ",".join(x.name for x in graph.output)
        if self.device == "cuda":
            made.parameters["FORCE_CPU_ONLY_INPUT_TENSORS"].string_value = "no"
        return HEADER + str(text_format.MessageToString(made))

    def build(self, model: bytes, profile: Profile) -> bytes:
        """Export a network for the profile's free axes, and compile it."""
        torch = self._torch
        from networks.compile.torch_graph import GraphModule

        parsed = onnx.load_from_string(model)
        module = GraphModule(parsed).eval().to(self.device)
        types = {
            x.name: onnx.helper.tensor_dtype_to_np_dtype(x.type.tensor_type.elem_type)
            for x in parsed.graph.input
        }
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")  # PyTorch's own, on what it finds in itself
            path = Path(folder) / self.plan_file
            try:
                exported = torch.export.export(
                    module,
                    tuple(self._example(profile, name, types[name]) for name in module.inputs),
                    dynamic_shapes=(tuple(self._free(profile, name) for name in module.inputs),),
                    strict=False,
                )
                if self._tensorrt is not None:
                    self._in_engines(exported, profile, module.inputs, types, path)
                elif not (self.ahead and self._compiled(exported, path)):
                    torch.export.save(exported, path)
            except UnsupportedNetworkError:
                raise
            except Exception as error:  # of whatever its compiler meets
                first = " ".join(str(error).split())[:300]
                raise UnsupportedNetworkError(f"PyTorch made no package of it: {first}") from None
            package = path.read_bytes()
        self._names[_digest(package)] = module.inputs, module.outputs
        return package

    def left_alone(self, config: Any) -> str:
        """Say it for ONNX Runtime: on the GPU, or as it is."""
        return (
            onnx_config(config)
            if self.device == "cuda"
            else str(text_format.MessageToString(config))
        )

    def way(self, package: Path) -> str:
        """Say how a package runs."""
        if holds_engines(package):
            return "torch-tensorrt"
        return "AOTInductor" if is_compiled(package) else "exported"

    def run(self, engine: bytes, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run a package that this builder made, as `torch_model` does."""
        torch, digest = self._torch, _digest(engine)
        if self._loaded is None or self._loaded[0] != digest:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / self.plan_file
                path.write_bytes(engine)
                self._loaded = digest, load_package(path, self.device)
        taken, made = self._names[digest]
        with torch.inference_mode():
            placed = [torch.from_numpy(np.array(inputs[n])).to(self.device) for n in taken]
            given = self._loaded[1](*placed)
        return {name: tensor.cpu().numpy() for name, tensor in zip(made, given, strict=True)}

    def _compiled(self, exported: Any, path: Path) -> bool:
        """Compile ahead of time; tell whether AOTInductor could."""
        try:
            self._torch._inductor.aoti_compile_and_package(exported, package_path=str(path))
        except Exception:  # of its lowering, which does not know every shape of convolution
            return False
        return True

    def _in_engines(
        self,
        exported: Any,
        profile: Profile,
        names: list[str],
        types: Mapping[str, Any],
        path: Path,
    ) -> None:
        """Let torch-tensorrt make engines for the profile's shapes, in the types of the program."""
        trt, torch = self._tensorrt, self._torch
        given = [
            trt.Input(
                min_shape=ends.least,
                opt_shape=ends.usual,
                max_shape=ends.most,
                dtype=torch.from_numpy(np.empty(0, types[name])).dtype,
            )
            for name, ends in ((name, profile.shapes[name]) for name in names)
        ]
        made = trt.dynamo.compile(
            exported,
            arg_inputs=given,
            use_explicit_typing=True,
            disable_tf32=profile.precision == "fp32",  # 10 bits of mantissa are no fp32
            truncate_double=True,
            workspace_size=WORKSPACE_BYTES,
        )
        trt.save(made, str(path), output_format="exported_program", arg_inputs=given)

    def _example(self, profile: Profile, name: str, kind: Any) -> Any:
        array = np.zeros(profile.shapes[name].usual, kind)
        return self._torch.from_numpy(array).to(self.device)

    def _free(self, profile: Profile, name: str) -> dict[int, Any]:
        ends = profile.shapes[name]
        free = self._torch.export.Dim.AUTO
        return {n: free for n, (a, b) in enumerate(zip(ends.least, ends.most)) if a != b}


def _inputs(graph: Any) -> list[str]:
    """Name the inputs that a client gives, in order."""
    held = {one.name for one in graph.initializer}
    return [x.name for x in graph.input if x.name not in held]


def _digest(package: bytes) -> str:
    return hashlib.sha256(package).hexdigest()
