"""Tiles that a detector learns from: a kept patient, scanned anew for every sample.

A sample is a function of (pool, seed, number) alone. Scanner, kernel, thickness, dose, place, scale
and which of the other lesions are there differ each time; left and right are never flipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.detection import Tile, heat_of, rows_of
from networks.phantoms.lesion import Lesion
from networks.phantoms.profiles import PROFILES, ScannerProfile
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.response import size_factor
from networks.tile_scenes import TilePool, TileScene

DOSES = (0.5, 1.6)
"""Against the standard, drawn log-uniformly."""

SCALES = (-0.08, -0.04, 0.0, 0.04, 0.08)
"""Relative changes of size, drawn through-plane and in-plane apart; few, so that what a scan of
one grid needs is computed once."""

OFF_CENTRE = 0.42
"""Share of the tile by which its subject may lie off its centre."""

OFF_POINT = 0.2
"""The same for a tile about nothing, which is to show the organ and little else."""

SHIFT_HU = 3.0
"""Largest calibration error beyond the scanner model's own."""

SUBJECTS = ("finding", "confounder", "finding", "anywhere")
"""What a tile is cut around, in turn: half a lesion, a quarter what looks like one, a quarter
nothing (pipelines.md §7.2)."""


@dataclass(frozen=True)
class Scans:
    """The series that a check reads.

    Attributes
    ----------
    kernels : mapping of str to float
        Classes of reconstruction kernel, by share.
    thicknesses_mm : mapping of float to float
        Slice thicknesses, by share.
    """

    kernels: Mapping[str, float]
    thicknesses_mm: Mapping[float, float]

    def draw(self, rng: np.random.Generator) -> tuple[str, float]:
        """Return kernel and thickness."""
        kernel = rng.choice(list(self.kernels), p=list(self.kernels.values()))
        thickness = rng.choice(list(self.thicknesses_mm), p=list(self.thicknesses_mm.values()))
        return str(kernel), float(thickness)


@dataclass(frozen=True, slots=True)
class TileSample:
    """One tile as the network would be given it, and what it is to find.

    Attributes
    ----------
    hu : (D, H, W) ndarray of int16
    rows : (ROWS, ROW) ndarray of float32
        As `networks.detection.rows_of` gives them.
    heat, weight : (d, h, w) ndarray of float32
        As `networks.detection.heat_of` gives them.
    """

    hu: NDArray[np.int16]
    rows: NDArray[np.float32]
    heat: NDArray[np.float32]
    weight: NDArray[np.float32]


class TileSampler:
    """The tiles of one training, by number.

    Parameters
    ----------
    pool : TilePool
    tile : Tile
    kinds : tuple of str
        What is to be found.
    scans : Scans
    seed : int
        Of the training.
    first_seed : int
        Of the pool's patients.
    first, size, every : int
        There are `first` patients at sample 0 and one more every `every` samples, up to `size`.
    """

    def __init__(
        self,
        pool: TilePool,
        tile: Tile,
        kinds: tuple[str, ...],
        scans: Scans,
        seed: int,
        *,
        first_seed: int,
        first: int,
        size: int,
        every: int,
    ) -> None:
        self.pool, self.tile, self.kinds, self.scans, self.seed = pool, tile, kinds, scans, seed
        self.first_seed, self.first, self.size, self.every = first_seed, first, size, every

    def sample(self, number: int) -> TileSample:
        """Return a tile."""
        rng = np.random.default_rng((self.seed, number))
        known = min(self.size, self.first + number // self.every)
        scene = self.pool.get(self.first_seed + int(rng.integers(known)))
        subject = SUBJECTS[number % len(SUBJECTS)]
        through, within = rng.choice(SCALES, 2)
        spacing = np.asarray(self.tile.spacing_mm) * (1 + through, 1 + within, 1 + within)
        extent = spacing * self.tile.shape
        fitting = [x for x in scene.lesions if (x.kind in self.kinds) == (subject == "finding")]
        about: Lesion | None = None
        if subject != "anywhere" and fitting:
            about = fitting[rng.integers(len(fitting))]
            middle = np.asarray(about.centre_mm)
        else:
            middle = scene.picks_mm[rng.integers(len(scene.picks_mm))].astype(np.float64)
        off = OFF_POINT if about is None else OFF_CENTRE
        middle = middle + rng.uniform(-off, off, 3) * extent
        share = rng.random()
        lesions = [x for x in scene.lesions if x is about or rng.random() < share]
        grid = RegionGrid.around(middle, self.tile.shape, spacing)
        kernel, thickness_mm = self.scans.draw(rng)
        hu = scan_box(
            scene, lesions, grid, drawn_profile(rng), rng, kernel=kernel, thickness_mm=thickness_mm
        )
        rows = self._rows(lesions, grid)
        heat, weight = heat_of(rows, self.tile)
        return TileSample(hu, rows, heat, weight)

    def _rows(self, lesions: Sequence[Lesion], grid: RegionGrid) -> NDArray[np.float32]:
        found = [x for x in lesions if x.kind in self.kinds]
        centres = np.array([x.centre_mm for x in found], np.float64).reshape(-1, 3)
        apparent = self.tile.spacing_mm[1] / grid.spacing_mm[1]
        return rows_of(
            (centres - grid.origin_mm) / grid.spacing_mm,
            np.array([x.diameter_mm * apparent for x in found], np.float64),
            np.array([self.kinds.index(x.kind) for x in found], np.int64),
            self.tile,
        )


def drawn_profile(rng: np.random.Generator, *, unseen: bool = False) -> ScannerProfile:
    """Draw a scanner model, of those for training or of those kept for tests."""
    profiles = [profile for profile in PROFILES.values() if profile.unseen == unseen]
    return profiles[rng.integers(len(profiles))]


def scan_box(
    scene: TileScene,
    lesions: Sequence[Lesion],
    grid: RegionGrid,
    profile: ScannerProfile,
    rng: np.random.Generator,
    *,
    kernel: str,
    thickness_mm: float,
) -> NDArray[np.int16]:
    """Scan a box of a patient with some of the lesions.

    Returns
    -------
    (S, R, C) ndarray of int16
        HU on the grid.
    """
    low = np.asarray(grid.origin_mm)
    high = low + (np.asarray(grid.shape) - 1) * grid.spacing_mm
    part = scene.around(low, high, lesions)
    few, many = DOSES
    dose = few * (many / few) ** rng.random()
    hu = acquire_region(
        part,
        profile,
        rng,
        grid,
        kernel=kernel,
        thickness_mm=thickness_mm,
        # the noise is that of the whole patient, of whom the scene is a part
        dose=dose * (size_factor(part.hu, part.spacing_mm) / scene.size) ** 2,
    )
    hu += np.float32(rng.uniform(-SHIFT_HU, SHIFT_HU))
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
