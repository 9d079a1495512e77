"""Map values between two ends to 0 … 1, clipped."""

from __future__ import annotations

from collections.abc import Sequence

from preprocess.arrays import Array, array_namespace, to_host
from preprocess.exceptions import ArrayError


def window(volume: Array, *, low_hu: float, high_hu: float, out: Array | None = None) -> Array:
    """Clip HU to a window and scale it to 0 … 1.

    Parameters
    ----------
    volume : array of int16 or float32
        HU, any shape.
    low_hu, high_hu : float
        HU that become 0 and 1.
    out : array of float32, optional
        Where to write, of the same shape.

    Returns
    -------
    array of float32
        0 … 1, same shape.

    Raises
    ------
    ArrayError
        When `low_hu` is not below `high_hu`.
    """
    if not low_hu < high_hu:
        raise ArrayError(f"a window needs low < high; it is {low_hu} to {high_hu} HU.")
    xp = array_namespace(volume)
    if out is None:
        out = xp.empty(volume.shape, xp.float32)
    out[...] = volume
    xp.clip(out, low_hu, high_hu, out=out)
    out -= xp.float32(low_hu)
    out /= xp.float32(high_hu - low_hu)
    return out


def ends_at(volume: Array, percentiles: Sequence[float]) -> tuple[float, float]:
    """Find the ends of a window by the values themselves, where they have no unit.

    Parameters
    ----------
    volume : array of int16 or float32
        Any shape.
    percentiles : two float
        That become 0 and 1.

    Returns
    -------
    tuple of float
        Of one more than the lower end where all values between them are the same.
    """
    ends = to_host(array_namespace(volume).percentile(volume, tuple(percentiles)))
    low, high = map(float, ends)
    return low, high if high > low else low + 1.0
