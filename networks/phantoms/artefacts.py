"""Rings, streaks, metal and a truncated field of view, as what they add to a reconstructed slice.

Each is drawn from a seed and worked out at any places in the axial plane, so that a whole scan and
a box on a network's grid show the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue

FloatArray = npt.NDArray[np.float32]

ARTEFACTS = ("ring", "streak", "metal", "truncation")
"""What can be asked for."""

METAL_HU = 7000.0
"""Of the metal itself; stored values end at 3071."""

HARDENING_HU_PER_MM = 140.0
"""Shortfall of a projection, HU mm, over the square of the path in metal, mm²: a tenth on 5 mm. A
hardened beam passes more easily."""

STARVATION_HU = 300.0
"""SD of the noise of a projection, HU mm, over the path in metal, mm."""

ANGLES = 180
"""Projections over half a turn; enough for streaks on a 1 mm grid 200 mm around the metal."""

RIM_MM = 9.0
"""Depth at which the bright rim of a truncated body has fallen to 1/e."""


@dataclass(frozen=True)
class Metal:
    """A rod along the table's axis."""

    y_mm: float
    x_mm: float
    radius_mm: float
    z_mm: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Artefacts:
    """What is wrong with the images of one scan; HU amplitudes, 0 for none."""

    seed: int = 0
    ring_hu: float = 0.0
    """SD of the rings' amplitudes."""
    streak_hu: float = 0.0
    """SD of streaks from side to side where the body is widest."""
    truncation_hu: float = 0.0
    """Brightening at the edge of the field where the body goes on beyond it."""
    metal: tuple[Metal, ...] = ()


