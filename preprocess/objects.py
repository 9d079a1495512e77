"""Boxes of the values of a label map."""

from __future__ import annotations

import numpy as np

from preprocess.arrays import Array, array_namespace, counts_of, image_functions

Box = tuple[slice, slice, slice]
"""Voxels, half-open, axis order."""


def find_boxes(labels: Array, count: int) -> list[Box | None]:
    """Box every value from 1 to `count`; None for one that is not there.

    Parameters
    ----------
    labels : (S, R, C) array of an integer type
        Values above `count` are passed over.
    count : int

    Notes
    -----
    SciPy has this as ``find_objects``, CuPy 13 has not: on a device each axis is a table of value
    and index, and only the tables come to the host.
    """
    xp = array_namespace(labels)
    if xp is np:
        found: list[Box | None] = image_functions(labels).find_objects(labels, max_label=count)
        return found
    if count < 1:
        return []
    places = xp.nonzero((labels > 0) & (labels <= count))
    value = labels[places].astype(xp.int64)
    ends = []
    for axis, size in enumerate(labels.shape):
        counts = counts_of(value * size + places[axis], (count + 1) * size)
        table = counts.reshape(count + 1, size)[1:] > 0
        ends.append((table.argmax(axis=1), size - table[:, ::-1].argmax(axis=1), table.any(axis=1)))
    return [
        tuple(slice(int(low[n]), int(high[n])) for low, high, _ in ends)  # type: ignore[misc]
        if ends[0][2][n]
        else None
        for n in range(count)
    ]
