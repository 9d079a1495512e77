"""A slab on a device → what a network takes, by one kernel that reads it once.

The same as `preprocess.resample`, `pad` and `window` one after another, which is what NumPy does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.arrays import Array, array_namespace, launcher
from preprocess.grid import check_roi, check_spacing
from preprocess.weights import axis_taps

SOURCE = Path(__file__).parent / "kernels" / "prepare.cu"

THREADS = 256
"""Of a block."""

MOST_TABLES = 256
"""That stay on the device: eight to a grid, a few hundred kB in all."""

Windows = Sequence[tuple[float, float]]
"""HU that become 0 and 1, a channel each."""


def can_fuse(slab: Array) -> bool:
    """Tell whether there is a kernel for this array: int16 on a device that runs kernels."""
    return launcher(slab) is not None and slab.dtype.name == "int16"


def resample_and_window(
    slab: Array,
    *,
    roi: Sequence[int],
    spacing_mm: Sequence[float],
    target_spacing_mm: Sequence[float],
    padded: Sequence[int] | None = None,
    windows: Windows = (),
    rounded: bool = True,
    slope: NDArray[np.float32] | float = 1.0,
    intercept: NDArray[np.float32] | float = 0.0,
) -> tuple[Array | None, Array | None]:
    """Rescale, resample, pad and window a region of a slab in one pass.

    Parameters
    ----------
    slab : (S, R, C) array of int16
        Stored values on a device, in C order; HU where slope and intercept are 1 and 0.
    roi : six int
        (s0, s1, r0, r1, c0, c1), voxels, half-open.
    spacing_mm, target_spacing_mm : three float
        Present and wanted, mm, axis order.
    padded : three int, optional
        Shape to which the result's last planes, rows and columns are repeated; none when absent.
    windows : sequence of two float
        HU that become 0 and 1, one a channel; no volume is made without any.
    rounded : bool
        Whether HU are given as well.
    slope, intercept : float or (S,) ndarray
        HU = slope × stored + intercept, of all slices or of each slice of the slab.

    Returns
    -------
    volume : (1, channels, D, H, W) array of float32, or None
        0 to 1, padded.
    grid_hu : (S', R', C') array of int16, or None
        HU, unpadded.

    Raises
    ------
    PreprocessError
        For a spacing that is not positive and a region that is empty or leaves the slab.
    """
    xp = array_namespace(slab)
    s0, s1, r0, r1, c0, c1 = check_roi(roi, slab.shape)
    old, new = check_spacing(spacing_mm), check_spacing(target_spacing_mm)
    slab = xp.ascontiguousarray(slab)
    region = slab[s0:s1, r0:r1, c0:c1]
    taps = [axis_taps(n, o, t) for n, o, t in zip(region.shape, old, new)]
    shape = tuple(len(first) for first, _ in taps)
    full = shape if padded is None else tuple(int(n) for n in padded)
    volume = xp.empty((1, len(windows), *full), xp.float32) if windows else None
    grid_hu = xp.empty(shape, xp.int16) if rounded else None
    along: list[Array | np.int32] = []
    for first, weights in taps:
        along += [_placed(xp, first), _placed(xp, weights), np.int32(weights.shape[1])]
    lines = [
        _placed(xp, np.ascontiguousarray(np.broadcast_to(np.float32(value), len(slab))[s0:s1]))
        for value in (slope, intercept)
    ]
    low = np.array([low for low, _ in windows] or [0.0], np.float32)
    width = np.array([high - low for low, high in windows] or [1.0], np.float32)
    grid = full if windows else shape
    launch = launcher(slab)
    launch(
        SOURCE,
        "prepare_grid",
        -(-int(np.prod(grid)) // THREADS),
        THREADS,
        (
            region, np.int64(slab.shape[1] * slab.shape[2]), np.int64(slab.shape[2]),
            *lines, *along, *map(np.int32, shape), *map(np.int32, grid),
            _placed(xp, low), _placed(xp, width), np.int32(len(windows)),
            np.int64(0) if volume is None else volume,
            np.int64(0) if grid_hu is None else grid_hu,
        ),
    )  # fmt: skip
    return volume, grid_hu


_tables: OrderedDict[tuple[Any, ...], Array] = OrderedDict()


def _placed(xp: Any, table: NDArray[Any]) -> Array:
    """Give a small table on the device; one that was there lately is not copied again.

    The copies would take longer than the kernel.
    """
    device = xp.cuda.Device().id if xp.__name__ == "cupy" else 0
    key = (xp.__name__, device, table.dtype.str, table.shape, table.tobytes())
    if key not in _tables:
        _tables[key] = xp.asarray(table)
        if len(_tables) > MOST_TABLES:
            _tables.popitem(last=False)
    _tables.move_to_end(key)
    return _tables[key]
