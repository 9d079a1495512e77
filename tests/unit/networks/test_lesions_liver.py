"""What is planted in the liver is where and what it says it is."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from networks.phantoms.anatomy import Anatomy
from networks.phantoms.findings import steatosis_grade
from networks.phantoms.hu import tissue_hu
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import Judged, NoPlaceError, liver
from networks.phantoms.lesions.liver.fibrosis import (
    NODULE_MM,
    TEXTURE_SD_HU,
    _sd_for,
    texture_dprime,
)
from networks.phantoms.lesions.liver.steatosis import fat_percent
from networks.phantoms.paint import paint_labels
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

LIVER = (Tissue.LIVER, Tissue.LIVER_VESSEL)

SPARING_SEED = 17
"""Of a liver of which fat spares a part."""


def _painted_with(abdomen: Scene, pdff_percent: float) -> np.ndarray:
    """Paint the patient anew with another fat fraction, from the same numbers."""
    rng = np.random.default_rng(abdomen.anatomy.seed)
    table = tissue_hu(abdomen.anatomy.patient, rng, pdff_percent=pdff_percent)
    return paint_labels(abdomen.anatomy.labels, table, rng, spacing_mm=abdomen.spacing_mm)


@pytest.mark.parametrize("grade", [1, 2, 3])
def test_steatosis_is_what_painting_with_that_fat_gives(
    abdomen: Scene, judge: Judged, grade: int
) -> None:
    """The patch lies on the patient's own voxels and adds what the fat fraction takes away."""
    before = abdomen.hu.copy()
    [fat] = liver.plant(abdomen, np.random.default_rng(2), f"steatosis_s{grade}", judge=judge)
    assert np.array_equal(abdomen.hu, before)
    assert "spared" not in fat.extra
    assert steatosis_grade(fat.extra["pdff_percent"]) == fat.extra["grade"] == f"S{grade}"
    first = np.rint((np.asarray(fat.grid.origin_mm) - abdomen.origin_mm) / abdomen.spacing_mm)
    part = tuple(
        slice(int(low), int(low) + count) for low, count in zip(first, fat.grid.shape, strict=True)
    )
    full = before.copy()
    full[part] += fat.delta_hu
    assert np.abs(full - _painted_with(abdomen, fat.extra["pdff_percent"])).max() < 0.2
    assert fat.difficulty is None
    assert fat.is_finding


def test_fat_and_hu_are_inverse() -> None:
    """30 % at 14.3 HU and 3 % at 60.74 HU, the vectors of the phantoms."""
    assert fat_percent(14.3) == pytest.approx(30)
    assert fat_percent(60.74) == pytest.approx(3)


def test_fat_may_spare_the_fossa(abdomen: Scene, judge: Judged) -> None:
    """The part beside the gallbladder then loses fewer HU than the rest of the liver."""
    rng = np.random.default_rng(SPARING_SEED)
    [fat] = liver.plant(abdomen, rng, "steatosis_s3", judge=judge)
    assert fat.extra["spared"]
    inside = abdomen.tissue_on(fat.grid) == Tissue.LIVER
    inside = ndimage.binary_erosion(inside, iterations=2)
    assert fat.delta_hu[inside].max() > 0.6 * np.median(fat.delta_hu[inside])
    assert 0.2 > (fat.delta_hu[inside] > 0.8 * np.median(fat.delta_hu[inside])).mean() > 0


@pytest.fixture(scope="module", params=["fibrosis_f1", "fibrosis_f4"])
def scarred(request: pytest.FixtureRequest, abdomen: Scene, judge: Judged) -> list[Lesion]:
    """Return the lesions of a stage."""
    return liver.plant(
        abdomen, np.random.default_rng(7), request.param, difficulty="easy", judge=judge
    )


def test_fibrosis_is_a_surface_and_a_texture(abdomen: Scene, scarred: list[Lesion]) -> None:
    """The first lesion has no sign, the texture fills the liver with a mean of about 0 HU."""
    main, *signs = scarred
    kind = main.kind
    assert "sign" not in main.extra
    assert main.extra["stage"] == kind[-2:].upper()
    assert {"texture"} <= {lesion.extra["sign"] for lesion in signs}
    assert {lesion.extra["sign"] for lesion in signs} <= {"texture", "ascites", "varices"}
    assert all(lesion.is_finding and lesion.kind == kind for lesion in scarred)
    texture = next(lesion for lesion in signs if lesion.extra["sign"] == "texture")
    inside = np.isin(abdomen.tissue_on(texture.grid), LIVER)
    values = texture.delta_hu[inside]
    assert abs(values.mean()) < 0.5 * values.std()
    assert values.std() == pytest.approx(texture.extra["texture_sd_hu"], rel=0.15)
    assert np.square(texture.delta_hu[~inside]).sum() < 0.1 * np.square(values).sum()


def test_the_surface_of_fibrosis_changes_where_fat_lies_against_it(
    abdomen: Scene, scarred: list[Lesion]
) -> None:
    """What is changed by more than the texture is liver border and fat beside it."""
    surface = scarred[0]
    assert surface.mask.any()
    distance = np.abs(surface.delta_hu) > 15
    assert np.array_equal(surface.mask, distance)
    tissue = abdomen.tissue_on(surface.grid)[surface.mask]
    assert np.isin(tissue, [*LIVER, Tissue.VISCERAL_FAT]).mean() > 0.7


