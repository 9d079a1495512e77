"""Boxes that a check's network learns from: a kept scene, scanned anew for every sample.

A sample is a function of (pool, seed, number) alone. Scanner, kernel, thickness, dose, field of
view, place and scale differ each time; left and right are never flipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from networks.nets.roi_net import Triple
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.profiles import PROFILES, ScannerProfile
from networks.phantoms.region import Axes, RegionGrid, acquire_region
from networks.phantoms.response import size_factor
from networks.scene_file import Case, Variant
from networks.scenes import Box, ScenePool

KERNEL_SHARES = {"soft": 0.6, "standard": 0.34, "sharp": 0.06}
"""Organs are read on soft kernels; a sharp one comes along when a study has no other."""

THICKNESSES_MM = (1.0, 1.25, 2.0, 2.5, 3.0, 5.0)

DOSES = (0.5, 1.6)
"""Against the standard, drawn log-uniformly."""

JITTER_MM = (-4.0, 8.0)
"""How far each side of the box lies outside the margin: what the anatomy network misses."""

SCALE = 0.08
"""Largest relative change of size, drawn through-plane and in-plane apart."""

LEAST_CUT = 0.05
"""Part of the organ that is cut off at least, where the end of the scan cuts the box."""

SEEN_PART = 0.5
"""A lesion of which less is left in the box does not make the box ill, nor healthy."""

SHIFT_HU = 3.0
"""Largest calibration error beyond the scanner model's own."""

UNKNOWN = -1.0
"""``ill`` of a box whose lesion was cut off."""

Painter = Callable[[NDArray[np.uint8], tuple[Lesion, ...], Axes], NDArray[np.uint8]]
"""(tissues on the grid, lesions, axes of the grid) → labels, all (S, R, C)."""


@dataclass(frozen=True, slots=True)
class RoiSample:
    """One box as the network would be given it.

    Attributes
    ----------
    hu : (D, H, W) ndarray of int16
        On the network's grid, padded behind each axis by replication as the server does.
    labels : (D, H, W) ndarray of uint8
    ill : float
        1 with a finding, 0 without, `UNKNOWN` where it was cut off.
    kind : str
        The finding's; empty without.
    difficulty : str
        The finding's; empty without.
    seed : int
        Of the patient.
    scanner : str
        Name of the profile.
    """

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    ill: float
    kind: str
    difficulty: str
    seed: int
    scanner: str


