"""Labels of the chest become probabilities with a tile."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.finish import Finished, Given, finish
from preprocess.chest_post import ChestPost

POST = ChestPost(labels=("mass", "cavity", "air_trapping"), tile=16, bank="chest_net")

GEOMETRY = np.array([[0, 0, 1.5, -50], [0, 1.5, 0, -60], [1.5, 0, 0, 100], [0, 0, 0, 1]], float)

SHAPE = (40, 32, 20)
"""A grid of 3 × 2 × 2 tiles, of which the last slices and columns are padding."""


def finished(**changes: Any) -> Finished:
    hu = np.full(SHAPE, -800, np.int16)
    hu[32:, 16:, 16:] = 40
    given = {
        "probabilities": np.array([[0.2, 0.7, -1.0]], np.float32),
        "where": np.array([[0, 11, 0]], np.int64),
        "bank_digest": np.array([b"ab12"], np.object_),
    }
    outputs = {name: value for name, value in (given | changes).items() if value is not None}
    return finish(Given(outputs=outputs, grid_hu=hu, grid_geometry=GEOMETRY, post=POST))


def test_probabilities_are_measures_and_what_is_not_evaluated_is_null() -> None:
    """Never 0, which would be a negative."""
    told = json.loads(finished().lesions)
    assert told["measures"] == {
        "mass": pytest.approx(0.2),
        "cavity": pytest.approx(0.7),
        "air_trapping": None,
    }
    np.testing.assert_allclose(finished().scores, [0.7])


def test_each_label_lies_at_its_tile() -> None:
    """By falling probability; tile 11 is the last of 3 × 2 × 2, cut off where the grid ends."""
    first, second = json.loads(finished().lesions)["lesions"]
    assert [(one["id"], one["kind"]) for one in (first, second)] == [(1, "cavity"), (2, "mass")]
    low, high = (GEOMETRY @ [*corner, 1.0] for corner in ((31.5, 15.5, 15.5), (39.5, 31.5, 19.5)))
    np.testing.assert_allclose(first["box_mm"], [low[:3], high[:3]])
    np.testing.assert_allclose(second["box_mm"][0], (GEOMETRY @ [-0.5, -0.5, -0.5, 1.0])[:3])
    assert first["hu"]["median"] == 40
    assert second["hu"]["median"] == -800
    assert first["classes"] == {"cavity": pytest.approx(0.7)}


def test_a_tile_says_nothing_of_size() -> None:
    """24 mm would be read as the size of the finding."""
    for lesion in json.loads(finished().lesions)["lesions"]:
        assert lesion["mean_diameter_mm"] is None
        assert lesion["volume_mm3"] is None
        assert lesion["mask_value"] is None
    assert not finished().mask.any()


def test_the_digest_of_the_bank_is_told() -> None:
    """So that a result names what it was compared with."""
    assert json.loads(finished().lesions)["memory_bank"] == "ab12"


def test_no_label_at_all_is_no_finding() -> None:
    """Every column −1."""
    out = finished(probabilities=np.full((1, 3), -1.0, np.float32))
    assert json.loads(out.lesions)["lesions"] == []
    np.testing.assert_array_equal(out.scores, [0.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": None}, "needs the output probabilities"),
        ({"bank_digest": None}, "needs the output bank_digest"),
        ({"probabilities": np.zeros((1, 4), np.float32)}, r"must be \(1, 3\)"),
        ({"probabilities": np.full((1, 3), np.nan, np.float32)}, "not finite"),
        ({"probabilities": np.full((1, 3), 1.5, np.float32)}, "exceed 1"),
        ({"where": np.array([[0, 12, 0]])}, "beyond the grid"),
        ({"where": np.array([[-1, 0, 0]])}, "beyond the grid"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    """The message names it."""
    with pytest.raises(OutputError, match=message):
        finished(**changes)
