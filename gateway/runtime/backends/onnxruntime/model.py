"""Triton backend ``onnxruntime`` for the embedded server: ``<version>/model.onnx`` on the CPU.

The official backend of that name is not in the wheel; with this one an ordinary ``config.pbtxt``
serves in both. It honours ``optimization.execution_accelerators.cpu_execution_accelerator`` named
``openvino`` and the parameter ``intra_op_thread_count`` as the official one does. It has no GPU.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

if TYPE_CHECKING:
    from gateway.runtime.backends.onnxruntime import engine
else:
    sys.path.insert(0, str(Path(__file__).parent))
    import engine  # lies beside this file, wherever that was copied to

Arrays = dict[str, NDArray[Any]]


class TritonPythonModel:
    """One instance of an ONNX model."""

    @staticmethod
    def auto_complete_config(auto_complete_model_config: Any) -> Any:
        """Fill in inputs and outputs that the configuration leaves out, from the ONNX file."""
        config = auto_complete_model_config.as_dict()
        batched = config["max_batch_size"] > 0
        inputs, outputs = engine.describe(Path(pb_utils.get_model_dir()) / "model.onnx")
        for add, tensors, present in (
            (auto_complete_model_config.add_input, inputs, config["input"]),
            (auto_complete_model_config.add_output, outputs, config["output"]),
        ):
            named = {tensor["name"] for tensor in present}
            for tensor in tensors:
                if tensor.name not in named:
                    add(_configuration(tensor, batched))
        return auto_complete_model_config

    def initialize(self, args: dict[str, str]) -> None:
        """Load the network and say which runtime and precision were chosen."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise pb_utils.TritonModelException(
                f"Triton's Python stub needs numpy<2, not {np.__version__}"
            )
        config = json.loads(args["model_config"])
        accelerators = config.get("optimization", {}).get("execution_accelerators", {})
        names = [one["name"] for one in accelerators.get("cpu_execution_accelerator", [])]
        parameters = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.engine = engine.load(
            path,
            openvino="openvino" in names,
            precision=parameters.get(
                "onescan_precision", os.environ.get("_ONESCAN_CPU_PRECISION", "auto")
            ),
            threads=int(
                parameters.get("intra_op_thread_count", 0)
                or os.environ.get("_ONESCAN_CPU_THREADS", 0)
            ),
        )
        self.batched = config["max_batch_size"] > 0
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.types = {
            tensor["name"]: np.dtype(pb_utils.triton_string_to_numpy(tensor["data_type"]))
            for tensor in config["output"]
        }
        pb_utils.Logger.log_info(f"{args['model_instance_name']}: {self.engine.description}")

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run requests of one shape together, others one by one; an error is one request's own."""
        inputs = [self._read(request) for request in requests]
        if self.batched and len(inputs) > 1 and len({_shapes(one) for one in inputs}) == 1:
            return self._run_together(inputs)
        return [self._run(one) for one in inputs]

    def _read(self, request: Any) -> Arrays:
        return {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in self.inputs
        }

    def _run(self, inputs: Arrays) -> Any:
        try:
            return self._response(self.engine.run(inputs))
        except Exception as error:
            # Raising would fail the neighbours in the batch and can leak Triton's shared memory.
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)[:500]))

    def _run_together(self, inputs: list[Arrays]) -> list[Any]:
        together = {name: np.concatenate([one[name] for one in inputs]) for name in self.inputs}
        try:
            outputs = self.engine.run(together)
        except Exception:
            return [self._run(one) for one in inputs]
        ends = np.cumsum([one[self.inputs[0]].shape[0] for one in inputs])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            self._response({name: part[index] for name, part in parts.items()})
            for index in range(len(inputs))
        ]

    def _response(self, outputs: Arrays) -> Any:
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.ascontiguousarray(outputs[name], dtype=dtype))
                for name, dtype in self.types.items()
            ]
        )


def _configuration(tensor: engine.TensorInfo, batched: bool) -> dict[str, Any]:
    shape = tensor.shape[1:] if batched else tensor.shape
    return {
        "name": tensor.name,
        "data_type": _triton_type(tensor),
        "dims": [-1 if length is None else length for length in shape],
    }


def _triton_type(tensor: engine.TensorInfo) -> str:
    known = pb_utils.TRITON_STRING_TO_NUMPY.items()
    return next(str(name) for name, kind in known if np.dtype(kind) == tensor.dtype)


def _shapes(inputs: Arrays) -> tuple[tuple[int, ...], ...]:
    return tuple(array.shape[1:] for array in inputs.values())
