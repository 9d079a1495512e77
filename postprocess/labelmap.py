"""Clean a label map: what is too small or lies apart is noise of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from postprocess.components import keep_components
from postprocess.exceptions import OutputError
from preprocess.arrays import Array
from preprocess.objects import Box, find_boxes


def check_labels(labels: Array, count: int) -> None:
    """Refuse what is not a label map of at most `count` labels, the background included."""
    if labels.ndim != 3 or labels.dtype != np.uint8:
        raise OutputError(
            f"labels must be three axes of uint8; they are {labels.shape} {labels.dtype}."
        )
    if labels.size and int(labels.max()) >= count:
        raise OutputError(f"labels hold {int(labels.max())}, but the recipe names {count} labels.")


def boxes(labels: Array, count: int) -> list[Box | None]:
    """Box every label.

    Returns
    -------
    list of `count` boxes or None
        Index = label value; None for the background and for what is not there.
    """
    return [None, *find_boxes(labels, count - 1)]


def clean(
    labels: Array,
    *,
    names: Sequence[str],
    single: Sequence[str],
    min_volume_ml: Mapping[str, float],
    voxel_ml: float,
) -> Array:
    """Keep the largest piece of single organs and the large enough pieces of the others.

    Parameters
    ----------
    labels : (S, R, C) array of uint8
        Label map.
    names : sequence of str
        Index = label value; the first is the background.
    single : sequence of str
        Labels of which only the largest piece stays.
    min_volume_ml : mapping
        By label, ml: smaller pieces become background, the largest one too.
    voxel_ml : float
        Volume of one voxel, ml.

    Returns
    -------
    (S, R, C) array of uint8
        A cleaned copy.
    """
    check_labels(labels, len(names))
    out = labels.copy()
    for value, box in enumerate(boxes(labels, len(names))):
        if box is None:
            continue
        name = names[value]
        mask = labels[box] == value
        kept = keep_components(
            mask,
            min_voxels=int(np.ceil(min_volume_ml.get(name, 0.0) / voxel_ml)),
            largest_only=name in single,
        )
        if kept is not mask:
            out[box][mask & ~kept] = 0
    return out
