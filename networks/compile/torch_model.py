"""A network in PyTorch: ``model.pt2`` beside this file, with the tensors of ``config.pbtxt``.

Written by ``onescan models compile --target torch``. On a GPU tensors come and go by DLPack.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

sys.path.insert(0, str(Path(__file__).parent))
from torch_package import Graphs, load_package  # lies beside this file


class TritonPythonModel:
    """One instance of a network."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the package onto the device that Triton names."""
        if int(np.__version__.split(".")[0]) >= 2:
            raise pb_utils.TritonModelException(
                f"Triton's Python stub needs numpy<2, not {np.__version__}"
            )
        import torch

        self.torch = torch
        config = json.loads(args["model_config"])
        told = {name: one["string_value"] for name, one in config.get("parameters", {}).items()}
        self.gpu = args.get("model_instance_kind") == "GPU"
        self.device = f"cuda:{args.get('model_instance_device_id', 0)}" if self.gpu else "cpu"
        threads = int(os.environ.get("_ONESCAN_CPU_THREADS", 0))
        if threads and not self.gpu:
            torch.set_num_threads(threads)
        path = Path(args["model_repository"]) / args["model_version"] / "model.pt2"
        self.run = load_package(path, self.device)
        if self.gpu and told.get("onescan_cuda_graphs") == "yes":
            self.run = Graphs(self.run)
        self.batched = config["max_batch_size"] > 0
        self.inputs = told["onescan_inputs"].split(",")
        self.made = told["onescan_outputs"].split(",")
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run requests of one shape together, others one by one; an error is one request's own."""
        inputs = [self._read(request) for request in requests]
        if self.batched and len(inputs) > 1 and len({_shapes(one) for one in inputs}) == 1:
            return self._run_together(inputs)
        return [self._answer(one) for one in inputs]

    def _read(self, request: Any) -> list[Any]:
        read = []
        for name in self.inputs:
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor.is_cpu():
                read.append(self.torch.from_numpy(np.array(tensor.as_numpy())).to(self.device))
            else:
                read.append(self.torch.from_dlpack(tensor.to_dlpack()))
        return read

    def _answer(self, inputs: list[Any]) -> Any:
        try:
            return self._response(self._given(inputs))
        except Exception as error:
            # Raising would fail the neighbours in the batch and can leak Triton's shared memory.
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)[:500]))

    def _run_together(self, inputs: list[list[Any]]) -> list[Any]:
        try:
            together = self._given([self.torch.cat(column) for column in zip(*inputs)])
        except Exception:
            return [self._answer(one) for one in inputs]
        sizes = [len(one[0]) for one in inputs]
        parts = {name: self.torch.split(tensor, sizes) for name, tensor in together.items()}
        return [
            self._response({name: part[index] for name, part in parts.items()})
            for index in range(len(inputs))
        ]

    def _given(self, inputs: list[Any]) -> dict[str, Any]:
        with self.torch.inference_mode():
            given = self.run(*inputs)
            if self.gpu:  # Triton reads on a stream of its own
                self.torch.cuda.current_stream().synchronize()
        return dict(zip(self.made, given, strict=True))

    def _response(self, given: dict[str, Any]) -> Any:
        return pb_utils.InferenceResponse(
            [self._tensor(name, given[name].contiguous()) for name in self.outputs]
        )

    def _tensor(self, name: str, tensor: Any) -> Any:
        if self.gpu:
            return pb_utils.Tensor.from_dlpack(name, tensor)
        return pb_utils.Tensor(name, tensor.numpy())


def _shapes(inputs: list[Any]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(tensor.shape[1:]) for tensor in inputs)
