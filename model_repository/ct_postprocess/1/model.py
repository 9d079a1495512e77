"""Network outputs, grid_hu, grid_geometry, RECIPE, ORGANS → SCORES, LESIONS, MASK, MASK_GEOMETRY.

Translates between Triton and `postprocess`; `config.pbtxt` says what each tensor is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from postprocess.exceptions import PostprocessError
from postprocess.finish import Given, finish
from preprocess.arrays import to_host
from preprocess.device import Host, open_device
from preprocess.exceptions import PreprocessError
from preprocess.organs import open_organs
from preprocess.recipe import Recipe

NETWORK_OUTPUTS = (
    "labels", "lesion", "score", "kinds", "peaks", "steatosis", "fibrosis", "scores", "clinical",
    "probabilities", "where", "bank_digest",
)  # fmt: skip
"""Optional inputs; a recipe asks for those that it needs. ``clinical`` and
``bank_digest`` are what the network was given beside the image."""


HOST = Host()
"""Reads what is small."""


class TritonPythonModel:
    """Serves every check; what it does is the recipe's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Refuse a NumPy with which this Triton sends empty tensors."""
        assert np.__version__.startswith("1."), f"NumPy {np.__version__} is not below 2"
        self.device = open_device(args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request, an error to the one that caused it."""
        return [_answer(request, self.device) for request in requests]


def _answer(request: Any, device: Host) -> Any:
    try:
        return pb_utils.InferenceResponse(_outputs(request, device))
    except (PreprocessError, PostprocessError) as error:
        return _error(str(error), pb_utils.TritonError.INVALID_ARG)
    except Exception as error:
        return _error(
            f"ct_postprocess failed: {type(error).__name__}.", pb_utils.TritonError.INTERNAL
        )


def _outputs(request: Any, device: Host) -> list[Any]:
    outputs = {name: _input(request, name, device) for name in NETWORK_OUTPUTS}
    organs = _input(request, "ORGANS")
    grid_hu = _input(request, "grid_hu", device)
    finished = finish(
        Given(
            outputs={name: array for name, array in outputs.items() if array is not None},
            grid_hu=grid_hu,
            grid_geometry=_input(request, "grid_geometry"),
            post=Recipe.from_json(_input(request, "RECIPE")[0]).post,
            scan_hu=_input(request, "scan_hu", device),
            scan_geometry=_input(request, "scan_geometry"),
            organs=None if organs is None else open_organs(organs[0]).beside(grid_hu),
        )
    )
    return [
        pb_utils.Tensor("SCORES", np.ascontiguousarray(finished.scores)),
        pb_utils.Tensor("LESIONS", np.array([finished.lesions.encode()], np.object_)),
        pb_utils.Tensor("MASK", np.ascontiguousarray(to_host(finished.mask))),
        pb_utils.Tensor("MASK_GEOMETRY", np.ascontiguousarray(finished.mask_geometry)),
    ]


def _input(request: Any, name: str, device: Host = HOST) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else device.read(tensor)


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
