"""Turn an anatomy into Hounsfield units."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.anatomy import Anatomy
from networks.phantoms.hu import TissueHu, tissue_hu

TEXTURE_CORRELATION_MM = 3.0
"""Full width of the correlation of the texture within a tissue (pipelines.md §6.2)."""

EDGE_BLUR_VOXELS = 0.42
"""SD of the blur that stands for partial volume at edges: about that of a box one voxel wide
(0.29), plus that of a scanner's slice profile."""


def correlated_noise(
    shape: tuple[int, ...], rng: np.random.Generator, *, sigma_voxels: float
) -> npt.NDArray[np.float32]:
    """Return Gaussian noise of SD 1, smoothed by a Gaussian of `sigma_voxels`."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if sigma_voxels < 0.25:
        return noise
    noise = ndimage.gaussian_filter(noise, sigma_voxels, mode="wrap", truncate=3.0)
    # the SD a white field keeps along one axis after the same discrete kernel
    offsets = np.arange(-int(3 * sigma_voxels + 0.5), int(3 * sigma_voxels + 0.5) + 1)
    kernel = np.exp(-0.5 * (offsets / sigma_voxels) ** 2)
    kernel /= kernel.sum()
    noise /= np.float32((kernel**2).sum() ** (len(shape) / 2))
    return noise


def paint_labels(
    labels: npt.NDArray[np.uint8],
    table: TissueHu,
    rng: np.random.Generator,
    *,
    spacing_mm: float,
    edge_blur_voxels: float = EDGE_BLUR_VOXELS,
) -> npt.NDArray[np.float32]:
    """Paint a tissue map, or a crop of one, with a drawn table.

    Parameters
    ----------
    labels : (S, R, C) ndarray of uint8
        Tissue values.
    table : TissueHu
        From `networks.phantoms.hu.tissue_hu`.
    rng : Generator
        Draws the texture.
    spacing_mm : float
        Edge of the voxels, for the correlation of the texture.
    edge_blur_voxels : float
        SD of the partial-volume blur in voxels; 0 leaves the edges hard.

    Returns
    -------
    (S, R, C) ndarray of float32
        HU.
    """
    sigma = TEXTURE_CORRELATION_MM / 2.355 / spacing_mm
    value = correlated_noise(labels.shape, rng, sigma_voxels=sigma)
    value *= table.sd[labels]
    value += table.mean[labels]
    np.maximum(value, -1010.0, out=value)
    if edge_blur_voxels > 0:
        value = ndimage.gaussian_filter(value, edge_blur_voxels, mode="nearest", truncate=3.0)
    return value


def paint(
    anatomy: Anatomy,
    rng: np.random.Generator,
    *,
    phase: str = "native",
    pdff_percent: float | None = None,
    kvp: float = 120,
    edge_blur_voxels: float = EDGE_BLUR_VOXELS,
) -> npt.NDArray[np.float32]:
    """Paint a whole anatomy: draw a HU table for it, then the texture.

    Parameters
    ----------
    anatomy : Anatomy
        From `networks.phantoms.anatomy.sample_anatomy`.
    rng : Generator
        Draws the HU of the tissues and the texture.
    phase, pdff_percent, kvp
        As for `networks.phantoms.hu.tissue_hu`.

    Returns
    -------
    (S, R, C) ndarray of float32
        HU before any scanner noise.
    """
    table = tissue_hu(anatomy.patient, rng, phase=phase, pdff_percent=pdff_percent, kvp=kvp)
    return paint_labels(
        anatomy.labels, table, rng, spacing_mm=anatomy.spacing_mm,
        edge_blur_voxels=edge_blur_voxels,
    )  # fmt: skip
