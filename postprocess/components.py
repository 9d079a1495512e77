"""Connected pieces of a label."""

from __future__ import annotations

import numpy as np

from preprocess.arrays import Array, array_namespace, counts_of, image_functions, like


def keep_components(mask: Array, *, min_voxels: int = 1, largest_only: bool = False) -> Array:
    """Drop small pieces of a mask, or all but the largest.

    Parameters
    ----------
    mask : (S, R, C) array of bool
        One label; voxels that share a face are connected.
    min_voxels : int
        Pieces smaller than this are dropped.
    largest_only : bool
        Keep one piece at most. Of equal ones the first in array order.

    Returns
    -------
    (S, R, C) array of bool
        What is left; all False when nothing is.
    """
    pieces, count = image_functions(mask).label(mask)
    if count == 0:
        return mask
    inside = pieces[mask]
    sizes = counts_of(inside, count + 1)
    keep = sizes >= max(1, min_voxels)
    if largest_only:
        keep &= np.arange(count + 1) == sizes.argmax()
    if keep[1:].all():
        return mask
    kept = array_namespace(mask).zeros_like(mask)
    kept[mask] = like(mask, keep)[inside]
    return kept
