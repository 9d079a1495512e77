"""Find the patient in the field of view, quickly."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import ndimage

from preprocess.arrays import Array, check_volume, counts_of, image_functions, like
from preprocess.grid import Roi, check_spacing
from preprocess.objects import find_boxes

BODY_HU = -300.0
"""HU above which a voxel is body or table, not air or lung. Between fat (-120) and lung (-650)."""

COARSE_MM = 6.0
"""Step of the coarse look. A table's top is thinner than two of these and falls to the opening."""


def body_box(volume: Array, spacing_mm: Sequence[float]) -> Roi:
    """Box the largest connected piece of body, without the table.

    Parameters
    ----------
    volume : (S, R, C) array of int16 or float32
        HU.
    spacing_mm : three float
        mm, axis order.

    Returns
    -------
    six int
        (s0, s1, r0, r1, c0, c1), voxels, half-open, one coarse step larger than what was seen.
        The whole volume when no body is found.

    Raises
    ------
    PreprocessError
        For a wrong shape, dtype or spacing.

    Notes
    -----
    Every sixth millimetre is looked at and what is thinner than three such steps within a slice
    is removed, so this bounds work; it is not a segmentation.
    """
    check_volume(volume)
    step = [max(1, int(COARSE_MM / mm)) for mm in check_spacing(spacing_mm)]
    coarse = volume[:: step[0], :: step[1], :: step[2]] > BODY_HU
    functions = image_functions(volume)
    in_plane = like(volume, ndimage.generate_binary_structure(2, 1)[None])
    labels, count = functions.label(functions.binary_opening(coarse, in_plane))
    if count == 0:
        return 0, volume.shape[0], 0, volume.shape[1], 0, volume.shape[2]
    sizes = counts_of(labels.ravel(), count + 1)
    largest = int(sizes[1:].argmax()) + 1
    (found,) = find_boxes((labels == largest).astype("uint8"), 1)
    assert found is not None
    low = [max(0, (part.start - 1) * by) for part, by in zip(found, step)]
    high = [min(size, (part.stop + 1) * by) for part, by, size in zip(found, step, volume.shape)]
    return low[0], high[0], low[1], high[1], low[2], high[2]
