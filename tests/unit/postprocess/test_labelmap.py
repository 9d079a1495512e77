"""Cleaning a label map."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from postprocess.exceptions import OutputError
from postprocess.labelmap import boxes, clean

NAMES = ("background", "liver", "bone")


def cleaned(labels: Any, **changes: Any) -> Any:
    arguments: dict[str, Any] = {"single": ("liver",), "min_volume_ml": {}, "voxel_ml": 0.027}
    return clean(labels, names=NAMES, **(arguments | changes))


def test_a_single_organ_keeps_one_piece_and_bone_keeps_all() -> None:
    """A second liver is noise, a second bone is not."""
    labels = np.zeros((1, 3, 9), np.uint8)
    labels[0, 0, :4] = 1
    labels[0, 0, 6:8] = 1
    labels[0, 2, :4] = 2
    labels[0, 2, 6:8] = 2
    out = cleaned(labels)
    assert (out == 1).sum() == 4
    assert (out == 2).sum() == 6


def test_small_pieces_become_background() -> None:
    """Four voxels of 0.027 ml are 0.108 ml: less than 0.11, not less than 0.1."""
    labels = np.zeros((1, 1, 9), np.uint8)
    labels[0, 0, :4] = 2
    assert (cleaned(labels, min_volume_ml={"bone": 0.11}) == 0).all()
    assert (cleaned(labels, min_volume_ml={"bone": 0.1}) == 2).sum() == 4


def test_the_network_s_map_is_left_as_it_was() -> None:
    """A copy is cleaned."""
    labels = np.zeros((1, 1, 9), np.uint8)
    labels[0, 0, [0, 2]] = 1
    before = labels.copy()
    cleaned(labels)
    np.testing.assert_array_equal(labels, before)


def test_an_organ_inside_the_box_of_another_is_not_touched() -> None:
    """Cleaning the bone around it leaves the liver."""
    labels = np.full((3, 5, 5), 2, np.uint8)
    labels[1, 1:4, 1:4] = 0
    labels[1, 2, 2] = 1
    np.testing.assert_array_equal(cleaned(labels), labels)


def test_boxes_are_indexed_by_label() -> None:
    """None for the background and for what is not there."""
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1:3, 2:5, 0:1] = 2
    assert boxes(labels, 4) == [None, None, (slice(1, 3), slice(2, 5), slice(0, 1)), None]


def test_a_value_without_a_name_is_refused() -> None:
    """The recipe names three labels, so 3 is none of them."""
    with pytest.raises(OutputError, match="hold 3, but the recipe names 3"):
        cleaned(np.full((1, 1, 1), 3, np.uint8))


def test_another_dtype_is_refused() -> None:
    """Logits are not labels."""
    with pytest.raises(OutputError, match="uint8"):
        cleaned(np.zeros((1, 1, 1), np.float32))
