"""The patient in the field of view."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.bodybox import COARSE_MM, body_box
from preprocess.exceptions import PreprocessError

SPACING_MM = (2.5, 0.9, 0.9)


def patient() -> NDArray[np.int16]:
    """Air, a body at rows 60-180 and columns 40-216, and a table of 8 mm below it."""
    volume = np.full((40, 256, 256), -1000, np.int16)
    volume[:, 60:180, 40:216] = 30
    volume[:, 200:209, 20:236] = 200
    return volume


def test_the_box_holds_the_body_and_not_the_table() -> None:
    """To within two coarse steps."""
    s0, s1, r0, r1, c0, c1 = body_box(patient(), SPACING_MM)
    reach = int(2 * COARSE_MM / 0.9) + 1
    assert (s0, s1) == (0, 40)
    assert 60 - reach <= r0 <= 60
    assert 180 <= r1 <= min(180 + reach, 200)
    assert 40 - reach <= c0 <= 40
    assert 216 <= c1 <= 216 + reach


def test_lungs_do_not_split_the_body() -> None:
    """Two holes of air inside leave one piece."""
    volume = patient()
    volume[:, 80:160, 60:110] = -850
    volume[:, 80:160, 140:190] = -850
    assert body_box(volume, SPACING_MM) == body_box(patient(), SPACING_MM)


def test_of_two_pieces_the_larger_is_the_body() -> None:
    """An arm beside the trunk is left out when it does not touch."""
    volume = patient()
    volume[:, 100:140, 0:25] = 40
    assert body_box(volume, SPACING_MM)[4] > 25


def test_a_volume_without_body_gives_the_whole() -> None:
    """Nothing is cut when nothing was found."""
    assert body_box(np.full((5, 64, 64), -1000, np.int16), SPACING_MM) == (0, 5, 0, 64, 0, 64)


def test_a_slab_thinner_than_a_step_is_seen() -> None:
    """One slice is looked at as it is."""
    assert body_box(patient()[:1], SPACING_MM)[:2] == (0, 1)


def test_another_dtype_is_refused() -> None:
    """Stored values are not HU."""
    with pytest.raises(PreprocessError, match="uint16"):
        body_box(np.zeros((5, 5, 5), np.uint16), SPACING_MM)
