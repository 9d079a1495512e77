"""The anatomy network's label map → organs, cleaned and measured."""

from __future__ import annotations

import json

import numpy as np

from postprocess.answer import Finished, Given
from postprocess.labelmap import clean
from postprocess.measures import organ_measures


def finish_labelmap(given: Given) -> Finished:
    """Make organs of a label map.

    Parameters
    ----------
    given : Given
        Its output ``labels``: (1, D, H, W) ndarray of uint8, padded; its leading part is the grid.
        Its post is a `preprocess.posts.LabelmapPost`.

    Returns
    -------
    Finished
        ``scores`` holds the number of organs present.

    Raises
    ------
    OutputError
        When ``labels`` is missing, smaller than the grid, or has a value without a name.
    """
    post, spacing_mm = given.post, given.spacing_mm
    labels = clean(
        given.on_grid("labels"),
        names=post.labels,
        single=post.single,
        min_volume_ml=post.min_volume_ml,
        voxel_ml=float(np.prod(spacing_mm)) / 1000.0,
    )
    organs = organ_measures(
        labels,
        given.grid_hu,
        names=post.labels,
        spacing_mm=spacing_mm,
        erode_mm=post.erode_mm,
        edge_fraction=post.edge_fraction,
        outlier_sds=post.outlier_sds,
    )
    present = sum(organ["coverage"] != "absent" for organ in organs.values())
    measures = {"organs": organs, "grid_spacing_mm": [round(mm, 6) for mm in spacing_mm]}
    return Finished(
        scores=np.array([present], np.float32),
        lesions=json.dumps({"lesions": [], "measures": measures}, allow_nan=False),
        mask=labels,
        mask_geometry=given.grid_geometry,
    )
