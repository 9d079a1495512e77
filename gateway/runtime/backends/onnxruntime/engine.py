"""Run one ONNX file on the CPU: OpenVINO where asked for and able, ONNX Runtime otherwise.

Standard library, NumPy and the two runtimes only, since it is copied into Triton's backend
directory and imported there as ``engine``, with ``rows`` beside it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING or __package__:
    from gateway.runtime.backends.onnxruntime.rows import in_one_order
else:
    from rows import in_one_order

Arrays = dict[str, NDArray[Any]]

PROBE_SIZE = 64
"""Length of a dynamic spatial axis of the parity check's input; a multiple of 16 for every net."""

PARITY_AGREEMENT = 0.995
"""Least share of equal values of an integer output (argmax)."""

PARITY_ERROR = 0.03
"""Largest ‖difference‖ ÷ ‖reference‖ of a real output, of OpenVINO's f32 against ONNX Runtime and
of bf16 against that; in bf16 0.016–0.020 was seen on untrained networks."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, type and shape (batch axis included) with None for dynamic axes."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...]
    batched: bool = True
    """Whether its first axis counts what the first input counts; else its rows are a table that
    all of the batch is compared with."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A loaded network."""

    run: Callable[[Mapping[str, NDArray[Any]]], Arrays]
    """Inputs by name → outputs by name; fresh arrays. Not for several threads at once."""

    description: str
    """Runtime, precision and why."""


