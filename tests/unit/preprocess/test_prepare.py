"""Slab to network input."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.exceptions import PreprocessError
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

RECIPE = Recipe.from_mapping(
    {
        "name": "organs",
        "grid": {"spacing_mm": [3, 3, 3], "multiple": 16, "minimum": 32},
        "channels": [{"clip_hu": [-160, 240]}, {"clip_hu": [-1024, 1024]}],
        "post": {"kind": "labelmap", "labels": ["background", "liver"]},
    }
)
GEOMETRY = np.diag([1.5, 1.0, 1.0, 1.0])


def test_a_slab_becomes_a_padded_tensor_with_a_channel_a_window() -> None:
    """Grid of 20 × 33 × 30 voxels, padded to 32 × 48 × 32."""
    slab = np.full((40, 100, 90), 40, np.int16)
    made = prepare(slab, geometry=GEOMETRY, roi=(0, 40, 0, 100, 0, 90), recipe=RECIPE)
    assert made.grid_hu.shape == (20, 33, 30)
    assert made.grid_hu.dtype == np.int16
    assert made.volume.shape == (1, 2, 32, 48, 32)
    assert made.volume.dtype == np.float32
    # (40 + 160) / 400 and (40 + 1024) / 2048
    np.testing.assert_allclose(made.volume[0, 0], 0.5, atol=1e-6)
    np.testing.assert_allclose(made.volume[0, 1], 0.51953125, atol=1e-6)
    np.testing.assert_array_equal(made.grid_hu, 40)


def test_the_geometry_is_of_the_region() -> None:
    """Its first voxel's centre is at 10 + (3 - 1.5)/2 slices' mm from the slab's."""
    slab = np.zeros((40, 100, 90), np.int16)
    made = prepare(slab, geometry=GEOMETRY, roi=(10, 30, 0, 90, 0, 90), recipe=RECIPE)
    # 20 slices of 1.5 mm are 10 of 3 mm: the first spans slices 10 and 11, centre 10.5 · 1.5 mm.
    np.testing.assert_allclose(made.grid_geometry[:3, 3], [15.75, 1.0, 1.0])
    np.testing.assert_allclose(np.diag(made.grid_geometry), [3, 3, 3, 1])


def test_a_slab_that_does_not_fit_is_refused() -> None:
    """Region, geometry and dtype are each looked at."""
    slab = np.zeros((8, 8, 8), np.int16)
    with pytest.raises(PreprocessError, match="outside"):
        prepare(slab, geometry=GEOMETRY, roi=(0, 9, 0, 8, 0, 8), recipe=RECIPE)
    with pytest.raises(PreprocessError, match="not finite"):
        prepare(slab, geometry=np.full((4, 4), np.inf), roi=(0, 8, 0, 8, 0, 8), recipe=RECIPE)
    with pytest.raises(PreprocessError, match="uint8"):
        prepare(slab.astype(np.uint8), geometry=GEOMETRY, roi=(0, 8, 0, 8, 0, 8), recipe=RECIPE)


def test_an_image_is_a_slab_of_one_slice() -> None:
    """Windowed by its own percentiles; its grid keeps one slice."""
    recipe = Recipe.from_mapping(
        {
            "name": "image",
            "grid": {"spacing_mm": [1, 0.8, 0.8]},
            "channels": [{"percentiles": [0, 100]}],
            "post": {"kind": "values", "values": ["months"]},
        }
    )
    slab = np.tile(np.arange(400, dtype=np.int16) * 9, (1, 300, 1))
    made = prepare(
        slab, geometry=np.diag([1.0, 0.2, 0.2, 1.0]), roi=(0, 1, 0, 300, 0, 400), recipe=recipe
    )
    assert made.volume.shape == (1, 1, 1, 75, 100)
    assert made.volume.min() == 0.0
    assert made.volume.max() == 1.0
    np.testing.assert_allclose(np.diag(made.grid_geometry), [1, 0.8, 0.8, 1])
