"""What is planted in the stomach's wall is where and what it says it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions import Judged, NoPlaceError, stomach
from networks.phantoms.lesions.lattice import aligned, aligned_around
from networks.phantoms.lesions.stomach.wall import REGIONS, STOMACH, Stomach
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue


@pytest.mark.parametrize("kind", stomach.KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_cancer_is_3_to_8_hu_denser_and_6_to_20_mm_thick(
    abdomen: Scene, kind: str, seed: int, judge: Judged
) -> None:
    """Contrast and thickness lie in pipelines.md §6.3, and d′ is that of the contrast."""
    lesion, thickening = stomach.plant(abdomen, np.random.default_rng(seed), kind, judge=judge)
    plateau = float(np.quantile(lesion.delta_hu, 0.999))
    assert 2.9 <= plateau <= 8.05
    assert 6 <= lesion.extra["thickness_mm"] <= 20.5
    assert lesion.dprime == pytest.approx(judge(lesion.grid, lesion.delta_hu), rel=0.05)
    assert lesion.extra["dprime_with_thickening"] > lesion.dprime
    assert lesion.site == f"stomach_{lesion.extra['region']}"
    assert thickening.extra["sign"] == "thickening"
    assert "sign" not in lesion.extra


@pytest.mark.parametrize("kind", stomach.KINDS)
def test_the_mask_is_wall_that_was_not_there(abdomen: Scene, kind: str, judge: Judged) -> None:
    """It covers lumen or fat, and measures like soft tissue when everything is added up."""
    lesions = stomach.plant(abdomen, np.random.default_rng(1), kind, difficulty="easy", judge=judge)
    tissue = abdomen.tissue_on(lesions[0].grid)[lesions[0].mask]
    assert (tissue == Tissue.STOMACH_WALL).mean() < 0.2
    full = Scene(abdomen.anatomy, abdomen.table, abdomen.hu)
    full.add(lesions)
    normal = float(abdomen.table.mean[Tissue.STOMACH_WALL])
    assert np.median(full.hu_on(lesions[0].grid)[lesions[0].mask]) == pytest.approx(
        normal + 5, abs=6
    )


def test_a_focal_cancer_leaves_the_other_wall_alone(abdomen: Scene, judge: Judged) -> None:
    """The thickening is asymmetric: less than half of the wall within its reach gets denser."""
    for seed in range(6):
        lesion = stomach.plant(abdomen, np.random.default_rng(seed), "gastric_cancer", judge=judge)[
            0
        ]
        if lesion.extra["region"] == "body":
            break
    wide = FineGrid.around(lesion.centre_mm, 0.5 * lesion.extra["length_mm"] + 25, 2.0)
    held = Scene(abdomen.anatomy, abdomen.table, np.zeros_like(abdomen.hu))
    held.add([lesion])
    wall = abdomen.tissue_on(wide) == Tissue.STOMACH_WALL
    assert (held.hu_on(wide)[wall] > 0.5).mean() < 0.5


def test_the_regions_share_the_stomach(abdomen: Scene) -> None:
    """Fundus above antrum, and every seed lies in the region it was asked for."""
    organ = Stomach.of(abdomen)
    assert organ.line.points_mm[0][0] > organ.line.points_mm[-1][0]
    rng = np.random.default_rng(0)
    for region in REGIONS:
        assert organ.region_at(organ.seed(rng, region)) in (region, "cardia")
    assert organ.region_at(organ.seed(rng, "cardia")) == "cardia"


@pytest.mark.parametrize("kind", stomach.CONFOUNDERS)
def test_a_confounder_is_no_finding(abdomen: Scene, kind: str) -> None:
    """It changes what the stomach shows and has no difficulty."""
    lesions = stomach.confound(abdomen, np.random.default_rng(2), kind)
    assert all(not lesion.is_finding and lesion.difficulty is None for lesion in lesions)
    assert all(np.abs(lesion.delta_hu).max() > 5 for lesion in lesions)


def test_a_collapsed_wall_is_as_thick_as_a_cancer_but_no_denser(abdomen: Scene) -> None:
    """8 to 15 mm (pipelines.md §6.3) at the HU of normal wall."""
    lesion = stomach.confound(abdomen, np.random.default_rng(2), "collapsed_wall")[0]
    full = Scene(abdomen.anatomy, abdomen.table, abdomen.hu)
    full.add([lesion])
    assert 8 <= lesion.extra["thickness_mm"] <= 15
    normal = float(abdomen.table.mean[Tissue.STOMACH_WALL])
    assert np.median(full.hu_on(lesion.grid)[lesion.mask]) == pytest.approx(normal, abs=2)


def test_an_aligned_grid_takes_gas_away_without_a_seam(abdomen: Scene) -> None:
    """Where wall replaces gas, half-way between patch voxels too, nothing of the gas is left."""
    gas = np.argwhere(abdomen.tissue(Tissue.STOMACH_GAS))
    centre = abdomen.origin_mm + abdomen.spacing_mm * gas[len(gas) // 2]
    coarse = aligned_around(abdomen, centre, 12, 1.5)
    bare = Scene(abdomen.anatomy, abdomen.table, abdomen.hu)
    patch = dataclasses.replace(
        stomach.confound(abdomen, np.random.default_rng(2), "collapsed_wall")[0],
        grid=coarse, delta_hu=40 - bare.hu_on(coarse),
        mask=np.ones(coarse.shape, bool),
    )  # fmt: skip
    bare.add([patch])
    inner = FineGrid.around(centre, 8, 0.7)
    assert np.abs(bare.hu_on(inner) - 40).max() < 0.1


def test_an_aligned_grid_holds_its_box(abdomen: Scene) -> None:
    """Its corners lie outside and its voxels divide the anatomy's."""
    low, high = np.array([-20.0, -31.0, -12.0]), np.array([15.0, 7.0, 22.0])
    grid = aligned(abdomen, low, high, 1.0)
    assert abdomen.spacing_mm / grid.spacing_mm == pytest.approx(3)
    assert all(axis[0] <= a and axis[-1] >= b for axis, a, b in zip(grid.axes, low, high))
    steps = (np.array(grid.origin_mm) - abdomen.origin_mm) / grid.spacing_mm
    assert np.allclose(steps, np.rint(steps), atol=1e-6)


def test_the_same_seed_plants_the_same_bytes(abdomen: Scene, judge: Judged) -> None:
    """Nothing but the generator decides."""
    first, second = (
        stomach.plant(abdomen, np.random.default_rng(4), "gastric_cancer", judge=judge)
        for _ in range(2)
    )
    assert [a.delta_hu.tobytes() for a in first] == [b.delta_hu.tobytes() for b in second]


def test_without_a_stomach_there_is_no_place(abdomen: Scene, judge: Judged) -> None:
    """A scan that misses it raises NoPlaceError."""
    labels = abdomen.anatomy.labels.copy()
    labels[np.isin(labels, STOMACH)] = Tissue.VISCERAL_FAT
    bare = Scene(dataclasses.replace(abdomen.anatomy, labels=labels), abdomen.table, abdomen.hu)
    with pytest.raises(NoPlaceError, match="too little stomach"):
        stomach.plant(bare, np.random.default_rng(0), "gastric_cancer", judge=judge)
