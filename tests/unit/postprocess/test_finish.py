"""The answer of a pipeline."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.finish import FINISHERS, Given, finish
from preprocess.posts import POSTS, LabelmapPost

POST = LabelmapPost(labels=("background", "spleen", "liver"), single=("liver",))
GEOMETRY = np.diag([3.0, 3.0, 3.0, 1.0])


def finished(outputs: dict[str, Any], shape: tuple[int, int, int], post: Any = POST) -> Any:
    hu = np.full(shape, 50, np.int16)
    return finish(Given(outputs=outputs, grid_hu=hu, grid_geometry=GEOMETRY, post=post))


def test_the_padding_is_cut_off_before_anything_is_measured() -> None:
    """A liver that ends at the grid's edge and goes on in the padding is truncated there."""
    labels = np.zeros((1, 16, 16, 16), np.uint8)
    labels[0, 4:, 4:8, 4:8] = 2
    out = finished({"labels": labels}, (10, 12, 14))
    liver = json.loads(out.lesions)["measures"]["organs"]["liver"]
    assert out.mask.shape == (10, 12, 14)
    assert liver["box"] == [4, 10, 4, 8, 4, 8]
    assert liver["truncated_sides"] == ["superior"]


def test_nothing_found_is_still_an_answer() -> None:
    """Scores are never empty: Triton cannot send an empty tensor everywhere."""
    out = finished({"labels": np.zeros((1, 16, 16, 16), np.uint8)}, (10, 12, 14))
    assert out.scores.tolist() == [0.0]
    assert json.loads(out.lesions)["lesions"] == []
    assert json.loads(out.lesions)["measures"]["grid_spacing_mm"] == [3.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "needs the output labels"),
        ({"labels": np.zeros((1, 8, 16, 16), np.uint8)}, "do not hold the grid"),
        ({"labels": np.zeros((2, 16, 16, 16), np.uint8)}, "do not hold the grid"),
        ({"labels": np.full((1, 16, 16, 16), 7, np.uint8)}, "hold 7"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(outputs: dict[str, Any], message: str) -> None:
    """Missing, too small, two tiles, an unknown value."""
    with pytest.raises(OutputError, match=message):
        finished(outputs, (10, 12, 14))


def test_no_finisher_is_without_a_recipe() -> None:
    """A kind that no recipe can name would never run."""
    assert set(FINISHERS) <= set(POSTS)
