"""What makes engines and runs them; TensorRT's is `networks.compile.tensorrt_builder`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from networks.compile.key import Machine
from networks.compile.profile import Profile

Arrays = dict[str, NDArray[Any]]


class UnsupportedNetworkError(Exception):
    """The builder cannot make an engine of this network, whatever the precision."""


class Builder(Protocol):
    """Makes engines for one machine."""

    plan_file: str
    """Name of an engine in a version's folder."""

    @property
    def machine(self) -> Machine:
        """Where its engines run."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """What else a version's folder needs, by name."""

    def config(self, config: Any, max_batch: int, model: Path) -> str:
        """Say a network's ``config.pbtxt`` for its engine.

        Parameters
        ----------
        config : ModelConfig
            The network's own.
        max_batch : int
            Largest batch that the engine takes.
        model : Path
            ``model.onnx``.
        """

    def left_alone(self, config: Any) -> str:
        """Say the configuration of a network that stays with ONNX Runtime."""

    def way(self, package: Path) -> str:
        """Say how an engine runs, where that differs among those of one builder; else nothing."""

    def build(self, model: bytes, profile: Profile) -> bytes:
        """Make an engine of an ONNX file, whose types are those to compute in.

        Raises
        ------
        UnsupportedNetworkError
            When the network has an operator that it does not know.
        """

    def run(self, engine: bytes, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Ask an engine: inputs by name → outputs by name."""
