"""Tiles of the chest and their labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from networks.chest_sampling import BLOCKS, PATIENTS, ChestSampler, look
from networks.chest_study import EVALUATED, SIDE, TILE_MM, Study, held_by
from networks.nets.tile_encoder import SURVEY, TILE
from networks.phantoms.chest_labels import LABEL_NAMES
from tests.chest_case import PLACES, TinyChestPool, chest_ball

MASS, BULLA = LABEL_NAMES.index("mass"), LABEL_NAMES.index("bulla")


@pytest.fixture(scope="module")
def study() -> Study:
    """Return a scan of a mass and a bulla."""
    pool = TinyChestPool()
    return Study.draw(pool, pool.plantings(7)[1], np.random.default_rng(0))  # type: ignore[arg-type]


def test_a_tile_has_the_label_of_what_it_holds(study: Study) -> None:
    """The tile around a finding has its label, one far from it has none."""
    for name, n in (("mass", MASS), ("bulla", BULLA)):
        place = np.floor((np.asarray(PLACES[name]) - study.origin_mm) / TILE_MM).astype(int)
        corner = np.minimum(place, np.asarray(study.tiles) - SIDE)
        block = study.block(corner, np.random.default_rng(1))
        own = np.ravel_multi_index(tuple(place - corner), (SIDE,) * 3)
        assert block.labels[own, n] == 1
        assert block.hu.shape == (SIDE**3, TILE, TILE, TILE)
    far = study.block(np.asarray(study.tiles) - SIDE, np.random.default_rng(1))
    assert (far.labels[:, EVALUATED] == 0).sum() > 0.9 * far.labels[:, EVALUATED].size


def test_a_label_without_a_phantom_is_never_asked(study: Study) -> None:
    """Neither tiles nor study say that it is absent."""
    unasked = [n for n, asked in enumerate(EVALUATED) if not asked]
    assert {LABEL_NAMES[n] for n in unasked} == {
        "air_trapping", "post_operative", "elevated_diaphragm", "pancreas_or_stomach",
    }  # fmt: skip
    block = study.block(np.zeros(3, np.int64), np.random.default_rng(1))
    assert (block.labels[:, unasked] == -1).all()
    assert (study.labels()[unasked] == -1).all()


def test_both_ways_to_label_tiles_agree(study: Study) -> None:
    """Blocks over the whole grid hold a finding in the tiles that `holders` names."""
    found = np.zeros(study.tiles, bool)
    for corner in np.ndindex(tuple(n - SIDE + 1 for n in study.tiles)):
        block = study.block(np.array(corner), np.random.default_rng(1))
        part = tuple(slice(a, a + SIDE) for a in corner)
        found[part] |= (block.labels[:, MASS] == 1).reshape(SIDE, SIDE, SIDE)
    lesion = next(x for x in study.scene.lesions if x.kind == "mass")
    holders = set(study.holders(lesion).tolist())
    differing = holders ^ set(np.flatnonzero(found).tolist())
    assert holders
    assert len(differing) <= 1


def test_the_survey_is_the_scan_averaged(study: Study) -> None:
    """At 6 mm the scan shows what the mean of 4³ voxels at 1.5 mm shows, but for noise."""
    survey = study.survey(np.random.default_rng(2)).astype(np.float32)
    whole = torch.from_numpy(study.whole(np.random.default_rng(3)).astype(np.float32))
    pooled = torch.nn.functional.avg_pool3d(whole[None, None], SURVEY)[0, 0].numpy()
    assert survey.shape == pooled.shape
    assert abs(float((survey - pooled).mean())) < 1.0
    assert float(np.abs(survey - pooled).mean()) < 12.0


def test_a_finding_that_is_cut_off_is_not_asked(study: Study) -> None:
    """A study is asked for what lies in it."""
    assert study.labels()[[MASS, BULLA]].tolist() == [1, 1]
    z = np.array([study.origin_mm[0] + 40.0, *study.origin_mm[1:]])
    cut = Study(**{**vars(study), "origin_mm": z})
    assert cut.labels()[BULLA] == -1


def test_a_sample_is_the_same_for_its_number() -> None:
    """It is a function of seed and number, and its shapes fit each other."""
    first, again, other = (
        ChestSampler(TinyChestPool(), 5, first_seed=100, first=4, size=4, every=9)  # type: ignore[arg-type]
        .group(number)
        for number in (3, 3, 4)
    )  # fmt: skip
    assert np.array_equal(first.tiles, again.tiles)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.tiles[0, 0], other.tiles[0, 0])
    count = BLOCKS * SIDE**3
    assert first.tiles.shape == (PATIENTS, count, TILE, TILE, TILE)
    assert first.places.shape == first.shown.shape == (PATIENTS, count)
    assert first.places.max() < np.prod(np.array(first.survey.shape[1:]) // (TILE // SURVEY))


def test_patients_share_labels() -> None:
    """A sample has at least two patients with one label, and they are different patients."""
    sampler = ChestSampler(TinyChestPool(), 5, first_seed=100, first=6, size=6, every=9)  # type: ignore[arg-type]
    for number in range(3):
        group = sampler.group(number)
        assert len(set(group.patients.tolist())) == PATIENTS
        assert (group.study == 1).sum(axis=0).max() >= 2


def test_tiles_lie_where_they_say() -> None:
    """The mean of a tile is that of its voxels in the survey, whatever the other patients' size."""
    pool = TinyChestPool()
    group = look(pool, [pool.plantings(8)[2], pool.plantings(9)[0]], np.random.default_rng(4), 2)  # type: ignore[arg-type]
    coarse = torch.nn.functional.avg_pool3d(
        torch.from_numpy(group.survey.astype(np.float32))[:, None], TILE // SURVEY
    )[:, 0].flatten(1)
    means = torch.from_numpy(group.tiles.astype(np.float32)).mean(dim=(2, 3, 4))
    there = coarse.gather(1, torch.from_numpy(group.places))
    assert float((there - means).abs().max()) < 40.0


def test_every_finding_has_a_block(study: Study) -> None:
    """The first blocks hold the findings, and all blocks lie on the grid."""
    corners = study.corners(4, np.random.default_rng(6))
    assert corners.shape == (4, 3)
    assert (corners >= 0).all()
    assert (corners + SIDE <= study.tiles).all()
    for place in PLACES.values():
        tile = np.floor((np.asarray(place) - study.origin_mm) / TILE_MM).astype(int)
        reach = np.abs(corners[:2] + 0.5 * (SIDE - 1) - tile).max(axis=1)
        assert reach.min() <= 1.5


def test_scattered_calcium_is_held() -> None:
    """A tile with 70 mm³ of plaques is labelled, one with half of it is not asked, dust is none."""
    plaques = chest_ball("aortic_calcification", (0.0, 0.0, 0.0))
    held, vague = held_by(np.array([0.0051, 0.0025, 0.0001]), plaques)
    assert held.tolist() == [True, False, False]
    assert vague.tolist() == [False, True, False]
