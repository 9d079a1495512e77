"""d′ is what a prewhitening observer reaches on scans that were made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from networks.phantoms.acquire import acquire
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.detectability import NPS_FLOOR, Judge
from networks.phantoms.hu import TissueHu, tissue_hu
from networks.phantoms.lesion import Lesion
from networks.phantoms.paint import paint_labels
from networks.phantoms.profiles import profile_named
from networks.phantoms.response import size_factor
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import TISSUE_COUNT, Tissue
from tests.planted import ball

MONTE_CARLO_TOLERANCE = 0.10
"""The SD of so many answers is known within 4 %, and the template is a measured one."""

VOXEL_MM = 2.0
SHAPE = (20, 72, 72)
MATRIX = 160
PIXEL_MM = 0.75
SCANS = 80

BORDER = 24
"""Pixels cut off at each side, so that no pixel lies beyond the circle. The narrower what is left,
the more noise leaks to low frequencies, where there is none: of 51 mm the observer loses 5 %."""

SHIFT = 28
"""Pixels between the places where the template is tried."""

Stack = npt.NDArray[np.float64]


def _affine() -> npt.NDArray[np.float64]:
    low = -0.5 * VOXEL_MM * (SHAPE[1] - 1)
    return np.array(
        [[0, 0, VOXEL_MM, low], [0, VOXEL_MM, 0, low], [VOXEL_MM, 0, 0, 0], [0, 0, 0, 1.0]]
    )


def _stack(seed: int, texture_hu: float, lesions: list[Lesion], kernel: str, thickness: float,
           step: float, dose: float = 1.0) -> Stack:  # fmt: skip
    """Scan a block of liver."""
    table = TissueHu(np.full(TISSUE_COUNT, 50, np.float32),
                     np.full(TISSUE_COUNT, texture_hu, np.float32))  # fmt: skip
    labels = np.full(SHAPE, Tissue.LIVER, np.uint8)
    hu = paint_labels(labels, table, np.random.default_rng([seed, 1]), spacing_mm=VOXEL_MM)
    scan = acquire(
        hu, _affine(), profile_named("philips_ict"), np.random.default_rng([seed, 2]),
        kernel=kernel, matrix=MATRIX, fov_mm=MATRIX * PIXEL_MM, thickness_mm=thickness,
        increment_mm=step, slices=int(24 / step) + 1, first_slice_mm=7.0, dose=dose, bias_hu=0.0,
        lesions=lesions,
    )  # fmt: skip
    return scan.hu[:, BORDER:-BORDER, BORDER:-BORDER].astype(np.float64)


@pytest.mark.parametrize(
    ("kernel", "thickness", "step", "texture", "diameter"),
    [("soft", 5.0, 5.0, 2.0, 10.0), ("sharp", 3.0, 3.0, 5.0, 12.0), ("soft", 6.0, 3.0, 5.0, 9.0)],
)
def test_a_prewhitening_observer_reaches_dprime(
    kernel: str, thickness: float, step: float, texture: float, diameter: float
) -> None:
    """The template is whitened by the covariance of half of the scans and tried on the others."""
    lesion = ball((19.3, 0.4, -0.2), diameter, 15)
    judge = Judge(
        profile=profile_named("philips_ict"), kernel=kernel, thickness_mm=thickness,
        increment_mm=step, first_slice_mm=7.0, pixel_mm=PIXEL_MM, texture_sd_hu=texture,
        size=size_factor(np.full(SHAPE, 50, np.float32), VOXEL_MM),
    )  # fmt: skip
    way = (kernel, thickness, step)
    signal = _stack(0, 0.0, [lesion], *way, dose=1e9) - _stack(0, 0.0, [], *way, dose=1e9)
    scans = np.stack([_stack(n, texture, [], *way) for n in range(SCANS)])
    scans -= scans.mean(axis=0)
    covariance = _covariance(scans[::2])
    powers, modes = np.linalg.eigh(covariance)
    floor = NPS_FLOOR * np.einsum("klaa->kl", covariance).max() / len(signal)
    wanted = np.moveaxis(np.fft.fft2(signal), 0, -1)
    apart = np.einsum("klab,kla->klb", modes.conj(), wanted) / np.maximum(powers, floor)
    template = np.einsum("klab,klb->kla", modes, apart)
    template = np.fft.ifft2(np.moveaxis(template, -1, 0)).real
    answers = [
        (scans[1::2] * np.roll(template, (row, column), (1, 2))).sum(axis=(1, 2, 3))
        for row in (-SHIFT, 0, SHIFT)
        for column in (-SHIFT, 0, SHIFT)
    ]
    reached = float((signal * template).sum() / np.std(answers))
    assert judge(lesion.grid, lesion.delta_hu) == pytest.approx(reached, rel=MONTE_CARLO_TOLERANCE)


def _covariance(scans: Stack) -> Stack:
    """Measure slices by slices at each frequency, alike in all directions, (R, C, S, S)."""
    spectrum = np.fft.fft2(scans)
    each = np.einsum("nakl,nbkl->klab", spectrum, spectrum.conj()).real / len(scans)
    f = np.fft.fftfreq(scans.shape[-1]) * scans.shape[-1]
    ring = np.rint(np.hypot(f[:, None], f[None, :])).astype(int)
    mean = np.stack([each[ring == n].mean(axis=0) for n in range(ring.max() + 1)])
    return mean[ring]


def test_dprime_hardly_depends_on_the_patch() -> None:
    """A patch with nothing around it gives the same; without any texture 7 % less at most.

    The noise vanishes at low frequencies, and the frequencies of a small patch are too coarse for
    how; texture, which no tissue is without, fills the gap.
    """
    lesion = ball((0.0, 0, 0), 10, 15)
    wide = replace(lesion.grid, origin_mm=tuple(x - 20 for x in lesion.grid.origin_mm),
                   shape=tuple(n + 80 for n in lesion.grid.shape))  # fmt: skip
    padded = np.pad(lesion.delta_hu, 40)
    for texture, low, high in ((2.0, 0.99, 1.01), (0.0, 0.93, 1.0)):
        judge = Judge(profile=profile_named("philips_ict"), thickness_mm=5.0, increment_mm=5.0,
                      texture_sd_hu=texture)  # fmt: skip
        assert low < judge(wide, padded) / judge(lesion.grid, lesion.delta_hu) < high


def test_dprime_is_linear_in_contrast() -> None:
    """Twice the contrast, twice the detectability."""
    judge = Judge(profile=profile_named("ge_revolution"))
    lesion = ball((0.0, 0, 0), 10, 20)
    once, twice = (judge(lesion.grid, lesion.delta_hu * np.float32(k)) for k in (1, 2))
    assert twice == pytest.approx(2 * once, rel=1e-4)
    assert judge(lesion.grid, np.zeros_like(lesion.delta_hu)) == 0


def test_dprime_grows_with_size_and_dose() -> None:
    """A larger lesion and a quieter scan are easier."""
    small, large = (ball((0.0, 0, 0), d, 20) for d in (6, 12))
    judge = Judge(profile=profile_named("ge_revolution"), texture_sd_hu=0)
    quiet = Judge(profile=profile_named("ge_revolution"), texture_sd_hu=0, dose=4.0)
    assert judge(large.grid, large.delta_hu) > 2 * judge(small.grid, small.delta_hu)
    assert quiet(small.grid, small.delta_hu) == pytest.approx(
        2 * judge(small.grid, small.delta_hu), rel=0.01
    )


def test_texture_hides() -> None:
    """The same lesion is harder to see where the tissue is uneven."""
    lesion = ball((0.0, 0, 0), 10, 20)
    found = [
        Judge(profile=profile_named("ge_revolution"), texture_sd_hu=sd)(
            lesion.grid, lesion.delta_hu
        )
        for sd in (0.0, 6.0, 25.0)
    ]
    assert found[0] > 1.5 * found[1]
    assert found[1] > 1.5 * found[2]


def test_a_scene_tells_the_texture_of_the_place() -> None:
    """In bone marrow a lesion is harder to see than in the liver, since marrow is uneven."""
    anatomy = sample_anatomy(5, spacing_mm=5.0)
    table = tissue_hu(anatomy.patient, np.random.default_rng(1))
    hu = paint_labels(anatomy.labels, table, np.random.default_rng(2), spacing_mm=5.0)
    scene = Scene(anatomy, table, hu)
    judge = Judge.of(scene, profile_named("ge_revolution"))
    found = {}
    for tissue in (Tissue.LIVER, Tissue.VERTEBRA_MARROW):
        inside = np.argwhere(scene.tissue(tissue))
        deep = inside[scene.depth_mm(tissue)[tuple(inside.T)].argmax()]
        lesion = ball(scene.origin_mm + deep * 5.0, 8, 40)
        found[tissue] = judge(lesion.grid, lesion.delta_hu)
    assert found[Tissue.LIVER] > 2 * found[Tissue.VERTEBRA_MARROW] > 0
