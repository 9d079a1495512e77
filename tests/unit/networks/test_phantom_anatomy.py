"""The anatomies are a population, repeatable, and of the volumes that were drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from networks.labels import ANATOMY_LABELS, label_value
from networks.phantoms.anatomy import Anatomy, sample_anatomy
from networks.phantoms.tissue import TISSUE_COUNT, Tissue, organ_table

SEEDS = tuple(range(100, 110))
COARSE_MM = 5.0
GRID = (140, 100, 130)
"""(S, R, C) of the grid on which patients are laid over each other."""

VOLUME_TOLERANCE = 0.05
"""pipelines.md §6.1: within 5 % of the volume drawn."""


@pytest.fixture(scope="module")
def population() -> list[Anatomy]:
    return [sample_anatomy(seed, spacing_mm=COARSE_MM) for seed in SEEDS]


def _aligned(anatomy: Anatomy) -> np.ndarray:
    """Return the organ map shifted so that the middle of the body box is the middle of the grid."""
    body = np.argwhere(anatomy.labels > Tissue.TABLE_FOAM)
    middle = (body.min(axis=0) + body.max(axis=0)) // 2
    grid = np.zeros(GRID, dtype=np.uint8)
    corner = np.array(GRID) // 2 - middle
    organs = anatomy.organ_labels()
    place = tuple(slice(c, c + n) for c, n in zip(corner, organs.shape))
    grid[place] = organs
    return grid


@pytest.mark.parametrize(
    ("organ", "most"),
    [("liver", 0.80), ("spleen", 0.50), ("kidney_right", 0.50), ("kidney_left", 0.50),
     ("stomach", 0.40)],
)  # fmt: skip
def test_patients_differ_from_each_other(
    population: list[Anatomy], organ: str, most: float
) -> None:
    """The median Dice between patients stays below the limits of pipelines.md §6.1."""
    value = label_value(organ)
    maps = [_aligned(anatomy) == value for anatomy in population]
    dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in itertools.combinations(maps, 2)]
    assert np.median(dice) <= most


@pytest.mark.parametrize("organ", ["liver", "spleen", "kidney_right", "kidney_left", "heart"])
def test_organs_have_the_volume_that_was_drawn(population: list[Anatomy], organ: str) -> None:
    """Displacement moves an organ without shrinking it."""
    for anatomy in population:
        drawn = anatomy.patient.volume_ml[organ]
        assert anatomy.organ_volumes_ml()[organ] == pytest.approx(drawn, rel=VOLUME_TOLERANCE)


@pytest.mark.parametrize("organ", ["stomach", "pancreas", "gallbladder"])
def test_late_organs_rarely_lose_volume(population: list[Anatomy], organ: str) -> None:
    """At most one patient in ten has too little room for an organ that is drawn late."""
    short = sum(
        anatomy.organ_volumes_ml()[organ]
        < (1 - VOLUME_TOLERANCE) * anatomy.patient.volume_ml[organ]
        for anatomy in population
    )
    assert short <= len(population) // 10


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Nothing but the seed decides."""
    first, second = (sample_anatomy(7, spacing_mm=COARSE_MM) for _ in range(2))
    assert first.labels.tobytes() == second.labels.tobytes()
    assert np.array_equal(first.affine, second.affine)


def test_a_seed_is_the_same_patient_at_any_spacing() -> None:
    """At half the spacing the organs lie in the same place: Dice of the liver above 0.9."""
    coarse = sample_anatomy(7, spacing_mm=6.0)
    fine = sample_anatomy(7, spacing_mm=3.0)
    assert fine.patient == coarse.patient
    start = np.round((coarse.affine[:3, 3] - fine.affine[:3, 3])[::-1] / 3.0).astype(int)
    liver = label_value("liver")
    index = [np.arange(n) * 2 + s for n, s in zip(coarse.labels.shape, start)]
    inside = [(i >= 0) & (i < n) for i, n in zip(index, fine.labels.shape)]
    a = coarse.organ_labels()[np.ix_(*inside)] == liver
    b = fine.organ_labels()[np.ix_(*(i[m] for i, m in zip(index, inside)))] == liver
    assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.9


def test_every_organ_occurs_in_the_population(population: list[Anatomy]) -> None:
    """No label of the network is missing from the phantoms."""
    seen = np.unique(np.concatenate([np.unique(a.organ_labels()) for a in population]))
    assert seen.tolist() == list(range(len(ANATOMY_LABELS)))


def test_the_liver_lies_on_the_right_and_the_spleen_on_the_left(
    population: list[Anatomy],
) -> None:
    """Columns run from patient right to left."""
    for anatomy in population:
        organs = anatomy.organ_labels()
        column = {
            organ: np.argwhere(organs == label_value(organ))[:, 2].mean()
            for organ in ("liver", "spleen", "kidney_right", "kidney_left")
        }
        assert column["liver"] < column["spleen"]
        assert column["kidney_right"] < column["kidney_left"]


def test_lungs_lie_above_the_kidneys(population: list[Anatomy]) -> None:
    """Slices run from inferior to superior."""
    for anatomy in population:
        organs = anatomy.organ_labels()
        lung = np.argwhere(organs == label_value("lung_left"))[:, 0].mean()
        kidney = np.argwhere(organs == label_value("kidney_left"))[:, 0].mean()
        assert lung > kidney


def test_a_prone_patient_lies_on_the_table_in_front() -> None:
    """Rows run from anterior to posterior, so the table comes first."""
    rows = {}
    for prone in (False, True):
        labels = sample_anatomy(7, spacing_mm=COARSE_MM, prone=prone).labels
        rows[prone] = (
            np.argwhere(labels == Tissue.TABLE_FOAM)[:, 1].mean()
            - np.argwhere(labels == Tissue.LIVER)[:, 1].mean()
        )
    assert rows[True] < 0 < rows[False]


def test_every_tissue_fits_the_tables() -> None:
    """Each tissue value maps to a label value that exists."""
    assert max(Tissue) < TISSUE_COUNT
    assert organ_table().max() == len(ANATOMY_LABELS) - 1


def test_a_spacing_of_zero_is_refused() -> None:
    """The message names the argument and the value."""
    with pytest.raises(ValueError, match="spacing_mm must be positive, not 0"):
        sample_anatomy(1, spacing_mm=0)
