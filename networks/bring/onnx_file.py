"""An ONNX file of somebody else, taken as data: nothing of it is run or followed elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import inliner

from gateway.exceptions import NetworkRefusedError
from gateway.triton.onnx_labels import RANDOM, WEIGHTS

DOMAINS = ("", "ai.onnx")
"""Of operators; others are libraries that a runtime would have to load."""

MOST_BYTES = 2**31 - 1
"""What a protobuf may have, and so an ONNX file without external data."""


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read a file whole.

    Raises
    ------
    NetworkRefusedError
        When it is no valid ONNX file, keeps its weights in other files, or asks for operators of
        other domains than ONNX's own.
    """
    if not path.is_file():
        raise NetworkRefusedError(f"{path} is not a file.")
    if path.stat().st_size > MOST_BYTES:
        raise NetworkRefusedError(f"{path.name} has more than 2 GiB, which no ONNX file has.")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's own errors are of several kinds
        raise NetworkRefusedError(
            f"{path.name} is not an ONNX file: {type(error).__name__}."
        ) from None
    check_self_contained(model, path.name)
    if any((one.key, one.value) == (WEIGHTS, RANDOM) for one in model.metadata_props):
        raise NetworkRefusedError(
            f"{path.name} says that its weights are random: it is for load and speed alone."
        )
    if model.functions:
        model = inliner.inline_local_functions(model)
    check_domains(model, path.name)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's own, and protobuf's
        first = " ".join(str(error).split())[:300]
        raise NetworkRefusedError(f"{path.name} is not a valid ONNX file: {first}") from None
    return model


def check_self_contained(model: onnx.ModelProto, name: str) -> None:
    """Refuse weights that lie in other files, whose paths may lead anywhere."""
    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise NetworkRefusedError(
                f"{name} keeps {tensor.name or 'a tensor'!r} in another file; save it as one file"
                " (onnx.save_model with save_as_external_data=False)."
            )


def check_domains(model: onnx.ModelProto, name: str) -> None:
    """Refuse operators that are not ONNX's own."""
    for node in _nodes(model.graph):
        if node.domain not in DOMAINS:
            raise NetworkRefusedError(
                f"{name} asks for the operator {node.op_type!r} of {node.domain!r}; only those of"
                " ONNX itself are taken."
            )


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        yield from _inner(node)


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            if graph.node or graph.initializer:
                yield from _graphs(graph)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for one in _graphs(graph):
        yield from one.node


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    nodes = list(model.graph.node)
    for function in model.functions:
        nodes += function.node
    graphs = [model.graph, *(graph for node in nodes for graph in _inner(node))]
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        nodes += graph.node
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
