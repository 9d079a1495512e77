"""Training patches of the anatomy network: a label map seen through a random scan.

A sample is a function of (pool, seed, step) alone, so that a resumed training
sees what an uninterrupted one would have seen. It is made on the network's own
3 mm grid: a random affine and elastic warp, a random field of view, Hounsfield
units by tissue, blur for partial volume and kernel, correlated noise.
Left and right are never flipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter

from networks.palette import draw_palette
from networks.phantoms.tissue import Tissue, organ_table
from networks.pool import AnatomyPool, PooledAnatomy
from preprocess.pad import padded_shape

Floats = NDArray[np.float32]

MULTIPLE = 16
"""Axes of a patch are padded to a multiple of this, as ct_preprocess does."""

MINIMUM = 32
"""Smallest axis of a padded patch, as in the manifest's recipe."""

SCALE = 0.15
"""Largest relative change of size, drawn through-plane and in-plane apart."""

ROTATION_DEGREES = 8.0
"""Largest rotation about each axis."""

SLAB_VOXELS = (12, 67)
"""Thickness of a slab: 36–200 mm; real abdominal series are often 60–90 mm."""

FIELD_VOXELS = ((70, 112), (84, 144))
"""Rows and columns of a slab's field of view: 210–336 and 252–432 mm."""

TALL_SHAPES = ((96, 96, 128), (96, 80, 112), (80, 112, 144), (128, 80, 96))
"""Patches of the other half of the samples; each already a multiple of 16."""

NOISE_SD_HU = (3.0, 30.0)
"""Noise at 3 mm, drawn log-uniformly."""

BLUR_VOXELS = 1.2
"""Largest SD of the blur."""

BODY_PICK = 1 / 3
"""Share of patches centred anywhere; the rest are centred on a uniformly drawn class."""

GLOBAL_SHIFT_HU = 5.0
"""Largest calibration error of a scanner."""

UPRIGHT_SHARE = 0.5
"""Share of class-centred patches that keep the class's slice but the body's middle, as scans do."""

AIR_HU = -1024.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One padded training patch.

    Attributes
    ----------
    hu : (D, H, W) ndarray of int16
        Hounsfield units on the 3 mm grid, padded by replication.
    labels : (D, H, W) ndarray of uint8
        Anatomy labels, padded the same way.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]


def sample_rng(seed: int, step: int) -> np.random.Generator:
    """Return the generator of one step of one training."""
    return np.random.default_rng((seed, step))


def patch_shape(rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw a field of view in voxels, half of them slabs cut in z."""
    if rng.random() < 0.5:
        low, high = SLAB_VOXELS
        depth = round(low * (high / low) ** rng.random())
        rows, columns = (int(rng.integers(a, b + 1)) for a, b in FIELD_VOXELS)
        return depth, rows, columns
    return TALL_SHAPES[rng.integers(len(TALL_SHAPES))]


def patch_centre(rng: np.random.Generator, anatomy: PooledAnatomy) -> Floats:
    """Draw the voxel in the middle of the patch: of a class, or anywhere in the body."""
    if rng.random() < BODY_PICK:
        body = np.argwhere(anatomy.tissues[:, ::8, ::8].any(axis=0)) * 8
        row, column = body[rng.integers(len(body))]
        return np.asarray([rng.integers(anatomy.tissues.shape[0]), row, column], np.float32)
    present = np.flatnonzero(anatomy.picks[:, 0, 0] >= 0)
    picks = anatomy.picks[rng.choice(present[present > 0])]
    centre = picks[rng.integers(len(picks))].astype(np.float32)
    if rng.random() < UPRIGHT_SHARE:
        centre[1:] = np.asarray(anatomy.tissues.shape[1:]) / 2
    return centre


def rotation_matrix(rng: np.random.Generator) -> Floats:
    """Draw a rotation of up to ROTATION_DEGREES about each of the three axes."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(rng.uniform(-1, 1, 3) * ROTATION_DEGREES)):
        first, second = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix.astype(np.float32)


def elastic(rng: np.random.Generator, shape: tuple[int, ...], step: int, sd: float) -> Floats:
    """Draw a smooth displacement field.

    Parameters
    ----------
    shape : tuple of int
        (D, H, W) of the patch.
    step : int
        Voxels between the control points.
    sd : float
        Standard deviation at the control points, voxels.

    Returns
    -------
    (3, D, H, W) ndarray of float32
        Linear between control points, voxels.
    """
    nodes = [size // step + 2 for size in shape]
    field = rng.standard_normal((3, *nodes), np.float32) * np.float32(sd)
    for axis, (size, count) in enumerate(zip(shape, nodes), start=1):
        position = np.arange(size, dtype=np.float32) / step
        ramp = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(count, dtype=np.float32)))
        field = np.moveaxis(np.tensordot(field, ramp, axes=(axis, 1)), -1, axis)
    return np.ascontiguousarray(field)


