"""Cumulative probabilities to grades."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.finish import Finished, Given, finish
from preprocess.posts import GradesPost

POST = GradesPost(
    grades={"steatosis": ("S0", "S1", "S2", "S3"), "fibrosis": ("F0", "F1", "F2", "F3", "F4")},
    scores=("steatosis_score", "fibrosis_score"),
)

OUTPUTS = {
    "steatosis": np.array([[0.9, 0.6, 0.1]], np.float32),
    "fibrosis": np.array([[0.5, 0.25, 0.125, 0.0]], np.float32),
    "scores": np.array([[1.6, 0.875]], np.float32),
}


def finished(**changes: Any) -> Finished:
    given = {**OUTPUTS, **changes}
    return finish(
        Given(
            outputs={name: value for name, value in given.items() if value is not None},
            grid_hu=np.zeros((4, 5, 6), np.int16),
            grid_geometry=np.diag([3.0, 3.0, 3.0, 1.0]),
            post=POST,
        )
    )


def test_what_is_above_a_grade_and_not_above_the_next_is_that_grade() -> None:
    """S0 to S3, then F0 to F4; each table sums to 1."""
    scores = finished().scores
    np.testing.assert_allclose(scores[:4], [0.1, 0.3, 0.5, 0.1], atol=1e-6)
    np.testing.assert_allclose(scores[4:], [0.5, 0.25, 0.125, 0.125, 0.0], atol=1e-6)


def test_scores_and_cumulative_probabilities_are_measures() -> None:
    """By the names of the recipe."""
    measures = json.loads(finished().lesions)["measures"]
    assert measures["steatosis_score"] == 1.6
    assert measures["fibrosis_score"] == 0.875
    assert measures["S2_or_more"] == 0.6
    assert measures["F2_or_more"] == 0.25
    assert "S0_or_more" not in measures


def test_a_grade_is_never_less_likely_than_nothing() -> None:
    """Rounding may put a higher threshold above a lower one."""
    scores = finished(steatosis=np.array([[0.5, 0.5001, 1.0]], np.float32)).scores[:4]
    assert (scores >= 0).all()
    assert scores.sum() == pytest.approx(1)


def test_the_mask_is_empty() -> None:
    """Grades have no place, and Triton cannot send an empty tensor."""
    mask = finished().mask
    assert mask.shape == (4, 5, 6)
    assert not mask.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fibrosis": None}, "needs the output fibrosis"),
        ({"steatosis": np.zeros((1, 4), np.float32)}, r"steatosis must be \(1, 3\)"),
        ({"scores": np.array([[np.nan, 0]], np.float32)}, "scores is not finite"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    """Missing, of another shape, not a number."""
    with pytest.raises(OutputError, match=message):
        finished(**changes)
