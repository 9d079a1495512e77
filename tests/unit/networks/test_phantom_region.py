"""A box scanned straight onto a network's grid is what scanning and resampling give there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from networks.phantoms.acquire import acquire
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.hu import tissue_hu
from networks.phantoms.paint import paint_labels
from networks.phantoms.profiles import profile_named
from networks.phantoms.region import PIXEL_MM, RegionGrid, acquire_region, mask_on, share_on
from networks.phantoms.scene import Scene
from preprocess.grid import Grid
from preprocess.resample import resample
from tests.planted import ball

SAME_HU = 0.02
"""Float32 sums in another order."""

NOISE_TOLERANCE = 0.05
"""Of the variance: what so many voxels of two draws differ by."""

GRIDS: list[tuple[str, float, float, tuple[float, float, float]]] = [
    ("soft", 1.0, 1.0, (3.0, 1.5, 1.5)),
    ("soft", 5.0, 5.0, (3.0, 1.5, 1.5)),
    ("standard", 2.0, 1.0, (3.0, 0.75, 0.75)),
    ("sharp", 1.0, 1.0, (1.5, 1.0, 1.0)),
    ("soft", 1.5, 1.5, (3.0, 3.0, 3.0)),
    ("standard", 3.0, 3.0, (3.0, 0.7, 0.7)),
]
"""Kernel, thickness and increment of the scan, and the grid of a network, mm."""


@pytest.fixture(scope="module")
def scene() -> Scene:
    anatomy = sample_anatomy(41, spacing_mm=4.0)
    table = tissue_hu(anatomy.patient, np.random.default_rng(1))
    hu = paint_labels(anatomy.labels, table, np.random.default_rng(2), spacing_mm=4.0)
    scene = Scene(anatomy, table, hu)
    z, y, x = _middle(scene)
    scene.add([ball((z + 6, y + 10, x - 20), 9, 300), ball((z - 11, y, x + 17), 4, 900)])
    return scene


def _middle(scene: Scene) -> npt.NDArray[np.float64]:
    """A point in the liver, LPS mm."""
    inside = np.argwhere(scene.organ("liver"))
    return scene.origin_mm + inside[len(inside) // 2] * scene.spacing_mm


def _scan(scene: Scene, grid: RegionGrid, **given: Any) -> npt.NDArray[np.float32]:
    return acquire_region(
        scene, profile_named("siemens_definition"), np.random.default_rng(3), grid, bias_hu=1.0,
        **given,
    )  # fmt: skip


def _long_way(
    scene: Scene, kernel: str, thickness: float, step: float, spacing: tuple[float, float, float],
    dose: float,
) -> tuple[npt.NDArray[np.float32], RegionGrid]:  # fmt: skip
    """Acquire a part of the body, resample it, and cut off what is near the edge."""
    middle = _middle(scene)
    count = round(60 / step)
    scan = acquire(
        scene.hu, scene.anatomy.affine, profile_named("siemens_definition"),
        np.random.default_rng(4), kernel=kernel, matrix=320, fov_mm=320 * PIXEL_MM,
        thickness_mm=thickness, increment_mm=step, slices=count,
        first_slice_mm=float(middle[0]) - 0.5 * (count - 1) * step, dose=dose, bias_hu=1.0,
        lesions=scene.lesions,
    )  # fmt: skip
    given = Grid((count, 320, 320), scan.affine)
    fine = given.resampled(spacing)
    hu = resample(scan.hu, spacing_mm=given.spacing_mm, target_spacing_mm=spacing)
    cut = [round(15 / s) if n else round(9 / s) for n, s in enumerate(spacing)]
    cut[1:] = [round(45 / s) for s in spacing[1:]]
    box = tuple(slice(c, n - c) for c, n in zip(cut, hu.shape))
    origin = fine.affine @ [*cut, 1.0]
    shape = hu[box].shape
    z, y, x = origin[[2, 1, 0]].tolist()
    return hu[box], RegionGrid((z, y, x), spacing, (shape[0], shape[1], shape[2]))


@pytest.mark.parametrize(("kernel", "thickness", "step", "spacing"), GRIDS)
def test_without_noise_both_ways_agree(
    scene: Scene, kernel: str, thickness: float, step: float, spacing: tuple[float, float, float]
) -> None:
    """HU of anatomy and lesions, voxel by voxel."""
    expected, grid = _long_way(scene, kernel, thickness, step, spacing, dose=1e9)
    found = _scan(scene, grid, kernel=kernel, thickness_mm=thickness, increment_mm=step, dose=1e9)
    assert found.shape == expected.shape
    assert found.std() > 20
    assert np.abs(found - expected).max() < SAME_HU


@pytest.mark.parametrize(("kernel", "thickness", "step", "spacing"), GRIDS)
def test_noise_has_the_variance_and_shape_of_resampled_noise(
    scene: Scene, kernel: str, thickness: float, step: float, spacing: tuple[float, float, float]
) -> None:
    """SD, and correlation with the next voxel along each axis."""
    expected, grid = _long_way(scene, kernel, thickness, step, spacing, dose=1.0)
    quiet = _scan(scene, grid, kernel=kernel, thickness_mm=thickness, increment_mm=step, dose=1e9)
    found = _scan(scene, grid, kernel=kernel, thickness_mm=thickness, increment_mm=step)
    theirs, ours = expected - quiet, found - quiet
    assert ours.var() == pytest.approx(theirs.var(), rel=NOISE_TOLERANCE)
    for axis in range(3):
        assert _next(ours, axis) == pytest.approx(_next(theirs, axis), abs=0.03)


def _next(noise: npt.NDArray[np.float32], axis: int) -> float:
    """Correlation of a voxel with the next along an axis."""
    a, b = (np.take(noise, range(n, noise.shape[axis] - 1 + n), axis) for n in (0, 1))
    return float((a * b).mean() / noise.var())


def test_the_same_seed_gives_the_same_region(scene: Scene) -> None:
    """Nothing but the generator decides, and another one gives other noise."""
    grid = RegionGrid.around(_middle(scene), (8, 16, 16), (3, 1.5, 1.5))
    first, second = _scan(scene, grid), _scan(scene, grid)
    other = acquire_region(scene, profile_named("ge_revolution"), np.random.default_rng(9), grid)
    assert first.tobytes() == second.tobytes()
    assert np.abs(first - other).max() > 5


def test_beyond_the_phantom_its_edge_goes_on(scene: Scene) -> None:
    """A box that reaches above the highest slice has finite values, like padding by replication."""
    high = scene.origin_mm[0] + scene.spacing_mm * len(scene.hu)
    grid = RegionGrid.around((high + 20, *_middle(scene)[1:]), (10, 12, 12), (3, 3, 3))
    hu = _scan(scene, grid, dose=1e9)
    assert np.isfinite(hu).all()
    assert np.allclose(hu[-1], hu[-2], atol=0.1)


def test_a_mask_keeps_its_place_and_volume() -> None:
    """On a coarser grid the share adds up to the volume; the mask is where it is one half."""
    lesion = ball((10.0, -20.0, 30.0), 14, 100)
    grid = RegionGrid.around((11.0, -19.0, 28.0), (12, 24, 24), (3, 1.5, 1.5))
    share = share_on(lesion, grid.axes)
    assert share.sum() * 3 * 1.5 * 1.5 == pytest.approx(lesion.volume_mm3, rel=0.02)
    mask = mask_on(lesion, grid.axes)
    assert mask.sum() * 3 * 1.5 * 1.5 == pytest.approx(lesion.volume_mm3, rel=0.1)
    centre = np.array(ndimage.center_of_mass(mask)) * grid.spacing_mm + grid.origin_mm
    assert np.abs(centre - lesion.centre_mm).max() < 0.5


def test_the_smallest_lesion_has_one_voxel() -> None:
    """A speck that half fills no voxel is not lost, and one outside is not found."""
    speck = ball((10.0, -20.0, 30.0), 1.5, 100)
    grid = RegionGrid.around((10.0, -20.0, 30.0), (5, 5, 5), (3, 3, 3))
    assert mask_on(speck, grid.axes).sum() == 1
    assert mask_on(speck, grid.axes)[2, 2, 2]
    away = RegionGrid.around((50.0, -20.0, 30.0), (5, 5, 5), (3, 3, 3))
    assert not mask_on(speck, away.axes).any()


def test_a_grid_covers_its_box() -> None:
    """Counts are rounded up to the multiple, around the same middle."""
    grid = RegionGrid.over((0, 0, 0), (30, 45, 40), (3, 1.5, 1.5), multiple=8)
    assert grid.shape == (16, 32, 32)
    assert np.allclose([np.mean(axis) for axis in grid.axes], [15, 22.5, 20])
    assert np.allclose(grid.affine @ [0, 0, 0, 1], [*grid.origin_mm[::-1], 1])