def test_signs_grow_with_the_stage(abdomen: Scene, judge: Judged) -> None:
    """Nodules of F4 are higher and its texture is coarser than those of F1, patient by patient."""
    for seed in range(2):
        early, late = (
            liver.plant(
                abdomen, np.random.default_rng(seed), f"fibrosis_f{stage}", difficulty="easy",
                judge=judge,
            )
            for stage in (1, 4)
        )  # fmt: skip
        told = [
            {name: value for lesion in lesions for name, value in lesion.extra.items()}
            for lesions in (early, late)
        ]
        assert told[0]["nodule_mm"] < told[1]["nodule_mm"]
        assert told[0]["texture_sd_hu"] < told[1]["texture_sd_hu"]
        assert told[0]["severity"] < told[1]["severity"]


def test_tables_of_signs_rise() -> None:
    """Least and most of every sign grow with severity."""
    for table in (NODULE_MM, TEXTURE_SD_HU):
        assert all(low <= high for low, high in table)
        assert all(a <= b for one, two in pairwise(table) for a, b in zip(one, two))


def test_a_texture_is_harder_to_see_than_a_known_pattern() -> None:
    """d′ of a texture that nobody knows stays below that of a known one, and can be inverted."""
    for goal in (3.0, 8.0, 15.0):
        sd = _sd_for(goal, 30.0, 5000.0)
        assert texture_dprime(sd * 30.0, 5000.0) == pytest.approx(goal)
        assert goal < sd * 30.0
    assert _sd_for(5.0, 0.0, 100.0) == 0.0


@pytest.mark.parametrize("kind", liver.CONFOUNDERS)
def test_confounders_are_no_findings(abdomen: Scene, judge: Judged, kind: str) -> None:
    """They have no difficulty, change the scene by nothing, and lie in or at the liver."""
    before = abdomen.hu.copy()
    lesions = liver.confound(abdomen, np.random.default_rng(1), kind, judge=judge)
    assert np.array_equal(abdomen.hu, before)
    assert lesions
    for lesion in lesions:
        assert (lesion.check, lesion.kind) == ("liver", kind)
        assert not lesion.is_finding
        assert lesion.difficulty is None
        assert lesion.mask.any()
        if kind != "riedel_lobe":
            tissue = abdomen.tissue_on(lesion.grid)[lesion.mask]
            assert np.isin(tissue, LIVER).mean() > 0.75


def test_a_cyst_holds_water(abdomen: Scene, judge: Judged) -> None:
    """0 to 15 HU when everything is added up."""
    for lesion in liver.confound(abdomen, np.random.default_rng(4), "liver_cyst", judge=judge):
        if lesion.diameter_mm < 8:
            continue
        hu = (abdomen.hu_on(lesion.grid) + lesion.delta_hu)[lesion.mask]
        assert 0 < np.median(hu) < 16


def test_focal_fat_goes_the_way_of_the_liver(abdomen: Scene, judge: Judged) -> None:
    """Fat darkens a part of a lean liver and spares a part of a fatty one."""
    found = []
    for pdff in (3.0, 30.0):
        rng = np.random.default_rng(abdomen.anatomy.seed)
        table = tissue_hu(abdomen.anatomy.patient, rng, pdff_percent=pdff)
        scene = Scene(abdomen.anatomy, table, _painted_with(abdomen, pdff))
        [lesion] = liver.confound(
            scene, np.random.default_rng(3), "focal_fatty_sparing", judge=judge
        )
        found.append(lesion.contrast_hu)
    assert found[0] < -4
    assert found[1] > 4


def test_a_patient_without_a_liver_has_no_place(abdomen: Scene, judge: Judged) -> None:
    """Less than 150 ml in view shows no diffuse disease; unknown kinds are refused by name."""
    labels = abdomen.anatomy.labels.copy()
    labels[np.isin(labels, LIVER)] = Tissue.VISCERAL_FAT
    anatomy: Anatomy = replace(abdomen.anatomy, labels=labels)
    scene = Scene(anatomy, abdomen.table, abdomen.hu)
    with pytest.raises(NoPlaceError, match="too little liver"):
        liver.plant(scene, np.random.default_rng(0), "steatosis_s1", judge=judge)
    with pytest.raises(ValueError, match="fibrosis_f4"):
        liver.plant(abdomen, np.random.default_rng(0), "hepatitis", judge=judge)
    with pytest.raises(ValueError, match="riedel_lobe"):
        liver.confound(abdomen, np.random.default_rng(0), "hepatitis")


def test_the_same_numbers_plant_the_same(abdomen: Scene, judge: Judged) -> None:
    """Everything comes from the generator given."""
    first, second = (
        liver.plant(abdomen, np.random.default_rng(5), "fibrosis_f3", judge=judge) for _ in range(2)
    )
    assert [lesion.extra for lesion in first] == [lesion.extra for lesion in second]
    assert all(np.array_equal(a.delta_hu, b.delta_hu) for a, b in zip(first, second, strict=True))
