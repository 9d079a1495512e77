"""What came out of the file or folder of somebody else."""

from __future__ import annotations

from dataclasses import dataclass, field

import onnx


@dataclass(frozen=True)
class Brought:
    """A network as ONNX, and what has to be known of it."""

    model: onnx.ModelProto
    source: str
    """What it was made of, in words."""

    labels: tuple[str, ...] = ()
    """Names of its classes in order, where it says them."""

    spacing_mm: tuple[float, float, float] | None = None
    """Of its grid, (slices, rows, columns), where it says it."""

    multiple: tuple[int, int, int] | None = None
    """What its input's axes must divide by, where it says it."""

    axes: str = "SPL"
    """Towards which side of the patient the axes of its input grow; ours are superior,
    posterior, left."""

    windows_hu: tuple[tuple[float, float], ...] = ()
    """HU that it clips to, by channel, where it says it."""

    rescale: tuple[tuple[float, float], ...] = ()
    """(factor, offset) by channel that make its input of our 0 … 1."""

    notes: list[str] = field(default_factory=list)
    """What a person has to look at."""
