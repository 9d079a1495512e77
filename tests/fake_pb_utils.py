"""As much of ``triton_python_backend_utils`` as our model.py files use, without Triton."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

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
        """Give the array; the real stub dies of one that lies on a GPU."""
        assert self.is_cpu(), f"{self._name} lies on a device"
        return self._array

    def is_cpu(self) -> bool:
        """Tell whether it lies on the host."""
        return isinstance(self._array, np.ndarray)

    def to_dlpack(self) -> Any:
        """Give what a device's library reads."""
        return self._array

    @classmethod
    def from_dlpack(cls, name: str, array: Any) -> Tensor:
        """Make a tensor of a device's memory; of a NumPy array the real stub dies."""
        assert not isinstance(array, np.ndarray), f"{name} is NumPy's"
        assert array.__dlpack_device__()[0] == 2, f"{name} is not on a GPU"
        assert array.flags.c_contiguous, f"{name} is not contiguous"
        assert array.size, f"{name} is empty"
        made = cls.__new__(cls)
        made._name, made._array = name, array
        return made


class TritonError:
    """A message with Triton's status code."""

    INTERNAL = "INTERNAL"
    INVALID_ARG = "INVALID_ARG"
    CANCELLED = "CANCELLED"

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

    def has_error(self) -> bool:
        """Tell whether it is one."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Give the error."""
        return self._error

    def arrays(self) -> dict[str, Any]:
        """Give the arrays by name; ours, the real class has no such thing."""
        assert self._error is None, self._error.message()
        return {tensor.name(): tensor._array for tensor in self._tensors}


class Request:
    """Input tensors; those that are None are not there, as optional inputs are.

    Parameters
    ----------
    outputs
        Names of the outputs that are asked for.
    parameters
        Of the request.
    timeout_us
        What is left until nobody waits for the answer; 0 is no limit.
    cancelled
        Tells whether nobody waits any more.
    """

    def __init__(
        self,
        *,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        timeout_us: int = 0,
        cancelled: Callable[[], bool] = lambda: False,
        **arrays: Any,
    ) -> None:
        self.outputs = list(outputs)
        self._parameters, self._timeout_us = dict(parameters or {}), timeout_us
        self.is_cancelled = cancelled
        self.tensors = {
            name: Tensor(name, np.ascontiguousarray(array))
            if isinstance(array, np.ndarray)
            else Tensor.from_dlpack(name, array)
            for name, array in arrays.items()
            if array is not None
        }

    def requested_output_names(self) -> list[str]:
        """Give what is asked for."""
        return self.outputs

    def parameters(self) -> str:
        """Give the parameters as JSON, as the real class does."""
        return json.dumps(self._parameters)

    def timeout(self) -> int:
        """Give the timeout."""
        return self._timeout_us


class InferenceRequest:
    """A request to another model, answered by a function."""

    models: ClassVar[dict[str, Callable[..., Any]]] = {}
    """Name → coroutine function from arrays to arrays; whoever loads a model fills it."""

    _sent: ClassVar[list[Tensor]] = []

    def __init__(
        self, *, model_name: str, requested_output_names: list[str], inputs: list[Tensor]
    ) -> None:
        assert not [t for t in inputs if any(t is other for other in self._sent)], (
            "a tensor shared by two requests ends the real server"
        )
        self._sent.extend(inputs)
        self.model_name, self.outputs, self.inputs = model_name, requested_output_names, inputs

    async def async_exec(self) -> InferenceResponse:
        """Ask; an exception of the function is an error of the model."""
        arrays = {tensor.name(): tensor._array for tensor in self.inputs}
        try:
            answer = await self.models[self.model_name](**arrays)
        except Exception as error:
            return InferenceResponse(error=TritonError(str(error)))
        return InferenceResponse([Tensor(name, answer[name]) for name in self.outputs])


def get_output_tensor_by_name(response: InferenceResponse, name: str) -> Tensor | None:
    """Find an output."""
    return next((tensor for tensor in response._tensors if tensor.name() == name), None)


def get_input_tensor_by_name(request: Request, name: str) -> Tensor | None:
    """Find an input."""
    return request.tensors.get(name)


def load_model(path: Path) -> Any:
    """Load a ``model.py`` by its path with this module in place of Triton's, and initialise it."""
    fake: Any = ModuleType(MODULE)
    for item in (
        Tensor,
        TritonError,
        InferenceResponse,
        InferenceRequest,
        get_input_tensor_by_name,
        get_output_tensor_by_name,
    ):
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