class ArtefactField:
    """The artefacts of a scan at the places of one plane.

    Parameters
    ----------
    artefacts : Artefacts
        What there is.
    y_mm, x_mm : (R,) and (C,) ndarray
        Places, patient mm.
    centre_mm : (y, x) tuple of float
        Middle of the field of view.
    radius_mm : float
        Of the field of view.
    width_mm : float
        Of a voxel; nothing narrower is shown.
    """

    def __init__(
        self,
        artefacts: Artefacts,
        y_mm: npt.NDArray[np.floating],
        x_mm: npt.NDArray[np.floating],
        centre_mm: tuple[float, float],
        radius_mm: float,
        width_mm: float,
    ) -> None:
        self._artefacts = artefacts
        self._y, self._x = (
            np.asarray(axis, np.float32) - np.float32(c)
            for axis, c in zip((y_mm, x_mm), centre_mm, strict=True)
        )
        self._width_mm = width_mm
        radius = np.hypot(self._y[:, None], self._x[None, :])
        self._ring = self._rings(radius) if artefacts.ring_hu else None
        self._rim = (
            np.exp(np.minimum(radius - radius_mm, 0) / RIM_MM) * artefacts.truncation_hu
            if artefacts.truncation_hu
            else None
        )
        self._metal = [
            (_rods(group, y_mm, x_mm, width_mm, artefacts.seed), group[0].z_mm)
            for group in _by_range(artefacts.metal)
        ]

    def at(self, z_mm: float, body: FloatArray) -> FloatArray:
        """Return what is added to the slice at a place along the table.

        Parameters
        ----------
        z_mm : float
            Patient mm.
        body : (R, C) ndarray of float32
            How deep in the body a voxel lies, 0 to 1.
        """
        added = np.zeros(body.shape, np.float32)
        if self._ring is not None:
            rng = np.random.default_rng([self._artefacts.seed, 11])
            phase, period = rng.uniform(0, 6.28), rng.uniform(15, 60)
            added += self._ring * np.float32(0.65 + 0.35 * np.sin(phase + z_mm / period))
        if self._artefacts.streak_hu:
            added += self._streaks(z_mm) * body
        if self._rim is not None:
            added += self._rim * np.clip(2 * body - 0.4, 0, 1)
        for image, (low, high) in self._metal:
            if low <= z_mm <= high:
                added += image
        return added

    def _rings(self, radius: FloatArray) -> FloatArray:
        """Return rings of single detector elements around the middle."""
        rng = np.random.default_rng([self._artefacts.seed, 10])
        table = np.zeros(3000, np.float32)  # every 0.1 mm
        for _ in range(int(rng.integers(3, 9))):
            place, height = rng.uniform(4, 130), rng.normal(0, self._artefacts.ring_hu)
            table[int(place * 10) :][: int(rng.uniform(7, 14))] += height
        # a ring of a given error in the projections fades with its radius
        table *= 1 / np.sqrt(1 + np.arange(3000) / 300, dtype=np.float32)
        table = ndimage.gaussian_filter1d(table, max(3.0, 4.0 * self._width_mm))
        return np.interp(radius, 0.1 * np.arange(3000), table).astype(np.float32)

    def _streaks(self, z_mm: float) -> FloatArray:
        """Return streaks from side to side, drawn anew every 2 mm along the table."""
        rng = np.random.default_rng([self._artefacts.seed, 12, int(z_mm // 2) + 5000])
        total = np.zeros((len(self._y), len(self._x)), np.float32)
        for angle in rng.normal(0, 0.05, 3):
            table = ndimage.gaussian_filter1d(
                rng.standard_normal(1200).astype(np.float32), max(1.6, 0.9 * self._width_mm)
            )
            place = self._y[:, None] * np.cos(angle) + self._x[None, :] * np.sin(angle)
            total += np.interp(place, np.arange(-600, 600), table / table.std())
        return total * np.float32(self._artefacts.streak_hu / np.sqrt(3))


def draw_artefacts(names: Sequence[str], scene: Scene, seed: int) -> Artefacts:
    """Draw how strong each of some artefacts is, and where metal lies.

    Parameters
    ----------
    names : sequence of str
        Of `ARTEFACTS`.
    scene : Scene
        Metal goes into its vertebrae: two screws side by side.
    seed : int
        Draws everything.

    Raises
    ------
    ValueError
        For a name that does not exist.
    """
    for name in names:
        if name not in ARTEFACTS:
            raise ValueError(f"no artefact {name!r}; there are {', '.join(ARTEFACTS)}")
    rng = np.random.default_rng([seed, 9])
    ring, streak, rim = rng.uniform(25, 60), rng.uniform(4, 11), rng.uniform(60, 160)
    return Artefacts(
        seed=seed,
        ring_hu=float(ring) if "ring" in names else 0.0,
        streak_hu=float(streak) if "streak" in names else 0.0,
        truncation_hu=float(rim) if "truncation" in names else 0.0,
        metal=_screws(scene, rng) if "metal" in names else (),
    )


def _screws(scene: Scene, rng: np.random.Generator) -> tuple[Metal, ...]:
    depth = scene.depth_mm(Tissue.VERTEBRA_MARROW)
    slices = np.flatnonzero(depth.max(axis=(1, 2)) > 7)
    if not slices.size:
        return ()
    n = int(rng.choice(slices))
    row, column = np.unravel_index(depth[n].argmax(), depth[n].shape)
    place = scene.origin_mm + np.array([n, row, column]) * scene.spacing_mm
    z = (float(place[0] - rng.uniform(2, 5)), float(place[0] + rng.uniform(2, 5)))
    apart = rng.uniform(13, 17)
    return tuple(
        Metal(float(place[1] + 14), float(place[2] + side * apart), float(rng.uniform(2.2, 3.2)), z)
        for side in (-1, 1)
    )


def _by_range(metal: Sequence[Metal]) -> list[list[Metal]]:
    """Group what lies in the same slices: its streaks are made together."""
    groups: dict[tuple[float, float], list[Metal]] = {}
    for rod in metal:
        groups.setdefault(rod.z_mm, []).append(rod)
    return list(groups.values())


def _rods(
    rods: Sequence[Metal], y_mm: npt.NDArray[np.floating], x_mm: npt.NDArray[np.floating],
    width_mm: float, seed: int,
) -> FloatArray:  # fmt: skip
    """Return rods and their streaks.

    These are what filtered back-projection makes of projections that are too low behind metal, and
    noisy.
    """
    middle = np.mean([[rod.y_mm, rod.x_mm] for rod in rods], axis=0)
    y, x = (np.asarray(axis, np.float64) - m for axis, m in zip((y_mm, x_mm), middle))
    rng = np.random.default_rng([seed, 13])
    offsets = np.arange(-512.0, 512.0)
    f = np.fft.fftfreq(len(offsets))
    ramp = np.abs(f) * np.cos(np.pi * f) ** 2
    image = np.zeros((len(y), len(x)))
    for angle in np.arange(ANGLES) * np.pi / ANGLES:
        path = np.zeros_like(offsets)
        for rod in rods:
            along = (rod.x_mm - middle[1]) * np.cos(angle) + (rod.y_mm - middle[0]) * np.sin(angle)
            path += 2 * np.sqrt(np.clip(rod.radius_mm**2 - (offsets - along) ** 2, 0, None))
        wrong = path * (STARVATION_HU * rng.standard_normal(len(path)) - HARDENING_HU_PER_MM * path)
        filtered = np.fft.ifft(np.fft.fft(wrong) * ramp).real
        place = x[None, :] * np.cos(angle) + y[:, None] * np.sin(angle)
        image += np.interp(place, offsets, filtered)
    image *= np.pi / ANGLES
    for rod in rods:
        distance = np.hypot(y[:, None] + middle[0] - rod.y_mm, x[None, :] + middle[1] - rod.x_mm)
        image += METAL_HU * np.clip(0.5 - (distance - rod.radius_mm) / width_mm, 0, 1)
    return image.astype(np.float32)
