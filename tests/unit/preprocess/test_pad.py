"""Padding to what a network takes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.exceptions import ArrayError
from preprocess.pad import crop_back, pad, padded_shape

shapes = st.tuples(*[st.integers(1, 20)] * 3)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(1, 16), st.integers(1, 24))
def test_crop_after_pad_returns_the_original(
    shape: tuple[int, int, int], multiple: int, minimum: int
) -> None:
    """And the padded shape is the least that fits."""
    volume = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    padded = pad(volume, multiple=multiple, minimum=minimum)
    assert all(n % multiple == 0 and n >= minimum for n in padded.shape)
    assert all(n - multiple < max(old, minimum) for n, old in zip(padded.shape, shape))
    np.testing.assert_array_equal(crop_back(padded, shape), volume)


def test_padding_repeats_the_edge() -> None:
    """Air would look like a surface to the network."""
    out = pad(np.array([[[1, 2]]], np.int16), multiple=4)
    np.testing.assert_array_equal(out[0, 0], [1, 2, 2, 2])
    np.testing.assert_array_equal(out[3, 3], [1, 2, 2, 2])


def test_a_shape_that_fits_is_not_changed() -> None:
    """112 is seven times 16."""
    assert padded_shape((32, 112, 144), multiple=16, minimum=32) == (32, 112, 144)
    assert padded_shape((33, 1, 140), multiple=16, minimum=32) == (48, 32, 144)


def test_a_crop_that_is_too_large_is_refused() -> None:
    """A network that answers on a smaller grid is wrong, not cut."""
    with pytest.raises(ArrayError, match="cannot cut"):
        crop_back(np.zeros((1, 4, 4, 4)), (4, 5, 4))


def test_a_multiple_of_nothing_is_refused() -> None:
    """Zero has no multiples."""
    with pytest.raises(ArrayError, match="must be positive"):
        pad(np.zeros((2, 2, 2)), multiple=0)
