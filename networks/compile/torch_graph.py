"""An ONNX graph as a module of PyTorch, so that it can be exported and compiled there.

Sizes are whole numbers, which an export keeps as symbols; everything else is tensors. The types
are the file's: a network that was written in fp16 (`networks.compile.halves`) computes in fp16.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
import torch.nn.functional as functional
from onnx import helper, numpy_helper
from torch import Tensor, nn

from networks.compile.builder import UnsupportedNetworkError

Sizes = list[Any]
"""A vector of whole numbers, each an int or a symbol."""

Value = Any
"""A tensor, a whole number or `Sizes`; None for an input that is left out."""

SMALL = 64
"""Constants of whole numbers no longer than this are sizes."""

PARTS = "outputs of this node"
"""Beside a node's attributes: how many outputs it has."""

FILL = "what is padded with"

DEVICE = "device of the inputs"
"""Beside a node's attributes: where it makes what it makes of nothing."""

TYPES = {
    onnx.TensorProto.FLOAT: torch.float32, onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.UINT8: torch.uint8, onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.INT32: torch.int32, onnx.TensorProto.BOOL: torch.bool,
}  # fmt: skip


class GraphModule(nn.Module):
    """Run an ONNX graph node by node.

    Parameters
    ----------
    model : ModelProto
        Of opset 13 to 17.

    Raises
    ------
    UnsupportedNetworkError
        When it has an operator that is not known here.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        graph = model.graph
        unknown = sorted({node.op_type for node in graph.node} - set(OPERATORS))
        if unknown:
            raise UnsupportedNetworkError(f"operators without a twin in PyTorch: {unknown}")
        self._plain: dict[str, Value] = {}
        self._held: dict[str, str] = {}
        for number, tensor in enumerate(graph.initializer):
            self._keep(tensor.name, f"weight_{number}", numpy_helper.to_array(tensor))
        arrays = {x.name: x for x in graph.initializer}
        arrays |= {x.output[0]: x.attribute[0].t for x in graph.node if x.op_type == "Constant"}
        self._nodes = []
        for number, node in enumerate(graph.node):
            options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            options[PARTS] = len(node.output)
            if node.op_type == "Constant":
                array = numpy_helper.to_array(options["value"])
                self._keep(node.output[0], f"constant_{number}", array)
            else:
                if node.op_type == "Pad" and len(node.input) > 2 and node.input[2] in arrays:
                    options[FILL] = numpy_helper.to_array(arrays[node.input[2]]).item()
                if node.op_type == "Resize" and len(node.input) > 2 and node.input[2] in arrays:
                    options["scales"] = numpy_helper.to_array(arrays[node.input[2]]).tolist()
                self._nodes.append((node.op_type, list(node.input), list(node.output), options))
        self.inputs = [x.name for x in graph.input if x.name not in self._plain | self._held]
        self.outputs = [x.name for x in graph.output]
        self._last = _last_uses(self._nodes, self.outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take the inputs in order, and give the outputs in order."""
        known: dict[str, Value] = {"": None, **self._plain}
        device = inputs[0].device
        known |= {name: getattr(self, held) for name, held in self._held.items()}
        known |= dict(zip(self.inputs, inputs, strict=True))
        for number, (kind, names, made, options) in enumerate(self._nodes):
            options[DEVICE] = device
            given = OPERATORS[kind]([known[name] for name in names], options)
            for name, value in zip(made, given if isinstance(given, tuple) else (given,)):
                known[name] = value
            for name in self._last.get(number, ()):
                del known[name]  # or a large network holds all its maps at once
        return tuple(_tensor(known[name], inputs[0]) for name in self.outputs)

    def _keep(self, name: str, held: str, array: np.ndarray[Any, Any]) -> None:
        whole = array.dtype in (np.int64, np.int32) and array.ndim <= 1 and array.size <= SMALL
        if whole:
            self._plain[name] = array.tolist()
        else:
            self.register_buffer(held, torch.from_numpy(np.array(array)))
            self._held[name] = held


