"""Numbers read off an image, beside what is known of the patient."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.finish import Finished, Given, finish
from preprocess.values_post import ValuesPost

POST = ValuesPost(
    values=("months", "mirrored"),
    clinical=("sex", "age_months"),
    needs={"months": ("sex",)},
    sums={"ahead_months": {"months": 1.0, "age_months": -1.0}},
)


def finished(post: ValuesPost = POST, **changes: Any) -> Finished:
    outputs = {
        "scores": np.array([[100.0, 0.25]], np.float32),
        "clinical": np.array([[1.0, 96.0]], np.float32),
        **changes,
    }
    return finish(
        Given(
            outputs={name: value for name, value in outputs.items() if value is not None},
            grid_hu=np.zeros((1, 5, 6), np.int16),
            grid_geometry=np.diag([1.0, 0.8, 0.8, 1.0]),
            post=post,
        )
    )


def measures(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(finished(**changes).lesions)["measures"])


def test_numbers_and_their_sums_are_measures() -> None:
    """100 months of bone at an age of 96 are 4 ahead."""
    assert measures() == {"months": 100.0, "mirrored": 0.25, "ahead_months": 4.0}


def test_a_number_is_not_known_without_what_it_needs() -> None:
    """Nor is a sum of it; the others stay."""
    without_sex = measures(clinical=np.array([[np.nan, 96.0]], np.float32))
    assert without_sex == {"months": None, "mirrored": 0.25, "ahead_months": None}


def test_a_sum_is_not_known_without_each_of_its_parts() -> None:
    """No age: nothing to compare with, and no zero."""
    without_age = measures(clinical=np.array([[0.0, np.nan]], np.float32))
    assert without_age == {"months": 100.0, "mirrored": 0.25, "ahead_months": None}


def test_a_recipe_without_clinical_values_asks_for_none() -> None:
    """Its numbers are the network's alone."""
    alone = finished(ValuesPost(values=("months", "mirrored")), clinical=None)
    assert json.loads(alone.lesions)["measures"] == {"months": 100.0, "mirrored": 0.25}


def test_the_mask_is_empty() -> None:
    """The numbers are the whole image's."""
    assert finished().mask.shape == (1, 5, 6)
    assert not finished().mask.any()
    np.testing.assert_allclose(finished().scores, [100.0, 0.25])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "needs the output scores"),
        ({"scores": np.zeros((1, 3), np.float32)}, r"scores must be \(1, 2\)"),
        ({"scores": np.array([[np.nan, 0.0]], np.float32)}, "not finite"),
        ({"clinical": None}, "needs the output clinical"),
        ({"clinical": np.zeros((1, 3), np.float32)}, "clinical has 3 values, not 2"),
    ],
)
def test_outputs_that_do_not_fit_the_recipe_are_refused(
    changes: dict[str, Any], message: str
) -> None:
    """By name."""
    with pytest.raises(OutputError, match=message):
        finished(**changes)
