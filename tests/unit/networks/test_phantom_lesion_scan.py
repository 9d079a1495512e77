"""The scan of a lesion is added to the scan of the phantom."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from networks.phantoms.acquire import Acquisition, acquire
from networks.phantoms.lesion import FineGrid, Lesion
from networks.phantoms.profiles import profile_named
from tests.planted import ball, from_delta

INTERPOLATION_HU = 0.01
"""Rounding of float32 sums; where the voxels agree both ways are the same sum."""

VOXEL_MM = 2.0
ORIGIN_MM = (10.0, -60.0, -70.0)
SHAPE = (20, 60, 70)


def _affine() -> npt.NDArray[np.float64]:
    z, y, x = ORIGIN_MM
    return np.array([[0, 0, VOXEL_MM, x], [0, VOXEL_MM, 0, y], [VOXEL_MM, 0, 0, z], [0, 0, 0, 1.0]])


def _scan(
    hu: npt.NDArray[np.float32], lesions: list[Lesion], *, kernel: str = "soft", tilt: float = 0.0
) -> Acquisition:
    return acquire(
        hu, _affine(), profile_named("philips_ict"), np.random.default_rng(1), kernel=kernel,
        matrix=160, fov_mm=140, thickness_mm=1.0, increment_mm=1.0, tilt_degrees=tilt,
        lesions=lesions, dose=1e6, bias_hu=0.0,
    )  # fmt: skip


@pytest.mark.parametrize("kernel", ["soft", "sharp"])
@pytest.mark.parametrize("tilt", [0.0, 10.0])
def test_a_patch_scans_like_the_same_hu_in_the_phantom(kernel: str, tilt: float) -> None:
    """On voxels that agree, planting and painting give the same scan."""
    rng = np.random.default_rng(0)
    phantom = rng.normal(0, 30, SHAPE).astype(np.float32)
    box = (slice(6, 13), slice(20, 31), slice(30, 44))
    delta = rng.normal(50, 20, phantom[box].shape).astype(np.float32)
    painted = phantom.copy()
    painted[box] += delta
    origin = tuple(o + VOXEL_MM * s.start for o, s in zip(ORIGIN_MM, box))
    grid = FineGrid((origin[0], origin[1], origin[2]), VOXEL_MM, (7, 11, 14))
    planted = _scan(phantom, [from_delta(grid, delta, delta > 0)], kernel=kernel, tilt=tilt)
    expected = _scan(painted, [], kernel=kernel, tilt=tilt)
    assert np.abs(planted.hu - expected.hu).max() < INTERPOLATION_HU
    assert np.abs(planted.hu - _scan(phantom, [], kernel=kernel, tilt=tilt).hu).max() > 20


@pytest.mark.parametrize("kernel", ["soft", "standard", "sharp"])
@pytest.mark.parametrize("shift_mm", [0.0, 0.37])
def test_a_sphere_of_3_mm_keeps_its_integral(kernel: str, shift_mm: float) -> None:
    """Smaller than the phantom's voxels or not, what was added is all there, within 3 %."""
    lesion = ball(np.array([30.0, 0, 0]) + shift_mm, 3.0, 800.0, spacing_mm=0.4)
    phantom = np.zeros(SHAPE, np.float32)
    scan = _scan(phantom, [lesion], kernel=kernel)
    added = scan.hu - _scan(phantom, [], kernel=kernel).hu
    integral = float(added.sum()) * float(np.prod(scan.spacing_mm))
    assert integral == pytest.approx(float(lesion.delta_hu.sum()) * 0.4**3, rel=0.03)
    middle = np.unravel_index(added.argmax(), added.shape)
    place = scan.affine[:3] @ [*middle, 1.0]
    assert np.abs(place[::-1] - lesion.centre_mm).max() < 1.0


def test_a_lesion_outside_the_scan_changes_nothing() -> None:
    """Neither above the last slice nor beside the field of view."""
    phantom = np.zeros(SHAPE, np.float32)
    far = [ball((200.0, 0, 0), 8, 100), ball((30.0, 0, 300.0), 8, 100)]
    assert np.array_equal(_scan(phantom, far).hu, _scan(phantom, []).hu)


def test_planting_leaves_the_noise_as_it_was() -> None:
    """Away from the lesion the scan is the same, byte for byte."""
    phantom = np.zeros(SHAPE, np.float32)
    scan, plain = _scan(phantom, [ball((30.0, 0, 0), 10, 100)]), _scan(phantom, [])
    assert scan.hu[:, :40].tobytes() == plain.hu[:, :40].tobytes()
    assert scan.hu[20, 80, 80] - plain.hu[20, 80, 80] == pytest.approx(100, abs=1)