def _last_uses(nodes: Sequence[Any], outputs: Sequence[str]) -> dict[int, list[str]]:
    """Name what is not needed any more after each node."""
    last: dict[str, int] = {}
    for number, (_, names, made, _) in enumerate(nodes):
        for name in (*names, *made):
            last[name] = number
    found: dict[int, list[str]] = {}
    given = {name for _, _, made, _ in nodes for name in made}
    for name, number in last.items():
        if name in given and name not in outputs:
            found.setdefault(number, []).append(name)
    return found


# --- values ---------------------------------------------------------------------------------


def _is_size(value: Value) -> bool:
    return not isinstance(value, Tensor)


def _tensor(value: Value, like: Tensor | None = None) -> Tensor:
    """Give a tensor of a size or of several."""
    if isinstance(value, Tensor):
        return value
    device = None if like is None else like.device
    if isinstance(value, list):  # each is filled in: a CUDA graph records no copy from the host
        return torch.stack([torch.scalar_tensor(n, dtype=torch.int64, device=device)
                            for n in value])  # fmt: skip
    return torch.scalar_tensor(value, dtype=torch.int64, device=device)


def _on(value: Value, options: Mapping[str, Any]) -> Tensor:
    """Give a tensor where the inputs are."""
    return _tensor(value, torch.empty(0, device=options[DEVICE]))


def _list(value: Value) -> Sizes:
    """Give sizes as a list."""
    if isinstance(value, Tensor):
        raise UnsupportedNetworkError("a shape that depends on the values of a tensor")
    return value if isinstance(value, list) else [value]


def _each(work: Callable[..., Any], *values: Value) -> Value:
    """Do something to sizes, one by one; a single one goes with each."""
    length = max((len(v) for v in values if isinstance(v, list)), default=None)  # type: ignore[type-var]
    if length is None:
        return work(*values)
    columns = [
        v * length if isinstance(v, list) and len(v) == 1 else v if isinstance(v, list) else
        [v] * length
        for v in values
    ]  # fmt: skip
    return [work(*row) for row in zip(*columns, strict=True)]


