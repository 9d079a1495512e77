"""An engine against ONNX Runtime on the same input: the bounds of the CPU's runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.runtime.backends.onnxruntime import engine
from networks.compile.builder import Arrays
from networks.compile.profile import Profile, Shape

Run = Callable[[Mapping[str, NDArray[Any]]], Arrays]

TOKENS = 5
"""Words of the probe's report."""


def reference(model: Path) -> Run:
    """Open the network in ONNX Runtime, on the CPU and in fp32."""
    return engine.load(model, openvino=False).run


def compare(model: Path, run: Run, profile: Profile) -> dict[str, Any]:
    """Hold an engine to ONNX Runtime at the least and at the usual shapes.

    Parameters
    ----------
    model : Path
        ``model.onnx``.
    run : callable
        The engine.
    profile : Profile
        What it was made for.

    Returns
    -------
    dict
        ``holds``, ``measured`` in words, and the bounds.
    """
    expected = reference(model)
    holds, measured = True, []
    for what in ("least", "usual"):
        shapes = {name: getattr(ends, what) for name, ends in profile.shapes.items()}
        inputs = probe(model, shapes)
        one_holds, said = engine.parity(expected(inputs), run(inputs))
        holds &= one_holds
        measured.append(f"{what} shapes: {said}")
    return {
        "holds": bool(holds),
        "measured": "; ".join(measured),
        "least_agreement": engine.PARITY_AGREEMENT,
        "most_relative_error": engine.PARITY_ERROR,
    }


def probe(model: Path, shapes: Mapping[str, Shape]) -> Arrays:
    """Make smooth inputs of given shapes, with what only real requests have besides.

    Every other clinical value is missing (NaN), a report has some words, every other label of
    a memory bank is there, and the second of a batch is the first one turned around.
    """
    tensors = [
        engine.TensorInfo(one.name, one.dtype, shapes[one.name], one.batched)
        for one in engine.describe(model)[0]
    ]
    made = engine.probe_inputs(tensors)
    for tensor in tensors:
        array = made[tensor.name]
        if tensor.name == "clinical":
            array[:, 1::2] = np.nan
        elif tensor.name == "tokens":
            array[:, :TOKENS] = np.arange(1, TOKENS + 1)
        elif not tensor.batched and tensor.dtype == np.uint8:
            array[:, ::2] = 1
        batch = shapes[tensor.name][0] if tensor.batched else 1
        turned = [array if index % 2 == 0 else array[..., ::-1] for index in range(batch)]
        made[tensor.name] = np.ascontiguousarray(np.concatenate(turned))
    return made
