"""Arrays to Triton's tensors and back, and what a CT ensemble answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from numpy.typing import NDArray

from gateway.exceptions import ModelOutputError


@dataclass(frozen=True, slots=True)
class Inference:
    """What a CT ensemble answered."""

    scores: NDArray[np.float32]
    """(k,) one number a class."""

    lesions: dict[str, Any]
    """``{"lesions": [...], "measures": {...}}``."""

    mask: NDArray[np.uint8]
    """(S, R, C) label map on the recipe's grid."""

    mask_geometry: NDArray[np.float64]
    """(4, 4) mask (slice, row, column, 1) → LPS mm."""


def text_tensor(text: str) -> NDArray[Any]:
    """Make the BYTES [1] tensor of a text."""
    return np.array([text.encode()], dtype=np.object_)


_TYPES = {
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "float32": "FP32",
    "float64": "FP64",
    "object": "BYTES",
}


def input_tensor(name: str, array: NDArray[Any]) -> Any:
    """Make the request's tensor of an array; one of object dtype holds ``bytes``."""
    tensor = triton.InferInput(name, list(array.shape), _TYPES[array.dtype.name])
    tensor.set_data_from_numpy(array)
    return tensor


def checked_output(model: str, name: str, array: NDArray[Any] | None) -> NDArray[Any]:
    """Give an output that must be there.

    Raises
    ------
    ModelOutputError
        When Triton did not send it.
    """
    if array is None:
        raise ModelOutputError(f"{model} gave no {name}.")
    return array


def read_inference(model: str, answer: dict[str, NDArray[Any]]) -> Inference:
    """Check the outputs of a CT ensemble against `gateway.contract`.

    Raises
    ------
    ModelOutputError
        When one has another type or shape, or LESIONS is not a JSON object.
    """
    scores, mask, geometry = answer["SCORES"], answer["MASK"], answer["MASK_GEOMETRY"]
    try:
        lesions = json.loads(answer["LESIONS"].reshape(-1)[0])
    except (ValueError, IndexError) as error:
        raise ModelOutputError(f"{model}: LESIONS is not JSON.") from error
    sound = (
        isinstance(lesions, dict)
        and scores.dtype == np.float32
        and scores.ndim == 1
        and mask.dtype == np.uint8
        and mask.ndim == 3
        and geometry.dtype == np.float64
        and geometry.shape == (4, 4)
        and bool(np.isfinite(geometry).all())
    )
    if not sound:
        raise ModelOutputError(
            f"{model}: SCORES {scores.dtype}{scores.shape}, MASK {mask.dtype}{mask.shape} or "
            f"MASK_GEOMETRY {geometry.dtype}{geometry.shape} breaks the contract."
        )
    return Inference(scores, lesions, mask, geometry)
