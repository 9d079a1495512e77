"""HU of an organ's tissue."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from postprocess.attenuation import HU_MIN, Attenuation, attenuation, histograms
from tests.reference.slow_grid import tissue_hu


def measured(values: NDArray[np.int16], outlier_sds: float = 3.0) -> Attenuation:
    """Measure values of one label."""
    hu = values.reshape(1, 1, -1)
    labels = np.ones(hu.shape, np.uint8)
    counts = histograms(labels, hu, labels > 0, 2)
    found = attenuation(counts[1], outlier_sds=outlier_sds)
    assert found is not None
    return found


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(-1024, 3071), min_size=1, max_size=60), st.floats(0.5, 5))
def test_the_histogram_equals_sorting(values: list[int], outlier_sds: float) -> None:
    """Median, mean, SD and count, whatever the values."""
    array = np.array(values, np.int16)
    got = measured(array, outlier_sds)
    median, mean, sd, count = tissue_hu(array, outlier_sds=outlier_sds)
    assert (got.median_hu, got.voxels) == (median, count)
    assert got.mean_hu == pytest.approx(mean, abs=1e-9)
    assert got.sd_hu == pytest.approx(sd, abs=1e-6)


def test_vessels_calcium_and_gas_do_not_count() -> None:
    """A liver of 47 ± 9 HU with 6 % of vessels at 150, calcium at 900 and gas at -800."""
    rng = np.random.default_rng(3)
    liver = rng.normal(47, 9, 20_000)
    other = np.concatenate([rng.normal(150, 9, 1_000), np.full(100, 900), np.full(100, -800)])
    found = measured(np.rint(np.concatenate([liver, other])).astype(np.int16))
    assert found.median_hu == 47
    assert found.mean_hu == pytest.approx(47, abs=0.5)
    assert found.sd_hu == pytest.approx(9, abs=0.5)


def test_noise_alone_keeps_its_voxels() -> None:
    """Three SDs of a normal distribution hold 99.7 %."""
    noise = np.rint(np.random.default_rng(4).normal(40, 12, 50_000)).astype(np.int16)
    assert measured(noise).voxels / noise.size == pytest.approx(0.997, abs=0.002)


def test_an_organ_without_noise_is_measured() -> None:
    """Its median absolute deviation is 0."""
    assert measured(np.full(9, 30, np.int16)) == Attenuation(30.0, 30.0, 0.0, 9)


def test_an_organ_without_voxels_has_no_hu() -> None:
    """None, not zero."""
    assert attenuation(np.zeros(4096, np.int64), outlier_sds=3.0) is None


def test_voxels_are_counted_by_label_and_only_where_asked() -> None:
    """The background is never counted, and what is out of range counts at its end."""
    labels = np.array([[[0, 1, 1, 2]]], np.uint8)
    hu = np.array([[[5, 5, 6, -2000]]], np.int16)
    counts = histograms(labels, hu, np.array([[[True, True, False, True]]]), 3)
    assert counts.sum() == 2
    assert counts[1, 5 - HU_MIN] == 1
    assert counts[2, 0] == 1
