"""As much of ``triton_python_backend_utils`` as our model.py files use, without Triton."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

MODULE = "triton_python_backend_utils"


class Tensor:
    """A named array; refuses what the real stub sends wrongly or dies of."""

    def __init__(self, name: str, array: Any) -> None:
        assert isinstance(array, np.ndarray), f"{name} is no NumPy array"
        assert array.flags.c_contiguous, f"{name} is not contiguous"
        assert array.size, f"{name} is empty"
        self._name, self._array = name, array

    def name(self) -> str:
        """Give the name."""
        return self._name

    def as_numpy(self) -> Any:
        """Give the array."""
        return self._array


class TritonError:
    """A message with Triton's status code."""

    INTERNAL = "INTERNAL"
    INVALID_ARG = "INVALID_ARG"

    def __init__(self, message: str, code: str = INTERNAL) -> None:
        self._message, self._code = message, code

    def message(self) -> str:
        """Give the message."""
        return self._message

    def code(self) -> str:
        """Give the status code."""
        return self._code


class InferenceResponse:
    """Tensors or an error."""

    def __init__(
        self, output_tensors: list[Tensor] | None = None, error: TritonError | None = None
    ) -> None:
        self._tensors, self._error = output_tensors or [], error

    def error(self) -> TritonError | None:
        """Give the error."""
        return self._error

    def arrays(self) -> dict[str, Any]:
        """Give the arrays by name; ours, the real class has no such thing."""
        assert self._error is None, self._error.message()
        return {tensor.name(): tensor.as_numpy() for tensor in self._tensors}


class Request:
    """Input tensors; those that are None are not there, as optional inputs are.

    Parameters
    ----------
    outputs
        Names of the outputs that are asked for.
    """

    def __init__(self, *, outputs: Sequence[str] = (), **arrays: Any) -> None:
        self.outputs = list(outputs)
        self.tensors = {
            name: Tensor(name, np.ascontiguousarray(array))
            for name, array in arrays.items()
            if array is not None
        }

    def requested_output_names(self) -> list[str]:
        """Give what is asked for."""
        return self.outputs


def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
    """Find an input."""
    return request.tensors.get(name)


def load_model(path: Path) -> Any:
    """Load a ``model.py`` by its path with this module in place of Triton's, and initialise it."""
    fake: Any = ModuleType(MODULE)
    for item in (Tensor, TritonError, InferenceResponse, get_input_tensor_by_name):
        setattr(fake, item.__name__, item)
    spec = importlib.util.spec_from_file_location(f"{path.parent.parent.name}_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE] = fake
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[MODULE]
    model = module.TritonPythonModel()
    model.initialize({})
    return model
