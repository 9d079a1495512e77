"""What an engine is found by: the machine, the network's file and what it was made for."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from networks.compile.profile import Profile

FORMAT = 1
"""Of the key; a change of what this code does to a network before it is compiled raises it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where an engine runs; elsewhere it does not load."""

    architecture: str
    """Compute capability of the GPU, such as ``9.0``; of a CPU its name and vectors."""

    tensorrt: str = ""
    """Version of TensorRT; empty where it is not what runs."""

    torch: str = ""
    """Version of PyTorch and how it runs; empty where it is not what runs."""

    def __str__(self) -> str:
        """Say it in words."""
        runtime = f"TensorRT {self.tensorrt}" if self.tensorrt else f"PyTorch {self.torch}"
        where = self.architecture
        if where.replace(".", "").isdigit():
            where = f"compute capability {where}"
        return f"{where} with {runtime}"

    def told(self) -> dict[str, str]:
        """Give it as JSON has it, without what is empty."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, slots=True)
class Key:
    """The name of an engine."""

    machine: Machine
    model: str
    """SHA-256 of ``model.onnx``."""

    profile: Profile

    def told(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "format": FORMAT,
            "machine": self.machine.told(),
            "model": self.model,
            "profile": self.profile.told(),
        }

    def digest(self) -> str:
        """Give the SHA-256 of its canonical JSON, hexadecimal."""
        text = json.dumps(self.told(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()
