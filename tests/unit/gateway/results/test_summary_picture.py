"""The annotated slice of the Secondary Capture summary."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.results.summary_picture import annotated_slice, directions
from tests.result_case import COSINES, check_result, lesion, placed_slices, source_of, turned


@pytest.mark.parametrize(
    ("orientation", "letters"),
    [
        ("axial", ("L", "P")),
        ("rows negated", ("R", "P")),
        ("columns negated", ("L", "A")),
        ("both negated", ("R", "A")),
        ("sagittal", ("P", "F")),
        ("sagittal negated", ("A", "H")),
        ("coronal", ("L", "F")),
        ("coronal negated", ("R", "H")),
    ],
)
def test_sides_are_named_by_the_cosines(orientation: str, letters: tuple[str, str]) -> None:
    """Growing column to the right, growing row downwards."""
    source = source_of(placed_slices(COSINES[orientation], count=3))
    assert directions(source.placed[0]) == letters


def test_an_oblique_slice_has_the_nearest_side() -> None:
    """Turned by 17 degrees it is still axial."""
    source = source_of(placed_slices(turned(17.0), count=3))
    assert directions(source.placed[0]) == ("L", "P")


def test_words_on_white_bone_can_be_read() -> None:
    """Letters have a black edge: a white picture is not white where they stand."""
    source = source_of(placed_slices(count=3))
    frame = source.placed[1]
    values = np.full((32, 32), 3000.0, np.float32)
    x, y, z = frame.image_position_patient or (0.0, 0.0, 0.0)
    found = lesion(1, (x + 10.0, y + 10.0, z), source)
    plain = annotated_slice(values, frame, check_result(), [])
    marked = annotated_slice(values, frame, check_result(), [found])
    picture = plain[:512, :512]
    assert picture[240:270, 495:512].min() == 0  # the right side's letter
    assert (marked[:512, :512] == 0).sum() > (picture == 0).sum() + 50
