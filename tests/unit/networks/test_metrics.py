"""Figures against published examples and against what can be counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from networks.metrics import (
    MarkedCase,
    auc,
    bland_altman,
    froc,
    froc_point,
    froc_sensitivity,
    kappa,
    match_marks,
    sensitivity,
    specificity,
    threshold_for,
    wilson,
)


def test_wilson_gives_the_published_interval() -> None:
    """81 of 263 is .3080 with .2553 to .3662 (Newcombe, Stat Med 1998, method 3)."""
    assert wilson(81, 263) == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=5e-5)
    assert math.isnan(wilson(0, 0).value)
    with pytest.raises(ValueError, match="hits"):
        wilson(3, 2)


def test_auc_counts_pairs_and_half_ties() -> None:
    """Of six pairs four are in order and one is tied: 4.5 of 6."""
    assert auc([0.1, 0.4, 0.6], [0.4, 0.9]).value == 4.5 / 6
    assert math.isnan(auc([], [1.0]).value)


def test_auc_interval_covers_the_truth() -> None:
    """Of 200 samples from two normals, the interval misses the known area in about 5 %."""
    rng = np.random.default_rng(4)
    truth = 0.7602499  # Φ(1/√2)
    missed = 0
    for _ in range(200):
        low, high = auc(rng.normal(0, 1, 60), rng.normal(1, 1, 60))[1:]
        missed += not low <= truth <= high
    assert 2 <= missed <= 20


def test_auc_of_perfect_separation_still_has_an_interval() -> None:
    """Ten against forty without error do not prove an area of 1."""
    area = auc(np.zeros(40), np.ones(10))
    assert area.value == area.high == 1.0
    assert area.low == pytest.approx(0.025**0.1)


def test_thresholds_count_what_reaches_them() -> None:
    """The threshold for 2 % of 100 healthy scores lets exactly two of them reach it."""
    healthy = np.arange(100) / 100
    threshold = threshold_for(healthy, 0.02)
    assert specificity(healthy, threshold).value == 0.98
    assert sensitivity([0.5, 0.98, 0.99], threshold).value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="cannot tell"):
        threshold_for(healthy, 0.003)


def test_threshold_is_not_crossed_by_ties() -> None:
    """Where more healthy scores are equal than allowed, none of them reaches the threshold."""
    assert (np.array([0.9] * 5) >= threshold_for([0.1] * 95 + [0.9] * 5, 0.02)).sum() == 0


def test_one_mark_a_lesion_and_the_rest_are_false() -> None:
    """The better of two marks in a lesion hits it; a mark of thrice the size does not."""
    case = match_marks(
        [0.7, 0.9, 0.8, 0.6],
        [[1, 0], [1, 0], [0, 1], [0, 0]],
        size_ratio=[[1, 1], [1.9, 1], [1, 3], [1, 1]],
    )
    assert case.hits.tolist() == [-1, 0, -1, -1]
    assert case.lesions == 2


def test_a_scan_without_marks_still_has_its_lesions() -> None:
    """Nothing is hit, and what was missed counts."""
    case = match_marks([], np.zeros((0, 3)), np.ones((0, 3)))
    assert (len(case.scores), case.lesions) == (0, 3)
    assert froc_point([case], 0.5) == (0, 0)


def test_froc_on_three_patients() -> None:
    """Two lesions and three false marks, counted by hand."""
    cases = [
        MarkedCase(np.array([0.9, 0.3]), np.array([0, -1]), 1),
        MarkedCase(np.array([0.8, 0.2]), np.array([-1, 0]), 1),
        MarkedCase(np.array([0.7]), np.array([-1]), 0),
    ]
    assert froc_point(cases, 0.75) == (pytest.approx(1 / 3), 0.5)
    curve = froc(cases)
    assert curve[:, 0].tolist() == [0.9, 0.8, 0.7, 0.3, 0.2]
    assert curve[-1, 1:].tolist() == [1.0, 1.0]
    assert froc_sensitivity(cases, 0.5).value == 0.5
    assert froc_sensitivity(cases, 1.0).value == 1.0


def test_froc_of_no_marks() -> None:
    """A network that marks nothing finds nothing."""
    empty = MarkedCase(np.empty(0), np.empty(0, np.int64), 1)
    assert froc_sensitivity([empty, empty], 1.0).value == 0.0
    assert froc([empty]).shape == (0, 3)


def test_kappa_corrects_for_chance() -> None:
    """Agreement of 70 % where 41 % are expected is a kappa of .29 / .59."""
    table = np.array([[44, 5, 1], [7, 20, 3], [9, 5, 6]])
    first = np.repeat([0, 0, 0, 1, 1, 1, 2, 2, 2], table.ravel())
    second = np.repeat([0, 1, 2] * 3, table.ravel())
    assert kappa(first, second, 3, weights="none").value == pytest.approx(0.29 / 0.59)
    assert kappa(first, first, 3).value == 1.0
    low, high = kappa(first, second, 3)[1:]
    assert low < kappa(first, second, 3).value < high
    with pytest.raises(ValueError, match="weights"):
        kappa(first, second, 3, weights="cubic")


def test_bland_altman_finds_a_planted_bias() -> None:
    """A bias of 3 and an SD of 2 come back within their own intervals."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 500, 400)
    bias, lower, upper = bland_altman(truth + rng.normal(3, 2, 400), truth)
    assert bias.low < 3 < bias.high
    assert lower.low < 3 - 3.92 < lower.high
    assert upper.low < 3 + 3.92 < upper.high


def test_relative_agreement_leaves_out_the_zeros() -> None:
    """Ten percent too much is .1/1.05 of the mean of both; pairs of zeros say nothing."""
    truth = np.array([0.0, 100.0, 200.0, 400.0])
    assert bland_altman(1.1 * truth, truth, relative=True).bias.value == pytest.approx(0.1 / 1.05)
