"""The scanner's HU offset: estimated, recorded, applied only when asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gateway.study.normalise import apply_offset, estimate_normalisation, fat_hu


def tissue(fat: float, *, share: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(3)
    volume = np.where(rng.random((30, 40, 50)) < share, fat, 40.0)
    return np.rint(volume + rng.normal(0, 10, volume.shape)).astype(np.int16)


def test_fat_is_found_by_its_peak():
    """The peak of the histogram, within its smoothing."""
    assert fat_hu(tissue(-104.0)) == pytest.approx(-104, abs=3)


def test_too_little_fat_is_not_measured():
    """A phantom of water has none."""
    assert fat_hu(tissue(-104.0, share=0.001)) is None


def test_usual_references_ask_for_nothing():
    """People differ: what is within the usual range is no drift."""
    found = estimate_normalisation(tissue(-98.0), air_hu=-1001.0, blood_hu=36.0)
    assert (found.offset_hu, found.limited, found.applied) == (0.0, False, False)


def test_a_drift_of_all_references_is_estimated():
    """Fat at −70 and blood at 69 ask for about −9 HU."""
    found = estimate_normalisation(tissue(-70.0), air_hu=-990.0, blood_hu=69.0)
    assert found.offset_hu == pytest.approx(-(10 + 9) / 2.5, abs=1.5)
    assert not found.limited


def test_nothing_is_offset_by_more_than_ten():
    """A larger difference is no drift of a scanner."""
    found = estimate_normalisation(tissue(-64.0))
    assert (found.offset_hu, found.limited) == (-10.0, True)


def test_nothing_measured_is_no_offset():
    """A volume of water alone."""
    found = estimate_normalisation(np.zeros((5, 5, 5), np.int16))
    assert (found.offset_hu, found.fat_hu) == (0.0, None)


def test_estimating_changes_nothing():
    """The volume is what was decoded until somebody asks."""
    volume = tissue(-60.0)
    before = volume.copy()
    estimate_normalisation(volume)
    assert (volume == before).all()


def test_an_offset_is_added_within_the_scale():
    """Padding stays padding and nothing wraps around."""
    volume = np.array([[[-1024, -1020, 0, 3070]]], np.int16)
    apply_offset(volume, -6.4)
    assert volume.tolist() == [[[-1024, -1024, -6, 3064]]]
    apply_offset(volume, 10.0)
    assert volume.tolist() == [[[-1024, -1024, 4, 3071]]]


def test_it_is_plain_json():
    """It is recorded with the result."""
    found = json.loads(json.dumps(estimate_normalisation(tissue(-98.0)).to_json()))
    assert found["applied"] is False
