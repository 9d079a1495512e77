"""An ONNX network in fp16 that takes and gives the types that it did before."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import onnx

WHOLE = (
    "Exp", "InstanceNormalization", "LayerNormalization", "Log", "LogSoftmax", "Pow", "ReduceL2",
    "ReduceMean", "ReduceSum", "Resize", "Sigmoid", "Softmax", "Softplus", "Sqrt",
)  # fmt: skip
"""Operators that stay in fp32: sums over a volume are more than 65504, and a probability's odds
are told apart by its last bits."""


PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Where the time goes."""


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give the network with weights and most operators in fp16; inputs and outputs stay."""
    from onnxruntime.transformers.float16 import (
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each weight that is smaller than fp16 can be
        made = convert_float_to_float16(
            copy,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *WHOLE],
            node_block_list=_last(copy.graph),
        )
    _without_twins(made.graph)
    _sort(made.graph)
    onnx.checker.check_model(made)
    return made


def _last(graph: onnx.GraphProto) -> list[str]:
    """Name the last product of every branch and all behind it, naming what has no name.

    They cost next to nothing, and where neighbours are compared, as by what picks peaks, two that
    become equal in fp16 are another answer.
    """
    before_product: set[str] = set()
    last = []
    for index, node in reversed(list(enumerate(graph.node))):
        node.name = node.name or f"node_{index}"
        ahead = any(name in before_product for name in node.output)
        if not ahead:
            last.append(node.name)
        if ahead or node.op_type in PRODUCTS:
            before_product.update(_taken(node))
    return last


def _without_twins(graph: onnx.GraphProto) -> None:
    """Drop casts that are there already; the conversion makes one for each reader of a tensor."""
    kept: dict[bytes, onnx.NodeProto] = {}
    for node in graph.node:
        kept.setdefault(node.SerializeToString(deterministic=True), node)
    nodes = list(kept.values())
    del graph.node[:]
    graph.node.extend(nodes)


def _sort(graph: onnx.GraphProto) -> None:
    """Put each node behind those whose outputs it takes; the conversion appends its casts."""
    made_later = {name for node in graph.node for name in node.output}
    waiting, ordered = list(graph.node), []
    while waiting:
        ready = [node for node in waiting if not made_later.intersection(_taken(node))]
        if not ready:
            raise onnx.checker.ValidationError("the nodes of the network wait for each other")
        for node in ready:
            made_later.difference_update(node.output)
        ordered += ready
        left = {id(node) for node in ready}
        waiting = [node for node in waiting if id(node) not in left]
    del graph.node[:]
    graph.node.extend(ordered)


def _taken(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _taken(inner)
