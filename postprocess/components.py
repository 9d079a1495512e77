"""Connected pieces of a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def keep_components(
    mask: NDArray[np.bool_], *, min_voxels: int = 1, largest_only: bool = False
) -> NDArray[np.bool_]:
    """Drop small pieces of a mask, or all but the largest.

    Parameters
    ----------
    mask : (S, R, C) ndarray of bool
        One label; voxels that share a face are connected.
    min_voxels : int
        Pieces smaller than this are dropped.
    largest_only : bool
        Keep one piece at most. Of equal ones the first in array order.

    Returns
    -------
    (S, R, C) ndarray of bool
        What is left; all False when nothing is.
    """
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    inside = pieces[mask]
    sizes = np.bincount(inside, minlength=count + 1)
    keep = sizes >= max(1, min_voxels)
    if largest_only:
        keep &= np.arange(count + 1) == sizes.argmax()
    if keep[1:].all():
        return mask
    kept = np.zeros_like(mask)
    kept[mask] = keep[inside]
    return kept
