"""X-rays through a hand: what is attenuated along the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.hand import Hand
from networks.phantoms.hand_shapes import Flesh, Lump, Tube

Floats = npt.NDArray[np.float32]

FLESH_PER_MM = 0.024
"""Attenuation of soft tissue at 50 to 60 kV, 1/mm."""

MARROW_PER_MM = 0.038
"""Of spongy bone with its marrow."""

CORTEX_PER_MM = 0.125
"""Of compact bone."""

LINE_MM = 0.45
"""Thickness of the dense line at the end of a shaft."""

FLESH_STEP_MM = 1.0
"""Grid on which soft tissue is drawn: it has no finer detail than its edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a hand lies on a detector."""

    spacing_mm: float
    shape: tuple[int, int]
    """Rows, columns."""

    origin: tuple[float, float]
    """Row and column under the middle of the wrist's joint, in mm."""

    rotation: float = 0.0
    """Radians; positive turns the fingers to the right."""

    mirrored: bool = False
    """A right hand, or an image turned over."""

    def axes(self, step_mm: float | None = None) -> tuple[Floats, Floats]:
        """Return x and y of the hand for every pixel of the image, mm.

        Parameters
        ----------
        step_mm : float, optional
            Of another grid over the same image.
        """
        step = step_mm or self.spacing_mm
        high, wide = (round(n * self.spacing_mm / step) for n in self.shape)
        down = (np.arange(high, dtype=np.float32) + 0.5) * step - self.origin[0]
        right = (np.arange(wide, dtype=np.float32) + 0.5) * step - self.origin[1]
        if self.mirrored:
            right = -right
        turn = -self.rotation if self.mirrored else self.rotation
        cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
        up, right = -down[:, None], right[None, :]
        return cos * right - sin * up, sin * right + cos * up

    def pixels(
        self, points: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return rows and columns of (n, 2) places of the hand, x and y in mm."""
        turn = -self.rotation if self.mirrored else self.rotation
        right = np.cos(turn) * points[:, 0] + np.sin(turn) * points[:, 1]
        up = np.cos(turn) * points[:, 1] - np.sin(turn) * points[:, 0]
        if self.mirrored:
            right = -right
        return (self.origin[0] - up) / self.spacing_mm, (right + self.origin[1]) / self.spacing_mm


def attenuation(hand: Hand, view: View, rng: np.random.Generator) -> Floats:
    """Return the attenuation along the beam, the natural logarithm, (R, C)."""
    x, y = view.axes()
    total = _flesh(hand, view)
    bone = np.zeros(view.shape, np.float32)
    for one in hand.bones:
        if isinstance(one, Tube):
            _add_tube(bone, x, y, one, view)
        else:
            _add_lump(bone, x, y, one, view)
    bone *= _texture(view, rng)
    # marrow and cortex stand where flesh was
    total += np.float32(hand.density) * bone * np.float32(1 - FLESH_PER_MM / MARROW_PER_MM * 0.55)
    return total


def _texture(view: View, rng: np.random.Generator) -> Floats:
    """Return the unevenness of spongy bone, near 1."""
    noise = rng.standard_normal(view.shape, dtype=np.float32)
    out = np.ones(view.shape, np.float32)
    for size_mm, sd in ((0.45, 0.05), (1.6, 0.035)):
        sigma = size_mm / view.spacing_mm
        if sigma < 0.35:
            continue
        smooth = ndimage.gaussian_filter(noise, sigma, truncate=2.5)
        out += np.float32(sd / max(float(smooth.std()), 1e-6)) * smooth
    return out


def _window(view: View, corners: npt.NDArray[np.float64]) -> tuple[slice, slice] | None:
    """Return the rows and columns that hold a polygon of hand coordinates; None where none do."""
    rows, columns = view.pixels(corners)
    parts = []
    for places, size in zip((rows, columns), view.shape):
        first, last = max(0, int(places.min()) - 1), min(size, int(places.max()) + 3)
        if first >= last:
            return None
        parts.append(slice(first, last))
    return parts[0], parts[1]


def _box(
    middle: npt.ArrayLike, way: npt.NDArray[np.float64], along: float, across: float
) -> npt.NDArray[np.float64]:
    side = np.array([way[1], -way[0]])
    return np.array(
        [np.asarray(middle) + a * along * way + b * across * side for a in (-1, 1) for b in (-1, 1)]
    )


def _add_tube(bone: Floats, x: Floats, y: Floats, tube: Tube, view: View) -> None:
    way = np.array([np.sin(tube.angle), np.cos(tube.angle)])
    start = np.asarray(tube.start)
    widest = max(tube.half_widths)
    middle_of = start + way * tube.length / 2
    part = _window(view, _box(middle_of, way, tube.length / 2, widest))
    if part is None:
        return
    dx, dy = x[part] - np.float32(start[0]), y[part] - np.float32(start[1])
    t = dx * np.float32(way[0]) + dy * np.float32(way[1])
    u = dx * np.float32(way[1]) - dy * np.float32(way[0])
    length = np.float32(tube.length)
    first, middle, last = (np.float32(w) for w in tube.half_widths)
    reach = np.float32(min(0.34 * tube.length, 3.2 * widest))
    half = (
        middle
        + (first - middle) * np.exp(-((np.maximum(t, 0) / reach) ** 1.6))
        + (last - middle) * np.exp(-((np.maximum(length - t, 0) / reach) ** 1.6))
    )
    for cap, away in ((tube.caps[0], t), (tube.caps[1], length - t)):
        inside = np.clip((np.float32(cap) - away) / np.float32(max(cap, 1e-3)), 0, 1)
        half = half * (1 - inside**2.4) ** np.float32(1 / 2.4)
    half = np.where((t >= 0) & (t <= length), half, 0).astype(np.float32)
    # a cortex is thickest in the middle of a shaft
    share = np.clip(1 - np.abs(t / length - 0.5) * 2, 0, 1)
    cortex = np.float32(tube.cortex) * (0.28 + 0.72 * np.sqrt(share))
    outer = _chord(half, u, tube.depth)
    inner = np.minimum(_chord(np.maximum(half - cortex, 0), u, tube.depth), outer)
    here = np.float32(CORTEX_PER_MM) * (outer - inner) + np.float32(MARROW_PER_MM) * inner
    for line, away in ((tube.lines[0], t), (tube.lines[1], length - t)):
        edge = np.exp(-((away - 0.5) ** 2) / np.float32(2 * 0.45**2)) * (outer > 0)
        here += np.float32(line * LINE_MM * CORTEX_PER_MM * 2.4) * edge
    bone[part] = np.maximum(bone[part], here) + 0.25 * np.minimum(bone[part], here)


def _chord(half: Floats, u: Floats, depth: float) -> Floats:
    """Return how much of a round rod lies above a point, mm."""
    chord: Floats = np.float32(2 * depth) * np.sqrt(np.maximum(half * half - u * u, 0))
    return chord


def _add_lump(bone: Floats, x: Floats, y: Floats, lump: Lump, view: View) -> None:
    way = np.array([np.sin(lump.angle), np.cos(lump.angle)])
    across, along = lump.half_widths
    size = 1.15 * max(across, along)
    part = _window(view, _box(lump.centre, way, size, size))
    if part is None or min(across, along) <= 0:
        return
    dx, dy = x[part] - np.float32(lump.centre[0]), y[part] - np.float32(lump.centre[1])
    t = (dx * np.float32(way[0]) + dy * np.float32(way[1])) / np.float32(along)
    u = (dx * np.float32(way[1]) - dy * np.float32(way[0])) / np.float32(across)
    p = np.float32(lump.squareness)
    radius = (np.abs(t) ** p + np.abs(u) ** p) ** (1 / p)
    two, phase_two, three, phase_three = lump.waves
    if two or three:
        turn = np.arctan2(u, t)
        radius = radius / (
            1 + two * np.cos(2 * turn + phase_two) + three * np.cos(3 * turn + phase_three)
        ).astype(np.float32)
    smaller = min(across, along)
    outer = np.float32(lump.thick) * np.sqrt(np.maximum(1 - radius**2, 0))
    shrunk = max(0.0, 1 - lump.rim / smaller)
    inner = np.zeros_like(outer)
    if shrunk > 0:
        inner = np.float32(max(0.0, lump.thick - 2 * lump.rim)) * np.sqrt(
            np.maximum(1 - (radius / np.float32(shrunk)) ** 2, 0)
        )
    here = np.float32(CORTEX_PER_MM) * (outer - inner) + np.float32(MARROW_PER_MM) * inner
    bone[part] = np.maximum(bone[part], here) + 0.45 * np.minimum(bone[part], here)


def _flesh(hand: Hand, view: View) -> Floats:
    """Return the attenuation of soft tissue, (R, C)."""
    step = max(FLESH_STEP_MM, view.spacing_mm)
    x, y = view.axes(step)
    thick = np.zeros(x.shape, np.float32)
    for strip in hand.flesh:
        thick = _melt(thick, _strip(strip, x, y), 3.0 * hand.child.size)
    thick = ndimage.gaussian_filter(thick, 0.7 / step)
    factors = [n / m for n, m in zip(view.shape, thick.shape)]
    fine = ndimage.zoom(thick, factors, order=1, mode="nearest", grid_mode=True)
    return np.float32(FLESH_PER_MM) * fine


def _melt(one: Floats, other: Floats, width: float) -> Floats:
    """Return the larger of two thicknesses, without a crease."""
    near = np.maximum(np.float32(width) - np.abs(one - other), 0) * ((one > 0) & (other > 0))
    melted: Floats = np.maximum(one, other) + near * near / np.float32(4 * width)
    return melted


def _strip(strip: Flesh, x: Floats, y: Floats) -> Floats:
    start, end = np.asarray(strip.start), np.asarray(strip.end)
    way = end - start
    square = float(way @ way) or 1.0
    dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((dx * np.float32(way[0]) + dy * np.float32(way[1])) / np.float32(square), 0, 1)
    away = (dx - t * np.float32(way[0])) ** 2 + (dy - t * np.float32(way[1])) ** 2
    radius = np.float32(strip.radii[0]) + t * np.float32(strip.radii[1] - strip.radii[0])
    thick: Floats = np.float32(2 * strip.depth) * np.sqrt(np.maximum(radius * radius - away, 0))
    return thick


def frame_hand(
    hand: Hand, spacing_mm: float, rng: np.random.Generator, *, mirrored: bool = False
) -> View:
    """Lay a hand on a detector so that all of it is seen, with a part of the forearm."""
    rotation = float(rng.normal(0.0, 0.14))
    size = hand.child.size
    points = np.array([*hand.tips, (-34 * size, 0.0), (34 * size, 0.0), (0.0, -22.0 * size)])
    cos, sin = np.cos(rotation), np.sin(rotation)
    right = points[:, 0] * cos + points[:, 1] * sin
    up = points[:, 1] * cos - points[:, 0] * sin
    if mirrored:
        right = -right
    top, bottom, left, beyond = rng.uniform(14.0, 34.0, 4)
    bottom = rng.uniform(0.0, 22.0)
    high = up.max() - up.min() + top + bottom
    wide = right.max() - right.min() + left + beyond
    return View(
        spacing_mm=spacing_mm,
        shape=(round(high / spacing_mm), round(wide / spacing_mm)),
        origin=(float(up.max() + top), float(left - right.min())),
        rotation=-rotation if mirrored else rotation,
        mirrored=mirrored,
    )
