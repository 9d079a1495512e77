"""The label map of a check's lesions, as it is kept for readers and for DICOM SEG."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import StorageFullError
from gateway.study.nifti import nifti_gz

FORMAT = "nifti-1.gz"

log = logging.getLogger("onescan.mask")


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """What the network or its postprocessing outlined."""

    array: npt.NDArray[np.uint8]
    """(S, R, C), on the recipe's grid or a part of it."""

    geometry: npt.NDArray[np.float64]
    """(4, 4): mask (slice, row, column, 1) → LPS mm."""

    def encode(self) -> bytes:
        """Write a gzipped NIfTI-1 file; the same mask gives the same bytes."""
        return nifti_gz(self.array, self.geometry)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMask:
    """What a result says of a mask that is kept."""

    shape: tuple[int, int, int]
    """(S, R, C)."""

    size_bytes: int
    sha256: str
    """Of the bytes as they are kept and sent."""

    format: str = FORMAT

    @classmethod
    def of(cls, mask: Mask, encoded: bytes) -> KeptMask:
        """Describe an encoded mask."""
        slices, rows, columns = mask.array.shape
        return cls(
            shape=(slices, rows, columns),
            size_bytes=len(encoded),
            sha256=hashlib.sha256(encoded).hexdigest(),
        )

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {**asdict(self), "shape": list(self.shape)}


KeepMask = Callable[[str, Mask], Awaitable[KeptMask | None]]
"""Keeps the mask of a check; None where there is nowhere to keep it."""


async def keep_no_mask(check: str, mask: Mask) -> KeptMask | None:
    """Keep nothing."""
    return None


async def keep_if_room(keep_mask: KeepMask, name: str, mask: Mask) -> KeptMask | None:
    """Keep a mask; None on a full disk, for which no result waits or is lost."""
    try:
        return await keep_mask(name, mask)
    except StorageFullError as error:
        log.warning("onescan.mask.not_kept check=%s code=%s", name, error.code)
        return None
