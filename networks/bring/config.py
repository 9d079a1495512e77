"""``config.pbtxt`` of a network that was brought, and of the ensemble around it."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import TensorProto

from gateway.contract import CT_INPUTS, CT_OUTPUTS
from gateway.screening.manifest import Manifest
from networks.bring.graph import shape_of
from preprocess.recipe import GridRecipe, Recipe

TYPES = {
    TensorProto.FLOAT: "TYPE_FP32",
    TensorProto.INT64: "TYPE_INT64",
    TensorProto.UINT8: "TYPE_UINT8",
}

WARM_VOXELS = 64

WRITTEN = "# Written by `onescan models import`.\n"


def network_config(name: str, model: onnx.ModelProto, recipe: Recipe) -> str:
    """Say how the network is served: one box a request, on the CPU, warm when it is ready."""
    warm = _warm(recipe.grid)
    inputs, warmed = [], []
    for value in model.graph.input:
        kind, dims = TYPES[value.type.tensor_type.elem_type], _dims(value)
        inputs.append(f'  {{ name: "{value.name}"  data_type: {kind}  dims: {dims} }}')
        sizes = [warm if size == -1 else size for size in dims]
        data = "zero_data" if kind == "TYPE_INT64" else "random_data"
        warmed.append(
            f'    inputs {{ key: "{value.name}"  value: {{ data_type: {kind}  dims: {sizes}'
            f"  {data}: true }} }}"
        )
    outputs = [
        f'  {{ name: "{value.name}"  data_type: {TYPES[value.type.tensor_type.elem_type]}'
        f"  dims: {_dims(value)} }}"
        for value in model.graph.output
    ]
    return (
        f'{WRITTEN}name: "{name}"\nbackend: "onnxruntime"\nmax_batch_size: 1\n'
        "version_policy: { specific: { versions: [ 1 ] } }\n\n"
        f"input [\n{_joined(inputs)}\n]\noutput [\n{_joined(outputs)}\n]\n\n"
        "instance_group [ { count: 1  kind: KIND_CPU } ]\n"
        "dynamic_batching { }\n"
        "optimization { execution_accelerators"
        ' { cpu_execution_accelerator: [ { name: "openvino" } ] } }\n\n'
        'model_warmup [\n  {\n    name: "small"\n    batch_size: 1\n'
        + "\n".join(warmed)
        + "\n  }\n]\n"
    )


def ensemble_config(manifest: Manifest, network: str, outputs: Iterable[str]) -> str:
    """Say the way of a slab: ct_preprocess, the network, ct_postprocess."""
    sent = {"SOURCE", "VOLUME", "GEOMETRY", "ROI", "RECIPE"}
    sent |= {"CLINICAL"} if manifest.clinical else set()
    sent |= {"REPORT"} if manifest.report else set()
    sent |= {"ORGANS"} if manifest.organs else set()
    inner = ["volume", *(["clinical"] if manifest.clinical else [])]
    inner += ["tokens"] if manifest.report else []
    grid = ["grid_hu", "grid_geometry"]
    taken = [*outputs, *grid, *(["clinical"] if manifest.clinical else [])]
    steps = [
        ("ct_preprocess", sorted(sent - {"ORGANS"}), [*inner, *grid]),
        (network, inner, list(outputs)),
        (
            "ct_postprocess",
            [*taken, "RECIPE", *(["ORGANS"] if manifest.organs else [])],
            [tensor.name for tensor in CT_OUTPUTS],
        ),
    ]
    inputs = [
        f'  {{ name: "{t.name}"  data_type: {t.data_type}  dims: {list(t.dims)}'
        f"{'  optional: true' if t.optional else ''} }}"
        for t in CT_INPUTS
        if t.name in sent
    ]
    given = [
        f'  {{ name: "{t.name}"  data_type: {t.data_type}  dims: {list(t.dims)} }}'
        for t in CT_OUTPUTS
    ]
    return (
        f'{WRITTEN}name: "{manifest.name}"\nplatform: "ensemble"\nmax_batch_size: 0\n'
        "version_policy: { specific: { versions: [ 1 ] } }\n\n"
        f"input [\n{_joined(inputs)}\n]\noutput [\n{_joined(given)}\n]\n\n"
        f"ensemble_scheduling {{\n  step [\n{_joined(_step(*step) for step in steps)}\n  ]\n}}\n"
    )


def _step(model: str, inputs: Iterable[str], outputs: Iterable[str]) -> str:
    maps = [f'      input_map {{ key: "{name}"  value: "{name}" }}' for name in inputs]
    maps += [f'      output_map {{ key: "{name}"  value: "{name}" }}' for name in outputs]
    lines = "\n".join(maps)
    return f'    {{\n      model_name: "{model}"\n      model_version: 1\n{lines}\n    }}'


def _joined(lines: Iterable[str]) -> str:
    return ",\n".join(lines)


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    return [-1 if size is None else size for size in shape_of(value)[1:]]


def _warm(grid: GridRecipe) -> int:
    count = max(grid.minimum, WARM_VOXELS)
    return -(-count // grid.multiple) * grid.multiple