@dataclass(frozen=True)
class View:
    """How a network looks at a box.

    Attributes
    ----------
    box : Box
    spacing_mm : three float
        The grid, ``[recipe.grid]`` of the manifest.
    multiple : int
        Axes are padded to multiples of it.
    paint : callable
        Gives the labels.
    cut : two float
        Share of boxes that the end of the scan cuts in z, and the largest part that it cuts off.
    """

    box: Box
    spacing_mm: tuple[float, float, float]
    multiple: int
    paint: Painter
    cut: tuple[float, float] = (0.1, 0.35)

    def look(
        self,
        case: Case,
        variant: Variant,
        rng: np.random.Generator,
        *,
        varied: bool = True,
        profile: ScannerProfile | None = None,
    ) -> RoiSample:
        """Scan a box of a scene.

        Parameters
        ----------
        case, variant
            From a `networks.scenes.ScenePool`.
        rng : Generator
            Draws the scan and the place.
        varied : bool
            Also change scale and cut the scan short, as training does.
        profile : ScannerProfile, optional
            The scanner; one of those for training is drawn by default.
        """
        scene = case.scene(variant)
        low, high = self._corners(case, rng, cut=varied and rng.random() < self.cut[0])
        spacing = np.asarray(self.spacing_mm)
        if varied:
            through, within = 1 + rng.uniform(-SCALE, SCALE, 2)
            spacing = spacing * (through, within, within)
        grid = RegionGrid.over(low, high, spacing)
        seen = [profile for profile in PROFILES.values() if not profile.unseen]
        drawn = seen[rng.integers(len(seen))]
        profile = profile or drawn
        few, many = DOSES
        dose = few * (many / few) ** rng.random()
        hu = acquire_region(
            scene,
            profile,
            rng,
            grid,
            kernel=str(rng.choice(list(KERNEL_SHARES), p=list(KERNEL_SHARES.values()))),
            thickness_mm=float(rng.choice(THICKNESSES_MM)),
            # the noise is that of the whole patient, of whom the scene is a part
            dose=dose * (size_factor(scene.hu, scene.spacing_mm) / case.size) ** 2,
        )
        hu += np.float32(rng.uniform(-SHIFT_HU, SHIFT_HU))
        labels = self.paint(tissues_on(case, grid.axes), variant.lesions, grid.axes)
        findings = [lesion for lesion in variant.lesions if lesion.is_finding]
        main = [lesion for lesion in findings if "sign" not in lesion.extra]
        finding = main[0] if main else None
        ill = 0.0
        if finding is not None:
            ill = 1.0 if part_within(main, low, high) >= SEEN_PART else UNKNOWN
        return RoiSample(
            hu=self._padded(np.clip(np.rint(hu), -1024, 3071).astype(np.int16)),
            labels=self._padded(labels),
            ill=ill,
            kind=finding.kind if finding else "",
            difficulty=(finding.difficulty or "") if finding else "",
            seed=case.seed,
            scanner=profile.name,
        )

    def _corners(
        self, case: Case, rng: np.random.Generator, *, cut: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw the corners of the box, within the scan, LPS mm."""
        low, high = case.organ_mm
        bottom, top = case.extent_mm
        margin = np.asarray(self.box.margin_mm)
        first = np.maximum(low - margin - rng.uniform(*JITTER_MM, 3), bottom)
        last = np.minimum(high + margin + rng.uniform(*JITTER_MM, 3), top)
        if cut:
            part = rng.uniform(LEAST_CUT, self.cut[1]) * (high[0] - low[0])
            if rng.random() < 0.5:
                first[0] = low[0] + part
            else:
                last[0] = high[0] - part
        return first, last

    def _padded(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        missing = [(0, -size % self.multiple) for size in values.shape]
        return np.pad(values, missing, mode="edge")


def tissues_on(case: Case, axes: Axes) -> NDArray[np.uint8]:
    """Return the nearest tissue for every voxel of a grid."""
    index = [
        np.clip(np.rint((axis - low) / case.spacing_mm).astype(int), 0, count - 1)
        for axis, low, count in zip(axes, case.origin_mm, case.tissues.shape, strict=True)
    ]
    return case.tissues[np.ix_(*index)]


def part_within(
    lesions: Sequence[Lesion], low_mm: NDArray[np.float64], high_mm: NDArray[np.float64]
) -> float:
    """Return how much of the volume of some lesions lies in a box."""
    held = whole = 0.0
    for lesion in lesions:
        inside = [
            np.flatnonzero((axis >= low) & (axis <= high))
            for axis, low, high in zip(lesion.grid.axes, low_mm, high_mm, strict=True)
        ]
        part = np.count_nonzero(lesion.mask[np.ix_(*inside)])
        held += part * lesion.grid.spacing_mm**3
        whole += lesion.volume_mm3
    return held / whole if whole else 0.0


class RoiSampler:
    """The boxes of one training, by number.

    Parameters
    ----------
    pool : ScenePool
    view : View
    seed : int
        Of the training.
    first_seed : int
        Of the pool's patients.
    first, size, every : int
        There are `first` patients at sample 0 and one more every `every` samples, up to `size`.
    """

    def __init__(
        self,
        pool: ScenePool,
        view: View,
        seed: int,
        *,
        first_seed: int,
        first: int,
        size: int,
        every: int,
    ) -> None:
        self.pool, self.view, self.seed = pool, view, seed
        self.first_seed, self.first, self.size, self.every = first_seed, first, size, every

    def sample(self, number: int) -> RoiSample:
        """Return a box; every second one is ill where the patient has room for a lesion."""
        rng = np.random.default_rng((self.seed, number))
        known = min(self.size, self.first + number // self.every)
        case = self._case(rng, known)
        fitting = [x for x in case.variants if x.ill == bool(number % 2)] or list(case.variants)
        return self.view.look(case, fitting[rng.integers(len(fitting))], rng)

    def _case(self, rng: np.random.Generator, known: int) -> Case:
        """Draw a patient among the first; in a few the organ is not to be seen."""
        while True:
            try:
                return self.pool.get(self.first_seed + int(rng.integers(known)))
            except NoPlaceError:
                continue


def padded_multiple(multiple: Triple) -> int:
    """Return the one multiple that a recipe's grid has for all axes."""
    return int(np.lcm.reduce(multiple))
