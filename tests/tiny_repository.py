"""A model repository of a few lines, for tests of the embedded Triton itself."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

ECHO_CONFIG = """
name: "echo"
backend: "python"
max_batch_size: 0
input [
  { name: "NUMBERS"        data_type: TYPE_INT16   dims: [ -1 ] },
  { name: "TEXT"           data_type: TYPE_STRING  dims: [ 1 ] },
  { name: "DELAY_SECONDS"  data_type: TYPE_FP32    dims: [ 1 ] }
]
output [
  { name: "NUMBERS"  data_type: TYPE_INT16   dims: [ -1 ] },
  { name: "TEXT"     data_type: TYPE_STRING  dims: [ 1 ] },
  { name: "PID"      data_type: TYPE_INT32   dims: [ 1 ] }
]
instance_group [ { kind: KIND_CPU  count: 1 } ]
"""

ECHO_MODEL = """
import os
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    numbers, text, delay = (
        pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        for name in ("NUMBERS", "TEXT", "DELAY_SECONDS")
    )
    time.sleep(float(delay[0]))
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("NUMBERS", numbers),
            pb_utils.Tensor("TEXT", text),
            pb_utils.Tensor("PID", np.array([os.getpid()], np.int32)),
        ]
    )
"""

DOUBLE_CONFIG = """
name: "double"
backend: "onnxruntime"
max_batch_size: 4
dynamic_batching { max_queue_delay_microseconds: 50000 }
instance_group [ { kind: KIND_CPU  count: 1 } ]
optimization { execution_accelerators { cpu_execution_accelerator: [ { name: "openvino" } ] } }
"""
"""Names no tensors: they come from the ONNX file."""


def write_echo(repository: Path) -> Path:
    """Write a Python model that gives back what it gets, and its pid; beside it a mere rule."""
    (repository / "echo" / "1").mkdir(parents=True)
    (repository / "echo" / "config.pbtxt").write_text(ECHO_CONFIG)
    (repository / "echo" / "1" / "model.py").write_text(ECHO_MODEL)
    (repository / "rule").mkdir()
    (repository / "rule" / "pipeline.toml").write_text("schema = 1\n")
    return repository


def write_double(repository: Path) -> Path:
    """Write an ONNX model: ``y = x + x`` over (N, 2, length), where length divides by 4."""
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "fours"], ["grouped"], allowzero=0),
            helper.make_node("Add", ["grouped", "grouped"], ["sum"]),
            helper.make_node("Reshape", ["sum", "flat"], ["y"], allowzero=0),
        ],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, "L"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, "L"])],
        [
            helper.make_tensor("fours", TensorProto.INT64, [4], [0, 2, -1, 4]),
            helper.make_tensor("flat", TensorProto.INT64, [3], [0, 2, -1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (repository / "double" / "1").mkdir(parents=True)
    (repository / "double" / "config.pbtxt").write_text(DOUBLE_CONFIG)
    onnx.save(model, str(repository / "double" / "1" / "model.onnx"))
    return repository
