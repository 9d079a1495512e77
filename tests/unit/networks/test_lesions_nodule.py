"""Nodules lie in the lungs, have the HU, size and difficulty they state; mimics lie there too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesion import DIFFICULTIES, FineGrid, Lesion
from networks.phantoms.lesions import NoPlaceError, nodule
from networks.phantoms.lesions.nodule.drawing import axial_axes_mm
from networks.phantoms.lobes import LOBES, LUNG, lobe_of, lung_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from tests.white_noise import judge

DRAWINGS = 3
"""Nodules of each kind and difficulty that are looked at."""

PLEURA = (Tissue.MUSCLE, Tissue.INTERMUSCULAR_FAT, Tissue.DIAPHRAGM, Tissue.MEDIASTINAL_FAT)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene.painted(sample_anatomy(4, spacing_mm=4.0), np.random.default_rng(4))


@pytest.fixture(scope="module")
def planted(scene: Scene) -> dict[tuple[str, str], list[Lesion]]:
    return {
        (kind, difficulty): [
            nodule.plant(
                scene, np.random.default_rng([n, m, k]), kind, difficulty=difficulty, judge=judge
            )[0]
            for k in range(DRAWINGS)
        ]
        for n, kind in enumerate(nodule.KINDS)
        for m, difficulty in enumerate(DIFFICULTIES)
    }


def hu_of(scene: Scene, lesion: Lesion) -> NDArray[np.float32]:
    """Return the HU within the mask, before the scan."""
    return (scene.hu_on(lesion.grid) + lesion.delta_hu)[lesion.mask]


def test_every_nodule_lies_in_the_lungs(
    scene: Scene, planted: dict[tuple[str, str], list[Lesion]]
) -> None:
    """Nine tenths of each mask are lung, as far as voxels of 4 mm tell."""
    for lesions in planted.values():
        for lesion in lesions:
            share = scene.share_on(lesion.grid, *LUNG)
            assert share[lesion.mask].mean() > 0.75, lesion.truth()
            assert (share[lesion.mask] > 0.05).mean() > 0.9, lesion.truth()


def test_the_difficulty_asked_for_is_reached(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """Every nodule has the difficulty it was asked for, and the d′ of its patch."""
    for (_, difficulty), lesions in planted.items():
        for lesion in lesions:
            assert lesion.difficulty == difficulty
            measured = judge(lesion.grid, lesion.delta_hu)
            assert lesion.dprime == pytest.approx(measured, rel=0.05)


def test_hard_nodules_are_small_or_faint(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """Below 5 mm, 6.5 mm for ground glass and 8 mm for part-solid, or below 130 HU over lung."""
    least = dict(zip(nodule.KINDS, (5.0, 8.0, 6.5, 5.0), strict=True))
    for (kind, difficulty), lesions in planted.items():
        for lesion in lesions:
            small = lesion.diameter_mm < least[kind]
            glass = kind == "ground_glass_nodule"
            faint = glass and lesion.extra["glass_contrast_hu"] < 130
            assert (small or faint) == (difficulty == "hard"), lesion.truth()


@pytest.mark.parametrize(
    ("kind", "share", "low", "high"),
    [
        ("solid_nodule", 0.5, 10, 70),
        ("ground_glass_nodule", 0.5, -790, -450),
        ("calcified_nodule", 0.9, 150, 1300),
    ],
)
def test_a_kind_has_its_hu(
    scene: Scene,
    planted: dict[tuple[str, str], list[Lesion]],
    kind: str,
    share: float,
    low: float,
    high: float,
) -> None:
    """The median HU is that of the kind; of a calcified one a tenth at least is calcium."""
    for lesion in planted[kind, "easy"]:
        assert low < float(np.quantile(hu_of(scene, lesion), share)) < high


def test_a_part_solid_nodule_has_a_core_of_the_stated_size(
    scene: Scene, planted: dict[tuple[str, str], list[Lesion]]
) -> None:
    """Soft tissue makes up a disc of `solid_part_mm` of the largest section, within a third."""
    for lesion in planted["part_solid_nodule", "easy"]:
        part = lesion.extra["solid_part_mm"]
        assert 0.15 * lesion.diameter_mm < part < 0.85 * lesion.diameter_mm
        hu = scene.hu_on(lesion.grid) + lesion.delta_hu
        core = lesion.mask & (hu > -300)
        area = core.sum(axis=(1, 2)).max() * lesion.grid.spacing_mm**2
        assert 2 * np.sqrt(area / np.pi) == pytest.approx(part, rel=0.35)
        assert (hu[lesion.mask] < -400).any()


def test_sizes_span_the_range(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """From below 5 mm to above 15 mm, never beyond 30, and the axes belong to the mask."""
    sizes = [lesion.diameter_mm for lesions in planted.values() for lesion in lesions]
    assert 2.5 < min(sizes) < 5
    assert 15 < max(sizes) < 31
    for lesions in planted.values():
        for lesion in lesions:
            axes = axial_axes_mm(lesion.mask, lesion.grid.spacing_mm)
            assert axes == pytest.approx(
                (lesion.extra["long_axis_mm"], lesion.extra["short_axis_mm"]), abs=0.06
            )
            assert lesion.extra["lobe"] == lesion.site in LOBES


def test_the_axes_of_an_ellipse() -> None:
    """An ellipsoid of 20 × 10 mm at 30° has just these axes, a voxel more or less."""
    grid = FineGrid.around((0, 0, 0), 14, 0.5)
    z, y, x = grid.offsets((0, 0, 0))
    along = np.cos(np.pi / 6) * x + np.sin(np.pi / 6) * y
    across = np.cos(np.pi / 6) * y - np.sin(np.pi / 6) * x
    mask = (along / 10) ** 2 + (across / 5) ** 2 + (z / 8) ** 2 < 1
    long_axis, short_axis = axial_axes_mm(mask, 0.5)
    assert long_axis == pytest.approx(20, abs=0.8)
    assert short_axis == pytest.approx(10, abs=0.8)
    assert axial_axes_mm(np.zeros((3, 3, 3), bool), 0.5) == (0.0, 0.0)


@pytest.mark.parametrize("kind", nodule.CONFOUNDERS)
def test_a_mimic_borders_on_lung_and_is_no_finding(scene: Scene, kind: str) -> None:
    """It adds soft tissue or bone where some lung was, and has no difficulty."""
    for seed in range(3):
        (lesion,) = nodule.confound(scene, np.random.default_rng([9, seed]), kind, judge=judge)
        assert (lesion.kind, lesion.is_finding, lesion.difficulty) == (kind, False, None)
        assert lesion.contrast_hu > 20
        assert (scene.share_on(lesion.grid, *LUNG)[lesion.mask] > 0.05).mean() > 0.3
        assert lesion.dprime is not None


def test_a_vessel_end_on_is_round_in_a_slice_and_long_across_them(scene: Scene) -> None:
    """Its own voxels go through at least 12 mm of slices, with a section below 8 mm."""
    (vessel,) = nodule.confound(scene, np.random.default_rng(3), "vessel_end_on")
    slices = np.flatnonzero(vessel.mask.any(axis=(1, 2)))
    assert (slices[-1] - slices[0]) * vessel.grid.spacing_mm > 12
    section = np.median(vessel.mask.sum(axis=(1, 2))[slices]) * vessel.grid.spacing_mm**2
    assert 2 * np.sqrt(section / np.pi) < 8


def test_the_seed_decides(scene: Scene, planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """The same generator gives the same bytes, another one another nodule."""
    first = planted["part_solid_nodule", "medium"][0]
    again, other = (
        nodule.plant(scene, np.random.default_rng(seed), first.kind, judge=judge)[0]
        for seed in ([1, 1, 0], [1, 1, 7])
    )
    assert again.delta_hu.tobytes() == first.delta_hu.tobytes()
    assert other.centre_mm != first.centre_mm


def test_nodules_keep_apart(scene: Scene) -> None:
    """What is planted later lies beside what the scene holds, not in it."""
    crowded = Scene(scene.anatomy, scene.table, scene.hu)
    for seed in range(6):
        crowded.add(nodule.plant(crowded, np.random.default_rng(seed), "solid_nodule", judge=judge))
    for n, one in enumerate(crowded.lesions):
        for two in crowded.lesions[:n]:
            gap = np.linalg.norm(np.subtract(one.centre_mm, two.centre_mm))
            assert gap > 0.5 * (one.diameter_mm + two.diameter_mm)


def test_without_lungs_there_is_no_place(scene: Scene) -> None:
    """A scene without lung refuses instead of planting in fat."""

    def refuse(call: Callable[[], object]) -> None:
        with pytest.raises(NoPlaceError):
            call()

    bare = np.where(np.isin(scene.anatomy.labels, LUNG), Tissue.MUSCLE, scene.anatomy.labels)
    anatomy = type(scene.anatomy)(
        bare.astype(np.uint8), scene.anatomy.affine, 4.0, scene.anatomy.patient, 4
    )
    empty = Scene(anatomy, scene.table, scene.hu)
    rng = np.random.default_rng(0)
    refuse(lambda: nodule.plant(empty, rng, "solid_nodule", judge=judge))
    for kind in nodule.CONFOUNDERS:
        refuse(lambda kind=kind: nodule.confound(empty, rng, kind))


def test_lobes_lie_as_in_the_body(scene: Scene) -> None:
    """Front and top are upper lobe, back and bottom lower; the middle lobe is right, in front."""
    for right, name in ((True, "right"), (False, "left")):
        lung = lung_of(scene, right=right)
        assert lung is not None
        x = -70.0 if right else 75.0
        high, low = lung.z[1] - 30, lung.z[0] + 20
        front, back = lung.y[0] + 25, lung.y[1] - 25
        assert lobe_of(scene, (high, front, x)) == f"{name}_upper_lobe"
        assert lobe_of(scene, (low, back, x)) == f"{name}_lower_lobe"
        inner = (lung.z[0] + 0.4 * (lung.z[1] - lung.z[0]), front, x)
        assert lobe_of(scene, inner) == ("right_middle_lobe" if right else "left_upper_lobe")


def test_unknown_kinds_are_refused(scene: Scene) -> None:
    """With the kinds that there are."""
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="solid_nodule"):
        nodule.plant(scene, rng, "spot", judge=judge)
    with pytest.raises(ValueError, match="vessel_end_on"):
        nodule.confound(scene, rng, "spot")
