"""Patients with several plantings each on disk; a sample reads the patient and one of them."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from networks.scene_file import Case


class PlantingPool(ABC):
    """Plantings by patient, read from a folder or drawn and kept.

    Parameters
    ----------
    folder : Path
        Where they are kept; of this version of the code alone.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def draw(self, seed: int) -> tuple[Case, dict[str, Any]]:
        """Draw a patient: the case with all plantings as its variants, and what is told of it."""

    def path(self, seed: int) -> Path:
        """Where what is told of a patient is kept; it is written last."""
        return self.folder / f"{seed}.json"

    def fill(self, seeds: Sequence[int]) -> None:
        """Draw what is missing, in order."""
        for seed in seeds:
            self.told(seed)

    def told(self, seed: int) -> dict[str, Any]:
        """Return what is told of a patient, as plain values."""
        path = self.path(seed)
        if not path.exists():
            self._keep(seed)
        read: dict[str, Any] = json.loads(path.read_text())
        return read

    def get(self, seed: int, number: int) -> Case:
        """Return a patient with one planting as the only variant."""
        self.told(seed)
        patient = Case.read(self.folder / f"{seed}.npz")
        planted = Case.read(self.folder / f"{seed}-{number}.npz")
        return replace(patient, variants=planted.variants)

    def _keep(self, seed: int) -> None:
        case, told = self.draw(seed)
        replace(case, variants=()).keep(self.folder / f"{seed}.npz")
        for number, variant in enumerate(case.variants):
            alone = replace(
                case, hu=case.hu[:1, :1, :1], tissues=case.tissues[:1, :1, :1], variants=(variant,)
            )
            alone.keep(self.folder / f"{seed}-{number}.npz")
        partial = self.path(seed).with_suffix(f".{os.getpid()}.part")
        partial.write_text(json.dumps(told))
        partial.rename(self.path(seed))
