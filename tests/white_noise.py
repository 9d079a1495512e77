"""A judge of detectability for tests that make no scan: a matched filter in white noise."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from networks.phantoms.lesion import FineGrid, FloatArray

BLUR_MM = 0.6
"""SD of the point spread."""

NOISE_HU2_MM3 = 800.0
"""Noise power at low frequency: 20 HU in voxels of 2 mm³."""


def judge(grid: FineGrid, delta_hu: FloatArray) -> float:
    """Return d′ of an ideal observer."""
    seen = ndimage.gaussian_filter(delta_hu, BLUR_MM / grid.spacing_mm).astype(np.float64)
    return float(np.sqrt((seen**2).sum() * grid.spacing_mm**3 / NOISE_HU2_MM3))
