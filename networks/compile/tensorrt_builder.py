"""Engines by TensorRT on the GPU of this machine.

Not run where this was written, for want of both; everything around it is tested with another
`Builder`. The network is typed before it comes here (`networks.compile.halves`), since newer
releases of TensorRT compute in the types of the file and in no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from gateway.exceptions import CompilerMissingError
from networks.compile.builder import Arrays, UnsupportedNetworkError
from networks.compile.cache import PLAN
from networks.compile.config import onnx_config, plan_config
from networks.compile.key import Machine
from networks.compile.profile import Profile

WORKSPACE_BYTES = 8 * 1024**3
"""What tactics may take while they are compared."""


def open_builder() -> TensorRTBuilder:
    """Find TensorRT and a GPU.

    Raises
    ------
    CompilerMissingError
        When either is not here.
    """
    try:
        import tensorrt
        import torch
    except ImportError as error:
        raise CompilerMissingError(
            f"Engines need TensorRT and PyTorch, and {error.name or 'one of them'} is not installed"
            " here: compile in the image onescan-compile, on the node with the GPU."
        ) from None
    if not torch.cuda.is_available():
        raise CompilerMissingError(
            "There is no GPU here that PyTorch can use: an engine is made on the kind of GPU that"
            " it serves on."
        )
    return TensorRTBuilder(tensorrt, torch)


class TensorRTBuilder:
    """One GPU and one TensorRT."""

    plan_file = PLAN

    files: Mapping[str, bytes] = {}

    def __init__(self, tensorrt: Any, torch: Any) -> None:
        self._trt, self._torch = tensorrt, torch
        self._logger = tensorrt.Logger(tensorrt.Logger.WARNING)
        major, minor = torch.cuda.get_device_capability()
        self._machine = Machine(f"{major}.{minor}", str(tensorrt.__version__))

    @property
    def machine(self) -> Machine:
        """GPU and TensorRT of this process."""
        return self._machine

    def config(self, config: Any, max_batch: int, model: Path) -> str:
        """Say it for ``tensorrt_plan``."""
        return plan_config(config, max_batch)

    def left_alone(self, config: Any) -> str:
        """Say it for ONNX Runtime on the GPU."""
        return onnx_config(config)

    def way(self, package: Path) -> str:
        """Say nothing: all engines run alike."""
        return ""

    def build(self, model: bytes, profile: Profile) -> bytes:
        """Parse the ONNX file, and let TensorRT choose its kernels for the profile's shapes."""
        trt = self._trt
        builder = trt.Builder(self._logger)
        # Not there where it is the only way.
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(network, self._logger)
        if not parser.parse(model):
            said = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
            raise UnsupportedNetworkError(" ".join(said.split())[:500])
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
        if profile.precision == "fp32" and hasattr(trt.BuilderFlag, "TF32"):
            config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa are no fp32
        shapes = builder.create_optimization_profile()
        for name, ends in profile.shapes.items():
            shapes.set_shape(name, ends.least, ends.usual, ends.most)
        config.add_optimization_profile(shapes)
        made = builder.build_serialized_network(network, config)
        if made is None:
            raise UnsupportedNetworkError("TensorRT made no engine of it; its log says why.")
        return bytes(made)

    def run(self, engine: bytes, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run on the GPU, tensors by PyTorch."""
        trt, torch = self._trt, self._torch
        loaded = trt.Runtime(self._logger).deserialize_cuda_engine(engine)
        context = loaded.create_execution_context()
        stream = torch.cuda.current_stream()
        placed = {name: torch.from_numpy(array).cuda() for name, array in inputs.items()}
        for name, tensor in placed.items():
            context.set_input_shape(name, tuple(tensor.shape))
            context.set_tensor_address(name, tensor.data_ptr())
        outputs = {}
        for index in range(loaded.num_io_tensors):
            name = loaded.get_tensor_name(index)
            if loaded.get_tensor_mode(name) != trt.TensorIOMode.OUTPUT:
                continue
            kind = torch.from_numpy(_empty(trt.nptype(loaded.get_tensor_dtype(name)))).dtype
            shape = tuple(context.get_tensor_shape(name))
            outputs[name] = torch.empty(shape, dtype=kind, device="cuda")
            context.set_tensor_address(name, outputs[name].data_ptr())
        if not context.execute_async_v3(stream.cuda_stream):
            raise RuntimeError("TensorRT did not run the engine that it made.")
        stream.synchronize()
        return {name: tensor.cpu().numpy() for name, tensor in outputs.items()}


def _empty(kind: Any) -> NDArray[Any]:
    import numpy as np

    return np.empty(0, kind)