def describe(path: Path) -> tuple[list[TensorInfo], list[TensorInfo]]:
    """List the inputs and outputs of an ONNX file."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph
    constants = {one.name for one in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    batch = _first_axis(inputs[0]) if inputs else ""
    return (
        [_info(value, batched=_first_axis(value) == batch) for value in inputs],
        [_info(value) for value in graph.output],
    )


def load(
    path: Path,
    *,
    openvino: bool,
    precision: str = "auto",
    threads: int = 0,
    native_bf16: bool | None = None,
) -> Engine:
    """Load an ONNX file.

    Parameters
    ----------
    path : Path
        The ONNX file.
    openvino : bool
        Whether the model's configuration asks for OpenVINO. It compiles once for dynamic axes:
        on a 3D U-Net that is as fast as a compilation for each shape, which costs 0.1 s each.
    precision : {"auto", "f32", "bf16"}
        auto takes bf16 where the processor multiplies it natively (AMX, AVX-512 BF16) and
        parity holds.
    threads : int
        0 means all cores.
    native_bf16 : bool, optional
        Whether the processor multiplies bf16; read from /proc/cpuinfo by default.

    Raises
    ------
    ValueError
        For another precision.
    """
    if precision not in ("auto", "f32", "bf16"):
        raise ValueError(f"precision must be auto, f32 or bf16, not {precision!r}")
    if not openvino:
        return _onnxruntime(path, threads, "the configuration names no CPU accelerator")
    try:
        full = _openvino(path, "f32", threads)
    except Exception as error:
        # Whatever OpenVINO cannot do with this file, ONNX Runtime is the reference.
        return _onnxruntime(path, threads, f"OpenVINO failed: {str(error).strip()[:200]}")
    probe = probe_inputs(describe(path)[0])
    expected = full(probe)
    holds, measured = parity(_onnxruntime(path, threads, "").run(probe), expected)
    if not holds:
        # it has been seen to read an operator otherwise than ONNX means it, silently
        return _onnxruntime(path, threads, f"OpenVINO answers otherwise: {measured}")
    native = _multiplies_bf16() if native_bf16 is None else native_bf16
    if precision == "f32" or (precision == "auto" and not native):
        why = "asked for" if precision == "f32" else "the processor has no bf16"
        return Engine(full, f"OpenVINO f32 ({why})")
    half = _openvino(path, "bf16", threads)
    if precision == "bf16":
        return Engine(half, "OpenVINO bf16 (asked for, no parity gate)")
    # It moves scores by a hundredth: rows that change places are weak peaks that come and go.
    holds, measured = parity(expected, half(probe), any_order=False)
    if holds:
        return Engine(half, f"OpenVINO bf16 (parity holds: {measured})")
    return Engine(full, f"OpenVINO f32 (bf16 parity fails: {measured})")


def parity(reference: Arrays, candidate: Arrays, *, any_order: bool = True) -> tuple[bool, str]:
    """Tell whether a candidate's outputs are as good as the reference's, and what was measured.

    Parameters
    ----------
    reference, candidate : dict of ndarray
        Outputs by name.
    any_order : bool
        Whether rows of a table that is ordered by a score may change places.
    """
    holds, measured = True, []
    if any_order:
        reference, candidate = in_one_order(reference, candidate)
    for name, expected in reference.items():
        got = candidate[name]
        if got.shape != expected.shape:
            return False, f"{name} has shape {got.shape}, not {expected.shape}"
        if np.issubdtype(expected.dtype, np.floating):
            scale = float(np.linalg.norm(expected.astype(np.float64)))
            error = float(np.linalg.norm(got.astype(np.float64) - expected)) / (scale or 1.0)
            holds &= error <= PARITY_ERROR
            measured.append(f"{name} relative error {error:.4f}")
        else:
            agreement = float(np.mean(got == expected))
            holds &= agreement >= PARITY_AGREEMENT
            measured.append(f"{name} agreement {agreement:.4f}")
    return holds, ", ".join(measured)


def probe_inputs(inputs: list[TensorInfo]) -> Arrays:
    """Make deterministic, smooth inputs in [0, 1]: noise on a coarse grid, each voxel 8 wide.

    The rows of a table beside the batch are vectors of length 1.
    """
    generator = np.random.default_rng(0)
    made = {}
    for tensor in inputs:
        first = 1 if tensor.batched else PROBE_SIZE
        shape = [first if axis == 0 else (n or PROBE_SIZE) for axis, n in enumerate(tensor.shape)]
        coarse = [n if axis < 2 else -(-n // 8) for axis, n in enumerate(shape)]
        array = generator.random(coarse, dtype=np.float32)
        for axis in range(2, len(shape)):
            array = np.repeat(array, 8, axis=axis).take(range(shape[axis]), axis=axis)
        if not tensor.batched and np.issubdtype(tensor.dtype, np.floating):
            array /= np.linalg.norm(array, axis=-1, keepdims=True)
        made[tensor.name] = array.astype(tensor.dtype)
    return made


def _openvino(path: Path, precision: str, threads: int) -> Any:
    # OpenVINO reports its use to its maker over the network; without this module it cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
    }
    if threads > 0:
        options["INFERENCE_NUM_THREADS"] = threads
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(path)), "CPU", options)
    request = compiled.create_infer_request()
    # not the compiled output's own name: a tensor that is passed on unchanged has several
    names = [tensor.name for tensor in describe(path)[1]]
    if not all(name in output.get_names() for name, output in zip(names, compiled.outputs)):
        raise ValueError("the outputs are in another order than in the file")

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        request.infer(dict(inputs), share_inputs=True)
        return {
            name: np.array(request.get_output_tensor(index).data)
            for index, name in enumerate(names)
        }

    return run


def _onnxruntime(path: Path, threads: int, why: str) -> Engine:
    # It reports its use to its maker over the network, and reads this when it is imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        return dict(zip(names, session.run(names, dict(inputs))))

    return Engine(run, f"ONNX Runtime f32 ({why})")


def _multiplies_bf16() -> bool:
    flags = Path("/proc/cpuinfo").read_text()
    return "amx_bf16" in flags or "avx512_bf16" in flags


def _first_axis(value: Any) -> str:
    """Name the first axis; empty where it has no name."""
    axes = value.type.tensor_type.shape.dim
    return str(axes[0].dim_param) if axes else ""


def _info(value: Any, *, batched: bool = True) -> TensorInfo:
    import onnx

    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
        for axis in tensor.shape.dim
    )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return TensorInfo(value.name, dtype, shape, batched)
