"""Stored values to HU: bits, sign, rescale, padding, clipping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.study.hounsfield import outside_circle, to_hu
from tests.stored_series import make_frame


def hu(stored, kind="<i2", **changes):
    values = np.array(stored, kind).reshape(1, -1).repeat(3, axis=0)
    frame = make_frame(
        rows=3,
        columns=values.shape[1],
        pixel_representation=int(kind[1] == "i"),
        bits_allocated=values.itemsize * 8,
        **({"bits_stored": values.itemsize * 8, "high_bit": values.itemsize * 8 - 1} | changes),
    )
    return to_hu(values, frame)[1].tolist()


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=40),
    st.integers(0, 1),
    st.integers(-2000, 40000),
)
def test_the_quick_way_equals_the_table(patterns, signed, intercept):
    """Slope 1 in place and slope 1 + ε by the table give the same numbers, without overflow."""
    kind = "<i2" if signed else "<u2"
    values = np.array(patterns, "<u2").view(kind)
    expected = np.clip(values.astype(np.int64) + intercept, -1024, 3071)
    # Edge columns that are not saturated, so that no padding is found in the corners.
    frame = {"rescale_intercept": float(intercept)}
    calm = -intercept if -32768 <= -intercept <= 32767 and (signed or intercept <= 0) else None
    if calm is None:
        return
    stored = [calm, *values.tolist(), calm]
    assert hu(stored, kind, **frame)[1:-1] == expected.tolist()
    assert hu(stored, kind, **frame, rescale_slope=1.0 + 1e-12)[1:-1] == expected.tolist()


@given(st.floats(0.1, 4.0), st.floats(-2000, 100))
def test_other_slopes_round_half_to_even_in_double_precision(slope, intercept):
    """The table equals NumPy's rint of the float64 product."""
    stored = np.array([0, *range(0, 4096, 37), 0], np.int64)
    expected = np.clip(np.rint(stored * slope + intercept), -1024, 3071)
    assert hu(stored, rescale_slope=slope, rescale_intercept=intercept) == expected.tolist()


def test_halves_go_to_even():
    """0.5, 1.5 and 2.5 become 0, 2 and 2."""
    assert hu([0, 1, 3, 5, 0], rescale_slope=0.5) == [0, 0, 2, 2, 0]


def test_twelve_bits_are_cut_out_of_sixteen():
    """Old overlay bits above the stored ones are dropped."""
    stored = [0x0400, 0xF7D0, 0x0400]
    assert hu(stored, "<u2", bits_stored=12, high_bit=11, rescale_intercept=-1024.0)[1] == 976


def test_the_sign_of_twelve_bits_is_extended():
    """0xFFF in 12 signed bits is −1, whatever stands above it."""
    assert hu([0, 0x0FFF, 0x7FFF, 0], bits_stored=12, high_bit=11) == [0, -1, -1, 0]


def test_bits_that_are_stored_high_are_shifted_down():
    """High Bit 15 with 12 bits stored: the lower four are no value."""
    assert hu([0, 0x0105, 0], "<u2", bits_stored=12, high_bit=15)[1] == 16
    assert hu([0, -16, 0], bits_stored=12, high_bit=15)[1] == -1


def test_unsigned_sixteen_bits_do_not_turn_negative():
    """40000 stored with intercept −39000 is 1000 HU."""
    assert hu([39000, 40000, 39000], "<u2", rescale_intercept=-39000.0) == [0, 1000, 0]


def test_eight_bits_are_taken():
    """8-bit CT exists, with a slope that makes HU of it."""
    assert hu([0, 200, 0], "<u1", rescale_slope=10.0, rescale_intercept=-1000.0)[1] == 1000


@pytest.mark.parametrize("padding", [-2000, -3024, -32768])
def test_low_padding_becomes_air_whether_or_not_it_is_declared(padding):
    """−32768 is declared and −2000 is in the pixels: neither wraps around."""
    found = hu([0, padding, 0], rescale_intercept=-1024.0, pixel_padding_value=-32768)
    assert found[1] == -1024


def test_declared_padding_beyond_the_scale_becomes_air():
    """Padding at the upper end would be metal."""
    assert hu([0, 32767, 0], pixel_padding_value=32767) == [0, -1024, 0]


def test_a_padding_range_is_masked():
    """From padding value to limit, both included."""
    found = hu([0, 4000, 4050, 4100, 0], pixel_padding_value=4000, pixel_padding_range_limit=4060)
    assert found == [0, -1024, -1024, 3071, 0]


def test_declared_padding_within_the_scale_counts_only_outside_the_circle():
    """Padding 0 with intercept 0 would be water: inside the circle it is."""
    values = np.zeros((64, 64), np.int16)
    found = to_hu(values, make_frame(rows=64, columns=64, pixel_padding_value=0))
    assert found[32, 32] == 0
    assert found[0, 0] == -1024
    assert ((found == -1024) == outside_circle(64, 64)).all()


def test_one_high_value_in_all_corners_is_padding():
    """63536, which is −2000 read without its sign, is undeclared padding and no bright ring."""
    values = np.full((16, 16), 63536, np.uint16)
    values[4:12, 4:12] = 1064
    frame = make_frame(rows=16, columns=16, pixel_representation=0, rescale_intercept=-1024.0)
    found = to_hu(values, frame)
    assert found[8, 8] == 40
    assert found[0, 0] == -1024


def test_metal_in_one_corner_is_metal():
    """A single bright corner is no padding."""
    assert hu([0, 0, 9000])[-1] == 3071
