"""Scanner models differ, and what can be wrong with an image is there when it is asked for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from networks.phantoms.acquire import acquire
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.artefacts import ARTEFACTS, Artefacts, Metal, draw_artefacts
from networks.phantoms.hu import tissue_hu
from networks.phantoms.paint import paint_labels
from networks.phantoms.profiles import (
    KERNELS,
    PROFILES,
    SEEN,
    UNSEEN,
    VENDORS,
    ScannerProfile,
    profile_named,
)
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.scene import Scene


def test_ten_models_train_and_three_of_other_vendors_test() -> None:
    """Thirteen models of five vendors; the unseen ones are of three vendors."""
    assert (len(SEEN), len(UNSEEN)) == (10, 3)
    assert {PROFILES[name].vendor for name in SEEN} == set(VENDORS)
    assert len({PROFILES[name].vendor for name in UNSEEN}) == 3


def test_no_seed_falls_on_an_unseen_model() -> None:
    """Neither when nothing nor when the vendor is named."""
    found = {profile_named(None, seed, vendor=v).name for seed in range(60)
             for v in (None, *VENDORS)}  # fmt: skip
    assert found == set(SEEN)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_narrows_the_choice(vendor: str) -> None:
    """In any case of letters."""
    assert {profile_named(None, s, vendor=vendor.lower()).vendor for s in range(9)} == {vendor}


@pytest.mark.parametrize(
    ("name", "vendor", "message"),
    [(None, "ACME", "GE, SIEMENS, PHILIPS"), ("ge_revolution", "UIH", "a model of GE")],
)
def test_a_wrong_vendor_is_refused(name: str | None, vendor: str, message: str) -> None:
    """The message says what there is."""
    with pytest.raises(ValueError, match=message):
        profile_named(name, 0, vendor=vendor)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=list(PROFILES))
def test_every_model_has_a_dialect(profile: ScannerProfile) -> None:
    """Kernel names of every class, stored values that hold −1024 to 3071 HU, bias within ±2 HU."""
    assert set(profile.kernels) == set(KERNELS)
    low = -1024 - profile.rescale_intercept
    high = 3071 - profile.rescale_intercept
    signed = profile.pixel_representation == 1
    bits = profile.bits_stored - signed
    assert (-(2**bits) if signed else 0) <= low
    assert high < 2**bits
    assert abs(profile.bias_hu) + profile.cupping_hu <= 3


def test_models_are_all_different() -> None:
    """No two share how they look and what they are called."""
    looks = {(p.bias_hu, p.noise_scale, p.sharpness, p.cupping_hu) for p in PROFILES.values()}
    assert len(looks) == len({p.model for p in PROFILES.values()}) == len(PROFILES)


@pytest.fixture(scope="module")
def scene() -> Scene:
    anatomy = sample_anatomy(11, spacing_mm=5.0)
    table = tissue_hu(anatomy.patient, np.random.default_rng(1))
    hu = paint_labels(anatomy.labels, table, np.random.default_rng(2), spacing_mm=5.0)
    return Scene(anatomy, table, hu)


def _added(scene: Scene, artefacts: Artefacts, z_mm: float) -> npt.NDArray[np.float32]:
    """What artefacts add to one slice of a 256 mm field."""
    plain, spoilt = (
        acquire(
            scene.hu, scene.anatomy.affine, profile_named("ge_revolution"),
            np.random.default_rng(3), matrix=256, fov_mm=256, thickness_mm=2, increment_mm=2,
            slices=1, first_slice_mm=z_mm, artefacts=wrong,
        ).hu[0]
        for wrong in (None, artefacts)
    )  # fmt: skip
    return spoilt - plain


def test_artefacts_are_drawn_from_the_seed(scene: Scene) -> None:
    """The same seed gives the same, another one something else, and no name nothing at all."""
    assert draw_artefacts(ARTEFACTS, scene, 4) == draw_artefacts(ARTEFACTS, scene, 4)
    assert draw_artefacts(ARTEFACTS, scene, 4) != draw_artefacts(ARTEFACTS, scene, 5)
    assert not _added(scene, draw_artefacts((), scene, 4), 20.0).any()
    with pytest.raises(ValueError, match="ring, streak, metal, truncation"):
        draw_artefacts(("ghost",), scene, 4)


def test_rings_go_round_the_middle(scene: Scene) -> None:
    """What is added depends on the distance from the middle alone."""
    ring = _added(scene, Artefacts(seed=1, ring_hu=30.0), 20.0)
    inside = ring[28:228, 28:228]
    assert np.abs(inside).max() > 8
    assert np.abs(inside - inside.T).max() < 0.1
    assert np.abs(inside - inside[::-1]).max() < 0.1


def test_streaks_run_from_side_to_side(scene: Scene) -> None:
    """Along rows they change less than along columns, and air has none."""
    streak = _added(scene, Artefacts(seed=1, streak_hu=10.0), 20.0)
    core = streak[100:156, 100:156]
    assert core.std() == pytest.approx(10, rel=0.4)
    assert np.diff(core, axis=1).std() < 0.3 * np.diff(core, axis=0).std()
    assert np.abs(streak[2:12, 120:136]).max() < core.std()


def test_metal_is_dense_and_darkens_what_lies_between(scene: Scene) -> None:
    """The band between two rods loses HU; slices above and below have nothing."""
    y, x = (scene.origin_mm[1:] + 2.5 * (np.array(scene.hu.shape[1:]) - 1)).tolist()
    rods = tuple(Metal(y, x + side * 20, 3.0, (10.0, 30.0)) for side in (-1, 1))
    metal = _added(scene, Artefacts(seed=1, metal=rods), 20.0)
    assert metal[126:130, 106:110].min() > 3000
    assert metal[126:130, 124:132].mean() < -30
    assert abs(metal[90:110, 124:132].mean()) < 30
    assert not _added(scene, Artefacts(seed=1, metal=rods), 60.0).any()


def test_a_truncated_body_is_bright_at_the_rim(scene: Scene) -> None:
    """Only where there is body at the edge of the field."""
    rim = _added(scene, Artefacts(seed=1, truncation_hu=100.0), 20.0)
    assert rim[128, 2] > 50
    assert rim[128, 128] < 1
    assert rim.min() >= 0


def test_a_region_shows_the_same_artefacts(scene: Scene) -> None:
    """A box on a network's grid has the metal and the streaks where the scan has them."""
    y, x = (scene.origin_mm[1:] + 2.5 * (np.array(scene.hu.shape[1:]) - 1)).tolist()
    rods = tuple(Metal(y, x + side * 20, 3.0, (10.0, 30.0)) for side in (-1, 1))
    wrong = Artefacts(seed=1, metal=rods)
    grid = RegionGrid.around((20.0, y, x), (1, 64, 64), (2, 1, 1))
    found = [
        acquire_region(scene, profile_named("ge_revolution"), np.random.default_rng(3), grid,
                       thickness_mm=2.0, artefacts=given)[0]
        for given in (None, wrong)
    ]  # fmt: skip
    assert np.allclose(found[1] - found[0], _added(scene, wrong, 20.0)[96:160, 96:160], atol=1)
