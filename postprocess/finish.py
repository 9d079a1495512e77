"""What a pipeline answers, made of what its network gave."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from postprocess.exceptions import OutputError
from postprocess.labelmap import clean
from postprocess.measures import organ_measures


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """The outer tensors of a pipeline."""

    scores: NDArray[np.float32]
    """(k,), never empty."""

    lesions: str
    """JSON ``{"lesions": [...], "measures": {...}}``."""

    mask: NDArray[np.uint8]
    """(S, R, C) label map on the unpadded grid."""

    mask_geometry: NDArray[np.float64]
    """(4, 4), voxel of the mask → LPS mm."""


def finish_labelmap(
    outputs: Mapping[str, NDArray[Any]],
    *,
    grid_hu: NDArray[np.int16],
    grid_geometry: NDArray[np.float64],
    post: Any,
) -> Finished:
    """Make organs of a label map.

    Parameters
    ----------
    outputs : mapping
        ``labels``: (1, D, H, W) ndarray of uint8, padded; its leading part is the grid.
    grid_hu : (S, R, C) ndarray of int16
        HU on the unpadded grid.
    grid_geometry : (4, 4) ndarray of float64
        Voxel of the grid → LPS mm.
    post : preprocess.recipe.LabelmapPost
        How to clean and measure.

    Returns
    -------
    Finished
        ``scores`` holds the number of organs present.

    Raises
    ------
    OutputError
        When ``labels`` is missing, smaller than the grid, or has a value without a name.
    """
    padded = outputs.get("labels")
    if padded is None:
        raise OutputError("a label map recipe needs the output labels of its network.")
    shape = grid_hu.shape
    if padded.ndim != 4 or len(padded) != 1 or any(a < b for a, b in zip(padded.shape[1:], shape)):
        raise OutputError(f"labels of shape {padded.shape} do not hold the grid {shape}.")
    spacing_mm = np.linalg.norm(grid_geometry[:3, :3], axis=0)
    labels = clean(
        np.ascontiguousarray(padded[0, : shape[0], : shape[1], : shape[2]]),
        names=post.labels,
        single=post.single,
        min_volume_ml=post.min_volume_ml,
        voxel_ml=float(np.prod(spacing_mm)) / 1000.0,
    )
    organs = organ_measures(
        labels,
        grid_hu,
        names=post.labels,
        spacing_mm=spacing_mm,
        erode_mm=post.erode_mm,
        edge_fraction=post.edge_fraction,
        outlier_sds=post.outlier_sds,
    )
    present = sum(organ["coverage"] != "absent" for organ in organs.values())
    measures = {"organs": organs, "grid_spacing_mm": [round(float(mm), 6) for mm in spacing_mm]}
    return Finished(
        scores=np.array([present], np.float32),
        lesions=json.dumps({"lesions": [], "measures": measures}, allow_nan=False),
        mask=labels,
        mask_geometry=grid_geometry,
    )


FINISHERS = {"labelmap": finish_labelmap}
"""By ``post.kind`` of the recipe; the kinds are those of `preprocess.recipe.POSTS`."""


def finish(
    outputs: Mapping[str, NDArray[Any]],
    *,
    grid_hu: NDArray[np.int16],
    grid_geometry: NDArray[np.float64],
    post: Any,
) -> Finished:
    """Finish as the recipe's ``post.kind`` says; see the function of that kind."""
    return FINISHERS[post.kind](outputs, grid_hu=grid_hu, grid_geometry=grid_geometry, post=post)
