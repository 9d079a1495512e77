"""Stored values → HU in int16, padding and clipping included.

Two ways give the same numbers. Where slope is 1 and intercept a whole number, the values are
clipped and shifted in place. Everything else goes through a table of all stored values, made in
float64 and rounded half to even.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.instance import Frame
from gateway.study.volume import HU_MAX, HU_MIN


def to_hu(values: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.int16]:
    """Turn stored values to HU, in place where that is possible.

    Parameters
    ----------
    values : (R, C) ndarray of 8- or 16-bit integers
        Contiguous; overwritten.
    frame : Frame
        Slope and intercept are its own: they may differ between slices.

    Returns
    -------
    (R, C) ndarray of int16
        HU in [−1024, 3071]. Padding is −1024: what is declared as
        (0028,0120) *Pixel Padding Value*, and values beyond the scale outside the
        reconstruction circle. Paddings of −2000 or −32768 are below −1024 and clipped there.

    References
    ----------
    * DICOM PS3.3, C.11.1 (Modality LUT) and C.7.5.1.1.2 (Pixel Padding Value).
    """
    signed = frame.pixel_representation == 1
    kind = f"{'i' if signed else 'u'}{values.dtype.itemsize}"
    if kind[1] == "1":
        values = values.view(kind).astype("i2" if signed else "u2")
    values = values.view("i2" if signed else "u2")
    keep_bits_stored(values, frame)
    padding = _visible_padding(values, frame)
    slope, intercept = float(frame.rescale_slope or 1), float(frame.rescale_intercept or 0)
    limits = np.iinfo(values.dtype)
    smallest = -(1 << frame.bits_stored - 1) if signed else 0
    largest = smallest + (1 << frame.bits_stored) - 1
    low, high = max(HU_MIN - intercept, limits.min), min(HU_MAX - intercept, limits.max)
    if slope == 1 and intercept.is_integer() and low <= high:
        if not (low <= smallest and largest <= high):
            np.clip(values, int(low), int(high), out=values)
        hu = values.view(np.int16)
        if intercept:
            # Wraps around for intercepts beyond int16 and comes out right: the sum is in range.
            hu += np.array(int(intercept) & 0xFFFF, np.uint16).view(np.int16)
    else:
        table = _table(slope, intercept, signed)
        hu = table[values.view(np.uint16)]
    if padding is not None:
        hu[padding] = HU_MIN
    return hu


def keep_bits_stored(values: npt.NDArray[Any], frame: Frame) -> None:
    """Drop what lies beside the stored bits (old overlays) and extend the sign, in place."""
    bits = frame.bits_stored
    if bits == frame.bits_allocated:
        return
    unsigned = values.view(np.uint16)
    if frame.pixel_representation == 1:
        unsigned <<= 15 - frame.high_bit
        values >>= 16 - bits
        return
    if frame.high_bit + 1 > bits:
        unsigned >>= frame.high_bit + 1 - bits
    unsigned &= (1 << bits) - 1


def _visible_padding(values: npt.NDArray[Any], frame: Frame) -> npt.NDArray[np.bool_] | None:
    """Find padding that clipping would not turn to −1024; None where there is none.

    A declared value within the HU scale is believed only outside the reconstruction circle, since
    it is often wrong (0 with intercept 0 is water). Beyond the scale's upper end it is believed
    everywhere, as is one value in all four corners that the header does not declare.
    """
    slope, intercept = float(frame.rescale_slope or 1), float(frame.rescale_intercept or 0)
    found: npt.NDArray[np.bool_] | None = None
    declared = frame.pixel_padding_value
    if declared is not None:
        limit = frame.pixel_padding_range_limit
        first, last = sorted((declared, declared if limit is None else limit))
        top = max(first * slope, last * slope) + intercept
        if top > HU_MIN:
            found = (values >= first) & (values <= last)
            if top <= HU_MAX:
                found &= outside_circle(values.shape[0], values.shape[1])
    corner = int(values[0, 0])
    if (
        corner * slope + intercept > HU_MAX
        and corner == values[0, -1] == values[-1, 0] == values[-1, -1]
    ):
        beyond = values == corner
        found = beyond if found is None else found | beyond
    return found


@lru_cache(maxsize=8)
def outside_circle(rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Mark what lies outside the circle that touches the image's nearer edges.

    Returns
    -------
    (R, C) ndarray of bool
    """
    y = np.arange(rows) - (rows - 1) / 2
    x = np.arange(columns) - (columns - 1) / 2
    mask: npt.NDArray[np.bool_] = y[:, None] ** 2 + x**2 > (min(rows, columns) / 2) ** 2
    mask.flags.writeable = False
    return mask


@lru_cache(maxsize=64)
def _table(slope: float, intercept: float, signed: bool) -> npt.NDArray[np.int16]:
    """HU of every 16-bit pattern."""
    patterns = np.arange(65536, dtype=np.uint16)
    values = patterns.view(np.int16) if signed else patterns
    hu = np.rint(values.astype(np.float64) * slope + intercept)
    table: npt.NDArray[np.int16] = np.clip(hu, HU_MIN, HU_MAX).astype(np.int16)
    return table
