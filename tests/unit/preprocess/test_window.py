"""Windowing."""

from __future__ import annotations

import numpy as np
import pytest

from preprocess.exceptions import ArrayError
from preprocess.window import ends_at, window


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_the_ends_become_zero_and_one(dtype: type) -> None:
    """-160 → 0, 40 → 0.5, 240 → 1, and beyond is clipped."""
    hu = np.array([-1024, -160, 40, 240, 3071], dtype)
    out = window(hu, low_hu=-160, high_hu=240)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, [0, 0, 0.5, 1, 1])


def test_the_input_is_left_as_it_was() -> None:
    """Two windows are cut from one volume."""
    hu = np.array([-500.0, 500.0], np.float32)
    window(hu, low_hu=-160, high_hu=240)
    np.testing.assert_array_equal(hu, [-500, 500])


def test_a_window_that_does_not_rise_is_refused() -> None:
    """It would divide by zero or turn dark to bright."""
    with pytest.raises(ArrayError, match="low < high"):
        window(np.zeros(3, np.int16), low_hu=40, high_hu=40)


def test_percentiles_do_not_ask_for_a_unit() -> None:
    """A scale and an offset change nothing of what is seen."""
    image = np.arange(1001, dtype=np.int16)
    for other in (image, (3 * image - 500).astype(np.int16)):
        low, high = ends_at(other, (1, 99))
        seen = window(other, low_hu=low, high_hu=high)
        np.testing.assert_allclose(seen[[10, 500, 990]], [0, 0.5, 1], atol=1e-6)


def test_an_image_of_one_value_is_black() -> None:
    """And no division by zero."""
    low, high = ends_at(np.full((1, 4, 4), 7, np.int16), (1, 99))
    assert (window(np.full((1, 4, 4), 7, np.int16), low_hu=low, high_hu=high) == 0).all()
