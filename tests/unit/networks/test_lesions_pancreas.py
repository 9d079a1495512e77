"""What is planted in the pancreas is where and what it says it is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from networks.phantoms.lesion import FineGrid
from networks.phantoms.lesions import Judged, NoPlaceError, pancreas
from networks.phantoms.lesions.pancreas.gland import SITES, Gland
from networks.phantoms.lesions.pancreas.shape import Lump
from networks.phantoms.lesions.pancreas.signs import DUCT_HU
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

EDGE_SHARE = 0.05
"""A smooth mask on 1 mm overlaps the 3 mm voxels of its neighbours by less than this."""


@pytest.mark.parametrize("kind", pancreas.KINDS)
def test_every_kind_is_a_mass_and_its_signs(abdomen: Scene, kind: str, judge: Judged) -> None:
    """The first lesion has no sign, a mask in or beside the gland, and a measured d′."""
    before = abdomen.hu.copy()
    mass, *signs = pancreas.plant(abdomen, np.random.default_rng(3), kind, judge=judge)
    assert abdomen.lesions == []
    assert np.array_equal(abdomen.hu, before)
    assert "sign" not in mass.extra
    assert mass.dprime == pytest.approx(judge(mass.grid, mass.delta_hu), rel=0.05)
    assert mass.site == "pancreas" or mass.site in SITES
    assert signs[0].extra["sign"] == "contour"
    assert all(lesion.is_finding and lesion.kind == kind for lesion in (mass, *signs))
    tissue = abdomen.tissue_on(mass.grid)[mass.mask]
    solid = [Tissue.LIVER, Tissue.SPLEEN, Tissue.AORTA, Tissue.KIDNEY_LEFT_CORTEX]
    assert np.isin(tissue, solid).mean() < EDGE_SHARE
    assert (tissue == Tissue.PANCREAS).mean() > 0.15


@pytest.mark.parametrize("difficulty", ["medium", "hard"])
def test_an_adenocarcinoma_is_0_to_15_hu_darker(
    abdomen: Scene, difficulty: str, judge: Judged
) -> None:
    """Contrast is scaled within pipelines.md §6.3 to the d′ of the difficulty."""
    low, high = {"medium": (6, 12), "hard": (3, 6)}[difficulty]
    for seed in range(3):
        mass = pancreas.plant(
            abdomen, np.random.default_rng(seed), "pdac", difficulty=difficulty, judge=judge
        )[0]
        assert -15 <= mass.contrast_hu <= 0
        assert mass.difficulty == difficulty
        assert low <= mass.dprime <= high
        assert 8 <= mass.diameter_mm <= 60


def test_a_hard_adenocarcinoma_shows_by_duct_or_atrophy(abdomen: Scene, judge: Judged) -> None:
    """Where the tumour is iso-attenuating, something else tells of it (pipelines.md §6.3)."""
    seen = 0
    for seed in range(6):
        mass, *signs = pancreas.plant(
            abdomen, np.random.default_rng(seed), "pdac", difficulty="hard", judge=judge
        )
        if mass.site in ("pancreas_head", "pancreas_uncinate", "pancreas_neck"):
            seen += 1
            assert {"duct", "atrophy"} & {lesion.extra["sign"] for lesion in signs}
    assert seen


def test_the_duct_lies_upstream_and_holds_fluid(abdomen: Scene, judge: Judged) -> None:
    """Between the tumour and the tail, and 7 to 14 HU when everything is added up."""
    gland = Gland.of(abdomen)
    for seed in range(12):
        lesions = pancreas.plant(
            abdomen, np.random.default_rng(seed), "pdac", difficulty="easy", judge=judge
        )
        duct = next((part for part in lesions if part.extra.get("sign") == "duct"), None)
        if duct is None or duct.extra["duct_mm"] < 5:
            continue
        assert gland.line.fraction_of(duct.centre_mm) > gland.line.fraction_of(lesions[0].centre_mm)
        full = Scene(abdomen.anatomy, abdomen.table, abdomen.hu)
        full.add(lesions)
        inner = full.hu_on(duct.grid)[duct.mask]
        assert DUCT_HU[0] - 3 <= np.median(inner) <= DUCT_HU[1] + 3
        return
    pytest.fail("no adenocarcinoma widened the duct")


def test_cysts_measure_like_water(abdomen: Scene, judge: Judged) -> None:
    """With the contour, the middle of an intraductal tumour has 5 to 15 HU at full strength."""
    lesions = pancreas.plant(
        abdomen, np.random.default_rng(8), "ipmn", difficulty="easy", judge=judge
    )
    full = Scene(abdomen.anatomy, abdomen.table, abdomen.hu)
    full.add(lesions[:2])
    assert 0 <= np.median(full.hu_on(lesions[0].grid)[lesions[0].mask]) <= 22


def test_the_line_runs_from_head_to_tail(abdomen: Scene) -> None:
    """It starts on the right and low and ends at the spleen; the sites share its length."""
    line = Gland.of(abdomen).line
    head, tail = line.points_mm[0], line.points_mm[-1]
    assert head[2] < tail[2]
    assert head[0] < tail[0]
    assert 80 < line.length_mm < 260
    assert Gland.site_at(0.2) == "pancreas_head"
    assert Gland.site_at(0.95) == "pancreas_tail"
    edges = [edge for site in SITES.values() for edge in site]
    assert edges[1:-1:2] == edges[2::2]


@pytest.mark.parametrize("kind", pancreas.CONFOUNDERS)
def test_a_confounder_is_no_finding(abdomen: Scene, kind: str) -> None:
    """It changes HU in or beside the gland and has no difficulty."""
    for seed in range(4):
        try:
            lesions = pancreas.confound(abdomen, np.random.default_rng(seed), kind)
        except NoPlaceError:
            continue
        assert all(not lesion.is_finding and lesion.difficulty is None for lesion in lesions)
        assert all(np.abs(lesion.delta_hu).max() > 5 for lesion in lesions)
        return
    pytest.fail(f"no room for {kind} in four trials")


def test_the_same_seed_plants_the_same_bytes(abdomen: Scene, judge: Judged) -> None:
    """Nothing but the generator decides."""
    first, second = (
        pancreas.plant(abdomen, np.random.default_rng(11), "pdac", judge=judge) for _ in range(2)
    )
    assert [a.delta_hu.tobytes() for a in first] == [b.delta_hu.tobytes() for b in second]
    assert [a.truth() for a in first] == [b.truth() for b in second]


def test_a_lump_is_the_same_on_any_grid() -> None:
    """Its surface is a function of place, so that its signs can spare it on their own grids."""
    lump = Lump.draw(np.random.default_rng(0), (0, 0, 0), 12, uneven=0.1)
    coarse = lump.distance(FineGrid.around((0, 0, 0), 20, 2.0))
    fine = lump.distance(FineGrid.around((0, 0, 0), 20, 1.0))
    assert np.allclose(coarse, fine[::2, ::2, ::2], atol=1e-3)


def test_without_a_pancreas_there_is_no_place(abdomen: Scene, judge: Judged) -> None:
    """A scan that misses the gland raises NoPlaceError."""
    labels = abdomen.anatomy.labels.copy()
    labels[labels == Tissue.PANCREAS] = Tissue.VISCERAL_FAT
    bare = Scene(dataclasses.replace(abdomen.anatomy, labels=labels), abdomen.table, abdomen.hu)
    with pytest.raises(NoPlaceError, match="too little pancreas"):
        pancreas.plant(bare, np.random.default_rng(0), "pdac", judge=judge)
