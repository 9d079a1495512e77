"""What makes engines and runs them; TensorRT's is `networks.compile.tensorrt_builder`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from networks.compile.key import Machine
from networks.compile.profile import Profile

Arrays = dict[str, NDArray[Any]]


class UnsupportedNetworkError(Exception):
    """The builder cannot make an engine of this network, whatever the precision."""


class Builder(Protocol):
    """Makes engines for one machine."""

    @property
    def machine(self) -> Machine:
        """Where its engines run."""

    def build(self, model: bytes, profile: Profile) -> bytes:
        """Make an engine of an ONNX file, whose types are those to compute in.

        Raises
        ------
        UnsupportedNetworkError
            When the network has an operator that it does not know.
        """

    def run(self, engine: bytes, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Ask an engine: inputs by name → outputs by name."""
