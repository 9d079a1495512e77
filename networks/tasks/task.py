"""What the engine asks of a network's training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from torch import Tensor, nn

from networks.sizes import SMALL

if TYPE_CHECKING:
    from networks.engine import Plan

Sample = dict[str, Tensor]
"""One sample, or a batch of them, by name."""


class Sampler(Protocol):
    """Draws the samples of a run; goes to the loader's workers."""

    def draw(self, number: int) -> Sample:
        """Return a sample, the same for the same number."""
        ...


def option(default: Any) -> Any:
    """Declare a field that decides what is trained, and is kept in the checkpoint."""
    return field(default=default, metadata={"option": True})


@dataclass
class Task(ABC):
    """One network: what it is, what it sees, what it is held to.

    Attributes
    ----------
    pool : Path
        Folder of what is drawn beforehand.
    size : str
        ``small`` or ``full``.
    """

    pool: Path

    size: str = option(SMALL)
    """One of `networks.sizes.SIZES`."""

    name: ClassVar[str]
    """The check."""

    validate_every: ClassVar[int] = 500
    """Steps."""

    plan: ClassVar[Mapping[str, Any]] = {}
    """Values of `networks.engine.Plan` that suit this network."""

    @classmethod
    def default_pool(cls) -> Path:
        """Return the folder for what is drawn beforehand, one for each version of the phantoms."""
        raise NotImplementedError

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Return the names of the fields made by `option`."""
        return tuple(f.name for f in fields(cls) if f.metadata.get("option"))

    def options(self) -> dict[str, Any]:
        """Return what of the task a checkpoint keeps."""
        return {name: getattr(self, name) for name in self.option_names()}

    @abstractmethod
    def prepare(self) -> None:
        """Begin what takes time before the first step, such as filling a pool."""

    @abstractmethod
    def network(self) -> nn.Module:
        """Build the untrained network."""

    @abstractmethod
    def sampler(self, seed: int) -> Sampler:
        """Return the samples of a training."""

    @abstractmethod
    def forward(self, network: nn.Module, batch: Sample) -> Any:
        """Run the network on a batch; called under autocast."""

    @abstractmethod
    def loss(self, outputs: Any, batch: Sample, maturity: float) -> dict[str, Tensor]:
        """Return the terms of the loss, which are summed.

        Parameters
        ----------
        outputs
            What `forward` returned.
        batch : dict of tensor
        maturity : float
            0 at the beginning of learning, 1 at its end, and throughout a run that starts from
            trained weights.
        """

    @abstractmethod
    def validate(self, network: nn.Module, plan: Plan) -> dict[str, Any]:
        """Judge a network on unseen phantoms."""

    @abstractmethod
    def export(self, network: nn.Module, path: Path) -> None:
        """Write a trained network as ONNX and hold the file to torch's answers.

        Raises
        ------
        networks.export.ParityError
            When they differ.
        """

    def export_data(self, network: nn.Module, folder: Path) -> list[Path]:
        """Write what a served network needs beside its file; most need nothing.

        Parameters
        ----------
        network : Module
        folder : Path
            Of the model in the repository.

        Returns
        -------
        list of Path
            The files.
        """
        return []

    def calibrate(self, network: nn.Module, plan: Plan, patients: int = 250) -> dict[str, Any]:
        """Set the mark and flag thresholds on healthy patients (pipelines.md §7.3).

        Each is looked at several times, and the answer says how often in all: ``healthy``.
        """
        raise NotImplementedError(f"{self.name} has no thresholds")

    def evaluate(
        self, model: Path, thresholds: Mapping[str, float], *, cases: int, workers: int = 0
    ) -> dict[str, Any]:
        """Judge an exported file on patients and scanner models that training never sees.

        Parameters
        ----------
        model : Path
            What `export` wrote.
        thresholds : mapping
            ``mark`` and ``flag``, as far as they are known.
        cases : int
            Patients.
        workers : int
            Processes that scan.

        Returns
        -------
        dict
            As `networks.evaluation.told.told` gives it.
        """
        raise NotImplementedError(f"{self.name} has no judge")