def warp_labels(
    rng: np.random.Generator, tissues: NDArray[np.uint8], centre: Floats, shape: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Cut a patch out of a label map through a random affine and elastic warp.

    Beyond the first and last slice the end slice goes on, as padding does;
    beyond the rows and columns there is air.
    """
    through, within = 1 + rng.uniform(-SCALE, SCALE, 2)
    aspect = 1 + rng.uniform(-0.05, 0.05)
    matrix = rotation_matrix(rng) / np.asarray(
        [through, within * aspect, within / aspect], np.float32
    )
    displacement = elastic(rng, shape, 16, rng.uniform(0, 2.5))
    shifted = centre + rng.uniform(-1, 1, 3) * np.asarray([0.3, 0.15, 0.15]) * shape
    if shape[0] >= tissues.shape[0] * 0.8:
        shifted[0] = tissues.shape[0] / 2 + rng.uniform(-8, 8)
    flat = np.zeros(shape, np.int32)
    outside = np.zeros(shape, bool)
    for axis, size in enumerate(tissues.shape):
        coordinate = displacement[axis]
        coordinate += np.float32(shifted[axis])
        for other, length in enumerate(shape):
            ramp = (np.arange(length, dtype=np.float32) - (length - 1) / 2) * matrix[axis, other]
            coordinate += ramp.reshape([-1 if i == other else 1 for i in range(3)])
        index = np.rint(coordinate).astype(np.int32)
        if axis:
            outside |= (index < 0) | (index >= size)
        np.clip(index, 0, size - 1, out=index)
        flat *= size
        flat += index
    patch = tissues.ravel()[flat]
    patch[outside] = Tissue.AIR
    return patch


class NoiseBank:
    """Volumes of correlated unit noise, cut at random offsets instead of drawn anew."""

    SHAPE = (160, 144, 176)

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng((seed, 77))
        self.volumes: list[Floats] = []
        for sigma in ((0.3, 0.6, 0.6), (0.7, 0.8, 0.8), (0.0, 0.45, 0.45), (1.0, 1.0, 1.0)):
            volume = gaussian_filter(
                rng.standard_normal(self.SHAPE, np.float32), sigma, mode="wrap"
            )
            self.volumes.append(volume / volume.std())

    def cut(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Return unit noise of any shape; beyond SHAPE it repeats itself."""
        volume = self.volumes[rng.integers(len(self.volumes))]
        short = [max(0, part - whole) for whole, part in zip(self.SHAPE, shape)]
        if any(short):
            volume = np.pad(volume, [(0, width) for width in short], mode="wrap")
        start = [int(rng.integers(0, w - p + 1)) for w, p in zip(volume.shape, shape)]
        cut = volume[tuple(slice(s, s + p) for s, p in zip(start, shape))]
        flips = tuple(slice(None, None, int(rng.choice([-1, 1]))) for _ in shape)
        return cut[flips]


def blur(rng: np.random.Generator, hu: Floats) -> Floats:
    """Blur by a Gaussian drawn through-plane and in-plane apart; half of them hardly."""
    for axes in ((0,), (1, 2)):
        sigma = rng.uniform(0, BLUR_VOXELS) * rng.uniform(0.3, 1)
        if sigma < 0.2:
            continue
        reach = np.arange(-2, 3, dtype=np.float32)
        kernel = np.exp(-0.5 * (reach / sigma) ** 2)
        for axis in axes:
            hu = correlate1d(hu, kernel / kernel.sum(), axis=axis, mode="nearest")
    return hu


def scanner_field(rng: np.random.Generator, hu: Floats) -> None:
    """Put padding outside a round field of view, as some scanners do, in place."""
    _, rows, columns = hu.shape
    radius = max(rows, columns) / 2 * rng.uniform(0.95, 1.15)
    y = np.arange(rows)[:, None] - (rows - 1) / 2
    x = np.arange(columns)[None, :] - (columns - 1) / 2
    hu[:, y**2 + x**2 > radius**2] = AIR_HU


def pad_edges(rng: np.random.Generator, patch: NDArray[np.generic], before: list[float]) -> NDArray:
    """Replicate the edges up to the network's multiple; `before` is the share put in front."""
    width = []
    whole = padded_shape(patch.shape, multiple=MULTIPLE, minimum=MINIMUM)
    for size, wanted, share in zip(patch.shape, whole, before):
        missing = wanted - size
        front = round(missing * share)
        width.append((front, missing - front))
    return np.pad(patch, width, mode="edge")


class AnatomySampler:
    """The samples of one training, by step.

    Parameters
    ----------
    pool : AnatomyPool
    seed : int
        Seed of the training.
    first, size, every : int
        The pool holds `first` anatomies at step 0 and one more every `every`
        steps until it holds `size`.
    """

    def __init__(self, pool: AnatomyPool, seed: int, *, first: int, size: int, every: int) -> None:
        self.pool = pool
        self.seed = seed
        self.first, self.size, self.every = first, size, every
        self.bank = NoiseBank()

    def pool_at(self, step: int) -> int:
        """How many anatomies a step may choose from."""
        return min(self.size, self.first + step // self.every)

    def draw(self, step: int) -> Sample:
        """Return the sample of a step."""
        rng = sample_rng(self.seed, step)
        anatomy = self.pool.get(int(rng.integers(self.pool_at(step))))
        shape = patch_shape(rng)
        tissues = warp_labels(rng, anatomy.tissues, patch_centre(rng, anatomy), shape)
        hu = scan(rng, tissues, self.bank)
        before = rng.random(3).tolist()
        return Sample(pad_edges(rng, hu, before), pad_edges(rng, organ_table()[tissues], before))


def scan(
    rng: np.random.Generator, tissues: NDArray[np.uint8], bank: NoiseBank
) -> NDArray[np.int16]:
    """Paint a tissue patch and scan it: (D, H, W) int16 HU."""
    mean, texture = draw_palette(rng)
    hu = mean[tissues]
    hu += texture[tissues] * bank.cut(rng, tissues.shape)
    hu = blur(rng, hu)
    low, high = NOISE_SD_HU
    hu += np.float32(low * (high / low) ** rng.random()) * bank.cut(rng, tissues.shape)
    hu += np.float32(rng.uniform(-GLOBAL_SHIFT_HU, GLOBAL_SHIFT_HU))
    if rng.random() < 0.2:
        scanner_field(rng, hu)
    return np.clip(hu, -1024, 3071).astype(np.int16)
