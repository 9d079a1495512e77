"""A network between our tensors and its own: names, axes, scales, and what is made of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper, version_converter

from gateway.exceptions import NetworkRefusedError

INNER = "brought/"
"""Before every name of the network's own."""

OLDEST_OPSET = 13

OPSET = 17
"""That older files are brought to."""

OURS = "SPL"

PAIRS = ({"S", "I"}, {"P", "A"}, {"L", "R"})
"""Of `OURS`, in its order."""

SMOOTH = 3
"""Edge of the cube over which the lesion's probability is averaged for the patient's score."""


@dataclass
class Wrapped:
    """A network that is being given other ends."""

    model: onnx.ModelProto
    axes: str
    front: list[onnx.NodeProto] = field(default_factory=list)
    back: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    @classmethod
    def of(cls, model: onnx.ModelProto, axes: str = OURS) -> Wrapped:
        """Put a network's own names out of the way; an old one is brought to `OPSET`."""
        opset = max(
            entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")
        )
        if opset < OLDEST_OPSET:
            try:
                model = version_converter.convert_version(model, OPSET)
            except Exception:  # of C++, whatever it does not know
                raise NetworkRefusedError(
                    f"The ONNX file is of opset {opset}, and not brought to {OPSET} from it; write"
                    " it again."
                ) from None
        return cls(compose.add_prefix(model, INNER), axes)

    def take_volume(self, own: str, channels: int, rescale: Sequence[tuple[float, float]]) -> None:
        """Feed one of its inputs with ``volume`` (N, channels, D, H, W)."""
        self.inputs.append(_value("volume", TensorProto.FLOAT, ["n", channels, "d", "h", "w"]))
        name = "volume"
        if rescale:
            factor, offset = (
                np.array(one, np.float32).reshape(1, -1, 1, 1, 1) for one in zip(*rescale)
            )
            name = self._node(self.front, "Mul", name, self._constant(factor))
            name = self._node(self.front, "Add", name, self._constant(offset))
        order, turned = self._order()
        if order != [0, 1, 2]:
            perm = [0, 1, *(2 + axis for axis in order)]
            name = self._node(self.front, "Transpose", name, perm=perm)
        name = self._flip(self.front, name, [2 + axis for axis in turned])
        self.front.append(helper.make_node("Identity", [name], [INNER + own]))

    def take(self, name: str, kind: int, columns: int) -> None:
        """Hand another input on, (N, columns)."""
        self.inputs.append(_value(name, kind, ["n", columns]))
        self.front.append(helper.make_node("Identity", [name], [INNER + name]))

    def give(self, own: str, name: str, kind: int, shape: Sequence[str | int]) -> None:
        """Hand an output on; one of a voxel each is turned back to our axes."""
        inner = INNER + own
        if len(shape) == 4:
            inner = self._turned_back(inner, first=1)
        self.back.append(helper.make_node("Identity", [inner], [name]))
        self.outputs.append(_value(name, kind, shape))

    def give_lesions(self, own: str, lesion: int) -> None:
        """Make ``labels``, ``lesion`` and ``score`` of logits (N, classes, D, H, W).

        The label is the likeliest class, the heat map the softmax of the lesion's, and the
        patient's score its highest mean over a cube of `SMOOTH` voxels.
        """
        logits = self._turned_back(INNER + own, first=2)
        most = self._node(self.back, "ArgMax", logits, axis=1, keepdims=0)
        self.back.append(helper.make_node("Cast", [most], ["labels"], to=TensorProto.UINT8))
        chances = self._node(self.back, "Softmax", logits, axis=1)
        column = self._constant(np.array([lesion], np.int64))
        chance = self._node(self.back, "Gather", chances, column, axis=1)
        steps = self._node(self.back, "Mul", chance, self._constant(np.float32([255.0])))
        whole = self._node(self.back, "Round", steps)
        zero = self._constant(np.array(0, np.int64))
        flat = self._node(self.back, "Gather", whole, zero, axis=1)
        self.back.append(helper.make_node("Cast", [flat], ["lesion"], to=TensorProto.UINT8))
        smooth = self._node(
            self.back, "AveragePool", chance,
            kernel_shape=[SMOOTH] * 3, pads=[SMOOTH // 2] * 6, count_include_pad=0,
        )  # fmt: skip
        highest = self._node(self.back, "GlobalMaxPool", smooth)
        self.back.append(helper.make_node("Flatten", [highest], ["score"], axis=1))
        self.outputs += [
            _value("labels", TensorProto.UINT8, ["n", "d", "h", "w"]),
            _value("lesion", TensorProto.UINT8, ["n", "d", "h", "w"]),
            _value("score", TensorProto.FLOAT, ["n", 1]),
        ]

    def finished(self, name: str) -> onnx.ModelProto:
        """Give the whole network."""
        inner = self.model.graph
        constants = {one.name for one in inner.initializer}
        graph = helper.make_graph(
            [*self.front, *inner.node, *self.back],
            name,
            self.inputs,
            self.outputs,
            initializer=[*inner.initializer, *self.constants],
        )
        graph.sparse_initializer.extend(inner.sparse_initializer)
        fed = {output for node in self.front for output in node.output} | constants
        missing = [value.name for value in inner.input if value.name not in fed]
        if missing:
            raise NetworkRefusedError(
                f"The network has the input {missing[0].removeprefix(INNER)!r}, which its"
                " pipeline.toml does not send."
            )
        made = helper.make_model(graph, opset_imports=list(self.model.opset_import))
        made.ir_version = self.model.ir_version
        made.producer_name = "onescan"
        onnx.checker.check_model(made)
        return made

    def _order(self) -> tuple[list[int], list[int]]:
        """Give our axis behind each of its axes, and which of its axes grow the other way."""
        order, turned = [], []
        for axis, code in enumerate(self.axes):
            ours = next(index for index, pair in enumerate(PAIRS) if code in pair)
            order.append(ours)
            if code != OURS[ours]:
                turned.append(axis)
        if sorted(order) != [0, 1, 2]:
            raise NetworkRefusedError(f"{self.axes!r} does not name three axes of the patient.")
        return order, turned

    def _turned_back(self, name: str, first: int) -> str:
        order, turned = self._order()
        name = self._flip(self.back, name, [first + axis for axis in turned])
        if order != [0, 1, 2]:
            back = [order.index(axis) for axis in range(3)]
            perm = [*range(first), *(first + axis for axis in back)]
            name = self._node(self.back, "Transpose", name, perm=perm)
        return name

    def _flip(self, nodes: list[onnx.NodeProto], name: str, axes: list[int]) -> str:
        if not axes:
            return name
        count = len(axes)
        ends = [
            self._constant(np.array(values, np.int64))
            for values in ([-1] * count, [np.iinfo(np.int64).min] * count, axes, [-1] * count)
        ]
        return self._node(nodes, "Slice", name, *ends)

    def _node(
        self, nodes: list[onnx.NodeProto], operator: str, *inputs: str, **attributes: object
    ) -> str:
        output = f"onescan/{operator}_{len(self.front) + len(self.back)}"
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def _constant(self, value: NDArray[np.generic]) -> str:
        name = f"onescan/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def shape_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Give a tensor's shape, None for a free axis."""
    return [
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
        for axis in value.type.tensor_type.shape.dim
    ]


def by_name(values: Sequence[onnx.ValueInfoProto]) -> Mapping[str, onnx.ValueInfoProto]:
    """Give tensors by name."""
    return {value.name: value for value in values}


def _value(name: str, kind: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, list(shape))
