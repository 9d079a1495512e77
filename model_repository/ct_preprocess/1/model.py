"""SOURCE or VOLUME, GEOMETRY, ROI, RECIPE, CLINICAL, REPORT → what a step asks for of them.

The memory bank of a recipe comes from the folder of its model, or from the site's own folder
``ONESCAN_BANKS``. Translates between Triton and `preprocess`; `config.pbtxt` says what each tensor
is.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from preprocess.bank import Banks
from preprocess.chest_post import ChestPost
from preprocess.device import Host, open_device
from preprocess.exceptions import PreprocessError
from preprocess.prepare import GRID_OUTPUTS, SCAN_OUTPUTS, prepare
from preprocess.recipe import Recipe
from preprocess.tokens import report_tokens

CLINICAL_OUTPUTS = ("clinical", "tokens")
"""What is made of CLINICAL and REPORT."""

BANK_OUTPUTS = ("bank", "bank_labels", "bank_digest")
"""What is handed on of the recipe's memory bank."""


class TritonPythonModel:
    """Serves every check; what it does is the recipe's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Refuse a NumPy with which this Triton sends empty tensors; know where banks lie."""
        assert np.__version__.startswith("1."), f"NumPy {np.__version__} is not below 2"
        own = os.environ.get("ONESCAN_BANKS")
        folder = Path(args.get("model_repository", __file__))
        self.banks = Banks(folder.parent, Path(own) if own else None)
        self.device = open_device(args)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each request, an error to the one that caused it."""
        return [_answer(request, self.banks, self.device) for request in requests]


def _answer(request: Any, banks: Banks, device: Host) -> Any:
    try:
        return pb_utils.InferenceResponse(_outputs(request, banks, device))
    except PreprocessError as error:
        return _error(str(error), pb_utils.TritonError.INVALID_ARG)
    except Exception as error:
        return _error(
            f"ct_preprocess failed: {type(error).__name__}.", pb_utils.TritonError.INTERNAL
        )


def _outputs(request: Any, banks: Banks, device: Host) -> list[Any]:
    wanted = request.requested_output_names()
    recipe = Recipe.from_json(_input(request, "RECIPE")[0])
    arrays = {name: _clinical(request, name) for name in CLINICAL_OUTPUTS if name in wanted}
    if any(name in wanted for name in BANK_OUTPUTS):
        arrays |= {name: a for name, a in _bank(recipe, banks).items() if name in wanted}
    if any(name in wanted for name in (*GRID_OUTPUTS, *SCAN_OUTPUTS)):
        prepared = prepare(
            _slab(request, device),
            geometry=_input(request, "GEOMETRY"),
            roi=_input(request, "ROI"),
            recipe=recipe,
            wanted=wanted,
        )
        arrays |= {name: getattr(prepared, name) for name in wanted if hasattr(prepared, name)}
    tensors = [device.tensor(pb_utils, name, array) for name, array in arrays.items()]
    device.finish()
    return tensors


def _slab(request: Any, device: Host) -> Any:
    source = _input(request, "SOURCE")
    volume = pb_utils.get_input_tensor_by_name(request, "VOLUME")
    if (source is None) == (volume is None):
        raise PreprocessError("give exactly one of SOURCE and VOLUME.")
    return device.slab(source[0]) if volume is None else device.read(volume)


def _bank(recipe: Recipe, banks: Banks) -> dict[str, Any]:
    if not isinstance(recipe.post, ChestPost):
        raise PreprocessError("a memory bank is asked for, but the recipe names none.")
    bank = banks.get(recipe.post.bank, recipe.post.labels)
    digest = np.array([bank.digest.encode()], np.object_)
    return dict(zip(BANK_OUTPUTS, (bank.embedded, bank.labels, digest), strict=True))


def _clinical(request: Any, name: str) -> Any:
    if name == "tokens":
        report = _input(request, "REPORT")
        return report_tokens(b"" if report is None else report[0])
    values = _input(request, "CLINICAL")
    if values is None:
        raise PreprocessError("this check needs CLINICAL; what is missing in it is NaN.")
    return values[None]


def _input(request: Any, name: str) -> Any:
    tensor = pb_utils.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def _error(message: str, code: Any) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
