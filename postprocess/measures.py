"""What each organ of a label map measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from postprocess.attenuation import attenuation, histograms
from postprocess.coverage import coverage
from postprocess.erode import erode
from postprocess.exceptions import OutputError
from postprocess.labelmap import boxes
from preprocess.arrays import Array, array_namespace


def organ_measures(
    labels: Array,
    hu: Array,
    *,
    names: Sequence[str],
    spacing_mm: Sequence[float],
    erode_mm: float,
    edge_fraction: float,
    outlier_sds: float,
) -> dict[str, dict[str, Any]]:
    """Measure every organ of a cleaned label map.

    Parameters
    ----------
    labels : (S, R, C) array of uint8
        Cleaned label map on the unpadded grid.
    hu : (S, R, C) array of int16
        HU on the same grid.
    names : sequence of str
        Index = label value; the first is the background.
    spacing_mm : three float
        mm, axis order.
    erode_mm, edge_fraction, outlier_sds : float
        See `postprocess.erode.erode`, `postprocess.coverage.coverage` and
        `postprocess.attenuation.attenuation`.

    Returns
    -------
    dict of dict
        By name, the background left out: ``volume_ml``; ``box`` (s0, s1, r0, r1, c0, c1),
        voxels, half-open, None when absent; ``coverage`` and ``truncated_sides``; ``eroded_ml``,
        the volume farther than `erode_mm` from the surface; ``median_hu``, ``mean_hu``,
        ``sd_hu`` of that part, None when it is empty. Plain JSON values.

    Raises
    ------
    OutputError
        When the two arrays differ in shape.
    """
    if labels.shape != hu.shape:
        raise OutputError(f"labels are {labels.shape} but the HU are {hu.shape}.")
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    inside = erode(labels, distance_mm=erode_mm, spacing_mm=spacing_mm)
    counts = histograms(labels, hu, inside, len(names))
    organs = {}
    for value, box in enumerate(boxes(labels, len(names))):
        if value == 0:
            continue
        if box is None:
            organs[names[value]] = dict(ABSENT)
            continue
        mask = labels[box] == value
        seen = coverage(mask, box=box, shape=labels.shape, edge_fraction=edge_fraction)
        tissue = attenuation(counts[value], outlier_sds=outlier_sds)
        organs[names[value]] = {
            "volume_ml": _rounded(int(array_namespace(mask).count_nonzero(mask)) * voxel_ml),
            "box": [edge for part in box for edge in (part.start, part.stop)],
            "coverage": seen.state,
            "truncated_sides": list(seen.truncated_sides),
            "eroded_ml": _rounded(int(counts[value].sum()) * voxel_ml),
            "median_hu": tissue and _rounded(tissue.median_hu),
            "mean_hu": tissue and _rounded(tissue.mean_hu),
            "sd_hu": tissue and _rounded(tissue.sd_hu),
        }
    return organs


ABSENT: dict[str, Any] = {
    "volume_ml": 0.0,
    "box": None,
    "coverage": "absent",
    "truncated_sides": [],
    "eroded_ml": 0.0,
    "median_hu": None,
    "mean_hu": None,
    "sd_hu": None,
}
"""An organ that is not there."""


def _rounded(value: float) -> float:
    """Round to a thousandth of a ml or HU: shorter JSON, far below any precision claimed."""
    return round(value, 3)