def _binary(sizes: Callable[..., Any], tensors: Callable[..., Any]) -> Callable[..., Value]:
    def run(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
        first, second = given
        if _is_size(first) and _is_size(second):
            return _each(sizes, first, second)
        like = first if isinstance(first, Tensor) else second
        return tensors(_scalar(first, like), _scalar(second, like))

    return run


def _scalar(value: Value, like: Tensor) -> Value:
    """Give a single size as it is: an operation takes it beside a tensor."""
    return value if not isinstance(value, list) else _tensor(value, like)


def _unary(work: Callable[[Tensor], Tensor]) -> Callable[..., Value]:
    return lambda given, _: work(given[0])


# --- shapes ---------------------------------------------------------------------------------


def _gather(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, index = given
    if _is_size(data):
        return [data[i] for i in index] if isinstance(index, list) else data[index]
    axis = options.get("axis", 0) % data.dim()
    if isinstance(index, int):
        return data.select(axis, index)
    index = _tensor(index, data)
    found = data.index_select(axis, torch.where(index < 0, index + data.shape[axis],
                                                index).reshape(-1))  # fmt: skip
    return found.reshape(*data.shape[:axis], *index.shape, *data.shape[axis + 1 :])


def _slice(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    data, starts, ends, axes, steps = (*given, None, None)[:5]
    starts, ends = _list(starts), _list(ends)
    steps = [1] * len(starts) if steps is None else _list(steps)
    if _is_size(data):
        return data[starts[0] : ends[0] : steps[0]]
    for axis, start, end, step in zip(
        range(len(starts)) if axes is None else _list(axes), starts, ends, steps, strict=True
    ):
        if step < 0:
            if (start, end) != (-1, -(2**63) + 1) or step != -1:
                raise UnsupportedNetworkError("a slice backwards that is not of the whole axis")
            data = data.flip(axis)
        else:
            index = [slice(None)] * data.dim()
            index[axis] = slice(start, None if type(end) is int and end >= 2**31 else end, step)
            data = data[tuple(index)]
    return data


def _concat(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    if all(_is_size(one) for one in given):
        return [size for one in given for size in _list(one)]
    like = next(one for one in given if isinstance(one, Tensor))
    return torch.cat([_tensor(one, like) for one in given], options["axis"])


def _unsqueeze(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    data, axes = given[0], _list(given[1])
    if _is_size(data):
        return _list(data)
    for axis in sorted(axes):
        data = data.unsqueeze(axis)
    return data


def _squeeze(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    if _is_size(given[0]):
        return _list(given[0])[0]
    return given[0].squeeze(tuple(_list(given[1])))


def _reshape(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    data, shape = given[0], _list(given[1])
    if _is_size(data):
        return np.array(data, object).reshape(shape).tolist()
    kept = [data.shape[n] if type(size) is int and size == 0 else size
            for n, size in enumerate(shape)]  # fmt: skip
    return data.reshape(kept)


def _expand(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, shape = given[0], _list(given[1])
    data = _on(data, options)
    lead = [1] * (data.dim() - len(shape))
    wanted = [
        -1 if type(size) is int and size == 1 and n >= len(shape) + len(lead) - data.dim() else size
        for n, size in enumerate([*lead, *shape])
    ]
    return data.expand(wanted)


def _constant_of_shape(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    shape = _list(given[0])
    array = numpy_helper.to_array(options["value"]) if "value" in options else np.zeros(1, "f4")
    if array.dtype == np.int64 and len(shape) == 1 and type(shape[0]) is int:
        return [int(array[0])] * shape[0]
    kind = torch.from_numpy(np.array(array)).dtype
    return torch.full(shape, array[0].item(), dtype=kind, device=options[DEVICE])


def _range(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    first, limit, step = (_list(one)[0] for one in given)
    return torch.arange(first, limit, step, device=options[DEVICE])


def _cast(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    kind = TYPES.get(options["to"])
    if kind is None:
        raise UnsupportedNetworkError(f"a cast to ONNX's type {options['to']}")
    data = given[0]
    if _is_size(data):
        if kind in (torch.int64, torch.int32):
            return data
        return _on(data, options).to(kind)
    # C truncates and wraps; the values here are whole or small
    return data.to(kind)


def _where(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    if all(_is_size(one) for one in given):
        return _each(lambda choice, yes, no: yes if choice else no, *given)
    like = next(one for one in given if isinstance(one, Tensor))
    return torch.where(*(_tensor(one, like) for one in given))


# --- arithmetic -----------------------------------------------------------------------------


def _divided(a: Any, b: Any) -> Any:
    whole = not (isinstance(a, Tensor) and a.is_floating_point()) and not (
        isinstance(b, Tensor) and b.is_floating_point()
    )
    return torch.div(a, b, rounding_mode="trunc") if whole else a / b


def _clip(given: Sequence[Value], _: Mapping[str, Any]) -> Value:
    data, low, high = (*given, None, None)[:3]
    if low is not None:
        data = torch.maximum(data, _tensor(low, data).to(data.dtype))
    if high is not None:
        data = torch.minimum(data, _tensor(high, data).to(data.dtype))
    return data


def _reduced(work: str) -> Callable[..., Value]:
    def run(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
        data = given[0]
        axes = options.get("axes", given[1] if len(given) > 1 else None)
        keep = bool(options.get("keepdims", 1))
        if _is_size(data):
            total = {"sum": sum, "amax": max}.get(work)
            if total is None:
                raise UnsupportedNetworkError(f"{work} of a shape")
            return [total(data)] if keep else total(data)
        axes = list(range(data.dim())) if not axes else _list(axes)
        if work == "norm":
            return data.square().sum(axes, keepdim=keep).sqrt()
        return getattr(data, work)(axes, keepdim=keep)

    return run


def _gemm(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    a, b, bias = (*given, None)[:3]
    a = a.t() if options.get("transA") else a
    b = b.t() if options.get("transB") else b
    product = options.get("alpha", 1.0) * (a @ b)
    return product if bias is None else product + options.get("beta", 1.0) * bias


# --- layers ---------------------------------------------------------------------------------


def _pads(options: Mapping[str, Any], count: int) -> list[int]:
    if options.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedNetworkError("padding that ONNX chooses")
    pads = list(options.get("pads", [0] * (2 * count)))
    if pads[:count] != pads[count:]:
        raise UnsupportedNetworkError("padding that differs at the two ends")
    return pads[:count]


def _conv(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, weight, bias = (*given, None)[:3]
    count = weight.dim() - 2
    work = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[count]
    return work(
        data, weight, bias, options.get("strides", [1] * count), _pads(options, count),
        options.get("dilations", [1] * count), options.get("group", 1),
    )  # fmt: skip


def _conv_transpose(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, weight, bias = (*given, None)[:3]
    count = weight.dim() - 2
    work = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d,
            3: functional.conv_transpose3d}[count]  # fmt: skip
    return work(
        data, weight, bias, options.get("strides", [1] * count), _pads(options, count),
        options.get("output_padding", [0] * count), options.get("group", 1),
        options.get("dilations", [1] * count),
    )  # fmt: skip


def _pool(kind: str) -> Callable[..., Value]:
    def run(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
        size = list(options["kernel_shape"])
        work = getattr(functional, f"{kind}_pool{len(size)}d")
        more: dict[str, Any] = {"ceil_mode": bool(options.get("ceil_mode", 0))}
        if kind == "avg":
            more["count_include_pad"] = bool(options.get("count_include_pad", 0))
        return work(
            given[0], size, list(options.get("strides", [1] * len(size))),
            _pads(options, len(size)), **more,
        )  # fmt: skip

    return run


def _pad(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, pads, value = (*given, None)[:3]
    pads = _list(pads)
    half = len(pads) // 2
    mode = {b"constant": "constant", b"edge": "replicate", b"reflect": "reflect"}[
        options.get("mode", b"constant")
    ]
    ends = [n for axis in reversed(range(half)) for n in (pads[axis], pads[axis + half])]
    if mode == "constant":
        fill = options.get(FILL, 0.0)
        if value is not None and FILL not in options:
            raise UnsupportedNetworkError("padding by a value that is computed")
        return functional.pad(data, ends, value=fill)
    # PyTorch repeats the edges of the last axes only
    last = 2 * (data.dim() - 2)
    if any(type(n) is not int or n for n in ends[last:]):
        raise UnsupportedNetworkError("an edge that is repeated along batch or channels")
    return functional.pad(data, ends[:last], mode=mode)


def _resize(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, _, _, sizes = (*given, None, None)[:4]
    mode, placed = options.get("mode"), options.get("coordinate_transformation_mode")
    known = {(b"nearest", b"asymmetric"), (b"linear", b"half_pixel"),
             (b"linear", b"pytorch_half_pixel")}  # fmt: skip
    if (mode, placed) not in known:
        raise UnsupportedNetworkError(f"a resize that is {mode!r} and {placed!r}")
    count = data.dim() - 2
    if sizes is not None:
        shape = _list(sizes)[2:]
    else:
        factors = options.get("scales")
        if factors is None:
            raise UnsupportedNetworkError("a resize by a factor that is computed")
        shape = [_scaled(n, f) for n, f in zip(data.shape[2:], factors[2:], strict=True)]
    if mode == b"nearest":
        return functional.interpolate(data, size=shape, mode="nearest")
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[count]
    return functional.interpolate(data, size=shape, mode=linear, align_corners=False)


def _scaled(size: Any, factor: float) -> Any:
    return size * int(factor) if factor == int(factor) else math.floor(size * factor)


def _instance_norm(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, weight, bias = given
    # not functional.instance_norm: it refuses a map of one voxel, which ONNX gives its bias
    return torch.instance_norm(
        data, weight, bias, None, None, True, 0.0, options.get("epsilon", 1e-5), False
    )


def _layer_norm(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, weight, bias = (*given, None)[:3]
    if options.get("axis", -1) not in (-1, data.dim() - 1):
        raise UnsupportedNetworkError("a layer norm over several axes")
    return functional.layer_norm(data, weight.shape, weight, bias, options.get("epsilon", 1e-5))


def _batch_norm(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, weight, bias, mean, variance = given
    return functional.batch_norm(
        data, mean, variance, weight, bias, eps=options.get("epsilon", 1e-5)
    )


def _top(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, count = given
    values, places = torch.topk(
        data, _list(count)[0], options.get("axis", -1), largest=bool(options.get("largest", 1))
    )
    return values, places


def _largest(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    if options.get("select_last_index"):
        raise UnsupportedNetworkError("the last of several largest")
    return given[0].argmax(options.get("axis", 0), keepdim=bool(options.get("keepdims", 1)))


def _flattened(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, axis = given[0], options.get("axis", 1)
    if axis == 1:
        return data.flatten(1)
    return data.reshape(math.prod(data.shape[:axis]), -1)


def _split(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    axis = options.get("axis", 0)
    if len(given) > 1 and given[1] is not None:
        return tuple(torch.split(given[0], _list(given[1]), axis))
    size = given[0].shape[axis]
    return tuple(torch.split(given[0], -(-size // options[PARTS]), axis))


def _looked_up(given: Sequence[Value], options: Mapping[str, Any]) -> Value:
    data, index = given
    axis = options.get("axis", 0)
    index = torch.where(index < 0, index + data.shape[axis], index)
    # of the axes that are not looked along, ONNX takes those of the index
    return torch.gather(data, axis, index)


OPERATORS: Mapping[str, Callable[..., Value]] = {
    "Abs": _unary(torch.abs),
    "Add": _binary(operator.add, torch.add),
    "And": _binary(lambda a, b: a and b, operator.and_),
    "ArgMax": _largest,
    "AveragePool": _pool("avg"),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": lambda *_: None,
    "ConstantOfShape": _constant_of_shape,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "CumSum": lambda given, _: given[0].cumsum(_list(given[1])[0]),
    "Div": _binary(operator.floordiv, _divided),
    "Equal": _binary(lambda a, b: bool(a == b), torch.eq),
    "Exp": _unary(torch.exp),
    "Expand": _expand,
    "Flatten": _flattened,
    "Gather": _gather,
    "GatherElements": _looked_up,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda given, _: given[0].mean(
        tuple(range(2, given[0].dim())), keepdim=True
    ),
    "Greater": _binary(lambda a, b: bool(a > b), torch.gt),
    "GreaterOrEqual": _binary(lambda a, b: bool(a >= b), torch.ge),
    "Identity": lambda given, _: given[0],
    "InstanceNormalization": _instance_norm,
    "IsNaN": _unary(torch.isnan),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda given, options: functional.leaky_relu(given[0], options.get("alpha", 0.01)),
    "Less": _binary(lambda a, b: bool(a < b), torch.lt),
    "LessOrEqual": _binary(lambda a, b: bool(a <= b), torch.le),
    "Log": _unary(torch.log),
    "LogSoftmax": lambda given, options: given[0].log_softmax(options.get("axis", -1)),
    "MatMul": lambda given, _: torch.matmul(*given),
    "MaxPool": _pool("max"),
    "Mod": _binary(operator.mod, torch.remainder),
    "Mul": _binary(operator.mul, torch.mul),
    "Neg": _unary(torch.neg),
    "Not": _unary(torch.logical_not),
    "Or": _binary(lambda a, b: a or b, operator.or_),
    "Pad": _pad,
    "Pow": _binary(operator.pow, torch.pow),
    "Range": _range,
    "ReduceL2": _reduced("norm"),
    "ReduceMax": _reduced("amax"),
    "ReduceMean": _reduced("mean"),
    "ReduceMin": _reduced("amin"),
    "ReduceSum": _reduced("sum"),
    "Relu": _unary(torch.relu),
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": lambda given, _: list(np.shape(given[0]) if _is_size(given[0]) else given[0].shape),
    "Sigmoid": _unary(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda given, options: given[0].softmax(options.get("axis", -1)),
    "Softplus": _unary(functional.softplus),
    "Split": _split,
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _binary(operator.sub, torch.sub),
    "Tanh": _unary(torch.tanh),
    "TopK": _top,
    "Transpose": lambda given, options: (
        np.array(given[0], object).transpose(options["perm"]).tolist()
        if _is_size(given[0])
        else given[0].permute(options["perm"])
    ),
    "Unsqueeze": _unsqueeze,
    "Where": _where,
    "Xor": _binary(operator.xor, operator.xor),
}
"""By name in ONNX: (inputs, attributes) → an output, or several."""
