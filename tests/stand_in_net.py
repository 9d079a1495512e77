"""A network that needs no training: soft tissue is liver, dense tissue is bone."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

LIVER, BONE = 5, 13
"""Labels of the anatomy recipe."""

LIVER_ABOVE = 0.4
"""Of channel 0: above 0 HU of the window -160 ... 240."""

BONE_ABOVE = 0.6
"""Of channel 1: above 205 HU of the window -1024 ... 1024."""


def write_stand_in(path: Path) -> None:
    """Write it as the ONNX file that ``anatomy_net`` takes: volume FP32 → labels UINT8."""
    nodes = [
        helper.make_node("Split", ["volume"], ["soft", "wide"], axis=1),
        *_above("soft", "liver_above", "liver_value", "liver"),
        *_above("wide", "bone_above", "bone_value", "bone"),
        helper.make_node("Max", ["liver", "bone"], ["both"]),
        helper.make_node("Squeeze", ["both", "channel_axis"], ["flat"]),
        helper.make_node("Cast", ["flat"], ["labels"], to=TensorProto.UINT8),
    ]
    floats = {
        "liver_above": LIVER_ABOVE,
        "bone_above": BONE_ABOVE,
        "liver_value": float(LIVER),
        "bone_value": float(BONE),
    }
    graph = helper.make_graph(
        nodes,
        "stand_in",
        [helper.make_tensor_value_info("volume", TensorProto.FLOAT, ["N", 2, "D", "H", "W"])],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, ["N", "D", "H", "W"])],
        [helper.make_tensor(name, TensorProto.FLOAT, [], [v]) for name, v in floats.items()]
        + [helper.make_tensor("channel_axis", TensorProto.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def _above(source: str, limit: str, value: str, name: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("Greater", [source, limit], [f"{name}_is"]),
        helper.make_node("Cast", [f"{name}_is"], [f"{name}_one"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_one", value], [name]),
    ]
