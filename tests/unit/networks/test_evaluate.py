"""The judge: Dice, intervals, orientation of reference files, grids."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from networks.evaluation.anatomy import interval, look_up, phantom_scan
from networks.inference import dice_by_class, label_volume
from networks.labels import ANATOMY_LABELS
from networks.reference import organs_from_total, read_nifti


def test_dice_of_half_an_overlap() -> None:
    """Two boxes of ten voxels that share five have a Dice of one half."""
    truth = np.zeros((1, 1, 20), np.uint8)
    found = truth.copy()
    truth[..., :10] = 1
    found[..., 5:15] = 1
    assert dice_by_class(found, truth, ("background", "a", "b"))["a"] == 0.5


def test_an_organ_that_is_not_there_has_no_dice() -> None:
    """A class without reference voxels is left out of the mean, not counted as zero."""
    nothing = np.zeros((2, 2, 2), np.uint8)
    assert math.isnan(dice_by_class(nothing, nothing, ("background", "a"))["a"])
    assert interval([math.nan, 0.5])["cases"] == 1


def test_interval_holds_the_mean() -> None:
    """The bootstrap interval lies around the mean and within the values."""
    figures = interval([0.7, 0.8, 0.85, 0.9, 0.95])
    assert 0.7 <= figures["low"] < figures["dice"] < figures["high"] <= 0.95


def test_labels_are_looked_up_on_a_finer_grid() -> None:
    """At half the spacing every voxel of a label map answers for two along each axis."""
    labels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    fine = np.diag([1.5, 1.5, 1.5, 1.0])
    fine[:3, 3] = -0.75
    found = look_up(labels, np.diag([3.0, 3.0, 3.0, 1.0]), (4, 4, 4), fine)
    np.testing.assert_array_equal(found, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_outside_a_label_map_is_background() -> None:
    """Voxels of the other grid that the label map does not reach are 0."""
    labels = np.full((2, 2, 2), 5, np.uint8)
    shifted = np.eye(4)
    shifted[:3, 3] = -1
    found = look_up(labels, np.eye(4), (3, 3, 4), shifted)
    assert found.sum() == 5 * 8
    assert found[0].sum() == found[:, 0].sum() == found[..., 0].sum() == found[..., 3].sum() == 0


def test_phantom_scan_and_truth_share_their_grid() -> None:
    """On the 3 mm grid the voxels called lung are dark and those called bone are bright."""
    hu, organs = phantom_scan(1)
    assert hu.shape == organs.shape
    lung = organs == ANATOMY_LABELS.index("lung_left")
    bone = organs == ANATOMY_LABELS.index("vertebrae")
    assert np.median(hu[lung]) < -700
    assert np.median(hu[bone]) > 80


def test_labels_of_any_size_come_back_on_their_grid() -> None:
    """A volume is padded for the network and its labels are cropped back."""
    seen: list[tuple[int, ...]] = []

    def bright(volume: np.ndarray) -> np.ndarray:
        seen.append(volume.shape)
        return (volume[:, 0] > 0.5).astype(np.uint8)

    hu = np.zeros((30, 101, 122), np.int16)
    hu[10, 50, 60] = 200
    labels = label_volume(bright, hu)
    assert seen == [(1, 2, 32, 112, 128)]
    assert labels.shape == hu.shape
    assert np.argwhere(labels).tolist() == [[10, 50, 60]]


def test_reference_classes_map_to_our_labels() -> None:
    """Lobes join to lungs, sacrum to vertebrae; costal cartilage is nothing."""
    total = np.asarray([5, 10, 14, 25, 26, 92, 117, 63], np.uint8)
    names = [ANATOMY_LABELS[value] for value in organs_from_total(total)]
    assert names == [
        "liver", "lung_left", "lung_right", "vertebrae", "vertebrae", "other_bone", "background",
        "inferior_vena_cava",
    ]  # fmt: skip


def test_nifti_is_turned_to_our_axes(tmp_path: Path) -> None:
    """A voxel at the patient's right, front and bottom comes first on every axis."""
    nibabel = pytest.importorskip("nibabel")
    stored = np.zeros((4, 5, 6), np.float32)
    stored[3, 4, 0] = 1  # RAS: the largest x is right, the largest y anterior, the smallest z low
    nibabel.save(
        nibabel.Nifti1Image(stored, np.diag([2.0, 3.0, 4.0, 1.0])), tmp_path / "scan.nii.gz"
    )
    volume, spacing_mm = read_nifti(tmp_path / "scan.nii.gz")
    assert volume.shape == (6, 5, 4)
    assert spacing_mm == (4.0, 3.0, 2.0)
    assert np.argwhere(volume).tolist() == [[0, 0, 0]]
