"""What can be told without a network: the hand-made baselines beside every figure.

Where one of them does well, the phantoms are too simple (pipelines.md §6.3).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from postprocess.detections import Peaks, suppress

Floats = NDArray[np.float64]

FEATURES = ("mean_hu", "sd_hu", "min_hu", "max_hu", "volume_ml")

PENALTY = 1.0
"""Weight of the squared coefficients, in cases: features are scaled to SD 1."""

NEWTON_STEPS = 25

FOLDS = 5

BLOB_SD_MM = (1.2, 2.0, 3.2, 5.0)
"""SD of the Gaussians whose differences show blobs of 4 to 17 mm."""

WIDER = 1.6
"""SD of the wider Gaussian over that of the narrower, as for a Laplacian."""

DIAMETER_PER_SD = 2 * np.sqrt(3)
"""Diameter of the ball to which a Laplacian of an SD answers most."""

MOST_BLOBS = 50


def organ_features(
    hu: NDArray[np.int16], organ: NDArray[np.bool_], spacing_mm: Sequence[float]
) -> Floats:
    """Return `FEATURES` of an organ.

    Parameters
    ----------
    hu : (D, H, W) ndarray of int16
    organ : (D, H, W) ndarray of bool
        The true mask, a lesion in it included.
    spacing_mm : three float
    """
    values = hu[organ].astype(np.float64)
    if not values.size:
        return np.zeros(len(FEATURES))
    volume = values.size * float(np.prod(spacing_mm)) / 1000
    return np.array([values.mean(), values.std(), values.min(), values.max(), volume])


def cross_validated(features: Floats, ill: NDArray[np.bool_], groups: NDArray[np.int64]) -> Floats:
    """Return the log odds that logistic regression gives each case, learnt from other patients.

    Parameters
    ----------
    features : (n, k) ndarray
    ill : (n,) ndarray of bool
    groups : (n,) ndarray of int
        Number of the patient.
    """
    odds = np.zeros(len(ill))
    patients = np.unique(groups)
    folds = np.searchsorted(patients, groups) % FOLDS
    for fold in range(FOLDS):
        held = folds == fold
        if held.any() and not held.all():
            odds[held] = _predict(_fit(features[~held], ill[~held]), features[held])
    return odds


def _fit(features: Floats, ill: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Return middle, SD and coefficients, the constant last."""
    middle, sd = features.mean(axis=0), features.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)
    rows = np.column_stack([(features - middle) / sd, np.ones(len(features))])
    weight = np.zeros(rows.shape[1])
    cost = np.diag([PENALTY] * (rows.shape[1] - 1) + [1e-9])
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weight, -30, 30)))
        slope = rows.T @ (chance - ill) + cost @ weight
        bend = (rows * (chance * (1 - chance))[:, None]).T @ rows + cost
        weight = weight - np.linalg.solve(bend, slope)
    return middle, sd, weight


def _predict(fitted: tuple[Floats, Floats, Floats], features: Floats) -> Floats:
    middle, sd, weight = fitted
    odds: Floats = (features - middle) / sd @ weight[:-1] + weight[-1]
    return odds


def blobs(
    hu: NDArray[np.int16],
    mask: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    range_hu: tuple[float, float],
    *,
    dark: bool = False,
) -> Peaks:
    """Mark what is brighter than its surroundings, by differences of Gaussians.

    Parameters
    ----------
    hu : (S, R, C) ndarray of int16
    mask : (S, R, C) ndarray of bool
        Where to look.
    spacing_mm : three float
    range_hu : (low, high)
        HU are clipped to it.
    dark : bool
        Mark what is darker as well.

    Returns
    -------
    Peaks
        Scores in HU; no kinds.
    """
    volume = np.clip(hu, *range_hu).astype(np.float32)
    scores, places, sizes = [], [], []
    for sd_mm in BLOB_SD_MM:
        narrow, wide = (
            ndimage.gaussian_filter(volume, [k * sd_mm / s for s in spacing_mm], truncate=3)
            for k in (1.0, WIDER)
        )
        answer = np.abs(narrow - wide) if dark else narrow - wide
        answer[~mask] = 0
        peak = (answer == ndimage.maximum_filter(answer, 3)) & (answer > 0)
        index = np.argwhere(peak)
        values = answer[peak].astype(np.float64)
        best = np.argsort(-values, kind="stable")[: 4 * MOST_BLOBS]
        scores.append(values[best])
        places.append(index[best].astype(np.float64))
        sizes.append(np.full(len(best), DIAMETER_PER_SD * sd_mm))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    found = Peaks(
        score[order],
        np.concatenate(places)[order],
        np.concatenate(sizes)[order],
        np.zeros((len(order), 0)),
    )
    return suppress(found, spacing_mm, most=MOST_BLOBS)
