"""Training patches: a function of seed and step, shaped as the server shapes its input."""

from __future__ import annotations

import numpy as np
import pytest

from networks.labels import ANATOMY_LABELS
from networks.palette import draw_palette
from networks.phantoms.tissue import Tissue
from networks.pool import AnatomyPool
from networks.sampling import (
    MINIMUM,
    MULTIPLE,
    AnatomySampler,
    NoiseBank,
    elastic,
    pad_edges,
    warp_labels,
)


@pytest.fixture(scope="module")
def sampler(box_pool: AnatomyPool) -> AnatomySampler:
    return AnatomySampler(box_pool, seed=3, first=2, size=2, every=1)


def test_a_step_gives_the_same_sample_again(sampler: AnatomySampler, box_pool: AnatomyPool) -> None:
    """A sampler made anew draws the bytes that the first one drew."""
    again = AnatomySampler(box_pool, seed=3, first=2, size=2, every=1)
    for step in (0, 5):
        ours, theirs = sampler.draw(step), again.draw(step)
        np.testing.assert_array_equal(ours.hu, theirs.hu)
        np.testing.assert_array_equal(ours.labels, theirs.labels)


def test_steps_and_seeds_differ(sampler: AnatomySampler, box_pool: AnatomyPool) -> None:
    """Another step or another seed gives another patch."""
    other = AnatomySampler(box_pool, seed=4, first=2, size=2, every=1)
    first = sampler.draw(0).hu
    for hu in (sampler.draw(1).hu, other.draw(0).hu):
        assert hu.shape != first.shape or (hu != first).any()


def test_patches_fit_the_network(sampler: AnatomySampler) -> None:
    """Every axis is a multiple of 16 and at least 32, HU and labels share their grid."""
    for step in range(12):
        sample = sampler.draw(step)
        assert sample.hu.shape == sample.labels.shape
        assert all(size % MULTIPLE == 0 and size >= MINIMUM for size in sample.hu.shape)
        assert sample.hu.dtype == np.int16
        assert sample.labels.max() < len(ANATOMY_LABELS)


def test_the_pool_grows_with_the_steps(box_pool: AnatomyPool) -> None:
    """A step chooses from the anatomies that are surely drawn by then."""
    growing = AnatomySampler(box_pool, seed=0, first=4, size=6, every=10)
    assert [growing.pool_at(step) for step in (0, 9, 10, 20, 500)] == [4, 4, 5, 6, 6]


def test_right_stays_right() -> None:
    """No patch is mirrored: the organ of the left columns stays there."""
    tissues = np.full((40, 64, 64), Tissue.VISCERAL_FAT, np.uint8)
    tissues[:, :, :32] = Tissue.LUNG_RIGHT
    middle = np.asarray([20, 32, 32], np.float32)
    for seed in range(8):
        patch = warp_labels(np.random.default_rng(seed), tissues, middle, (32, 64, 64))
        columns = np.nonzero(patch == Tissue.LUNG_RIGHT)[2]
        others = np.nonzero(patch == Tissue.VISCERAL_FAT)[2]
        assert columns.mean() < others.mean()


def test_padding_repeats_the_edge() -> None:
    """A slab is grown by its own first and last slice, not by air."""
    slab = np.arange(20, dtype=np.int16)[:, None, None] + np.zeros((1, 40, 48), np.int16)
    padded = pad_edges(np.random.default_rng(0), slab, [0.5, 0.5, 0.5])
    assert padded.shape == (32, 48, 48)
    assert padded[:, 0, 0].tolist() == [0] * 6 + list(range(20)) + [19] * 6


def test_elastic_field_has_the_spread_asked_for() -> None:
    """At the control points the displacement has the standard deviation given."""
    field = elastic(np.random.default_rng(0), (64, 96, 96), 16, 2.0)
    assert field.shape == (3, 64, 96, 96)
    assert field[:, ::16, ::16, ::16].std() == pytest.approx(2.0, rel=0.1)


def test_noise_has_unit_spread_at_any_size() -> None:
    """Noise cut from the bank has SD 1, also where the bank has to repeat itself."""
    bank = NoiseBank()
    rng = np.random.default_rng(0)
    for shape in ((32, 64, 64), (170, 64, 64)):
        noise = bank.cut(rng, shape)
        assert noise.shape == shape
        assert noise.std() == pytest.approx(1.0, rel=0.05)


def test_palette_keeps_what_tells_tissues_apart() -> None:
    """In any draw lung is darker than fat, fat than organs, organs than bone."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        mean, texture = draw_palette(rng)
        assert mean[Tissue.LUNG_LEFT] < mean[Tissue.VISCERAL_FAT] < mean[Tissue.SPLEEN]
        assert mean[Tissue.MUSCLE] < mean[Tissue.BONE_CORTEX]
        assert (texture > 0).all()
