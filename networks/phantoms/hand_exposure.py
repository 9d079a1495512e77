"""What an X-ray system makes of an attenuation: noise, blur, tone, shutter and lead letter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from networks.phantoms.hand_xray import Floats, View

Bools = npt.NDArray[np.bool_]

VEIL_MM = 12.0
"""SD of the spread of scattered radiation."""

SHARPENED_MM = 1.2
"""SD of the Gaussian that an unsharp mask takes off."""

TONE_QUANTILES = (0.02, 0.998)
"""Of the exposed image; what they are becomes black and white."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What a system makes of the attenuation."""

    photons: float
    """Behind air, for each mm²."""

    scatter: float
    blur_mm: float
    """SD of the point spread."""

    sharpening: float
    """Share of an unsharp mask that is added."""

    gamma: float
    contrast: float
    """Slope of the tone curve's middle; 0 is straight."""

    bits: int
    monochrome1: bool
    collimation: str
    """``none``, ``black`` (a shutter) or ``white`` (not exposed)."""

    border_mm: tuple[float, float, float, float]
    """Width at top, bottom, left, right."""

    marker: bool
    """Whether a lead letter for the side lies in the image."""


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw a system and its settings."""
    collimation = str(rng.choice(["none", "black", "white"], p=[0.45, 0.35, 0.2]))
    border = rng.uniform(3.0, 14.0, 4) * (rng.random(4) < 0.75)
    return Exposure(
        photons=float(np.exp(rng.uniform(np.log(5e4), np.log(4e5)))),
        scatter=float(rng.uniform(0.01, 0.06)),
        blur_mm=float(rng.uniform(0.1, 0.3)),
        sharpening=float(rng.uniform(0.0, 0.9)),
        gamma=float(rng.uniform(0.5, 1.1)),
        contrast=float(rng.uniform(0.0, 4.0)),
        bits=int(rng.choice([10, 12, 14])),
        monochrome1=bool(rng.random() < 0.35),
        collimation=collimation,
        border_mm=(float(border[0]), float(border[1]), float(border[2]), float(border[3])),
        marker=bool(rng.random() < 0.7),
    )


def expose(attenuated: Floats, view: View, exposure: Exposure, rng: np.random.Generator) -> Floats:
    """Make an image for presentation: 0 black, 1 white, bone bright, (R, C)."""
    step = view.spacing_mm
    through = np.exp(-attenuated)
    signal = (1 - exposure.scatter) * through + exposure.scatter * _veil(through, step)
    signal = ndimage.gaussian_filter(signal, exposure.blur_mm / step, truncate=3)
    counts = exposure.photons * step**2
    noise = rng.standard_normal(view.shape, dtype=np.float32)
    signal += np.sqrt(np.maximum(signal, 0) / np.float32(counts)) * noise
    film = -np.log(np.maximum(signal, 1e-3))
    if exposure.sharpening:
        soft = ndimage.gaussian_filter(film, SHARPENED_MM / step)
        film += np.float32(exposure.sharpening) * (film - soft)
    every = max(1, round(1 / step))
    low, high = np.quantile(film[::every, ::every], TONE_QUANTILES)
    return _tone((film - low) / max(high - low, 1e-3), exposure)


def _veil(through: Floats, step_mm: float) -> Floats:
    """Return scattered radiation: what comes through, far blurred, (R, C)."""
    every = max(1, round(2 / step_mm))
    coarse = ndimage.gaussian_filter(through[::every, ::every], VEIL_MM / (every * step_mm))
    factors = [n / m for n, m in zip(through.shape, coarse.shape)]
    veil: Floats = ndimage.zoom(coarse, factors, order=1, mode="nearest", grid_mode=True)
    return veil


def _tone(value: Floats, exposure: Exposure) -> Floats:
    """Apply the tone curve: a power, then an S whose ends are 0 and 1."""
    value = np.clip(value, 0, 1.04) / np.float32(1.04)
    value = value ** np.float32(exposure.gamma)
    if exposure.contrast > 0.05:
        k = np.float32(exposure.contrast)
        low, high = 1 / (1 + np.exp(0.5 * k)), 1 / (1 + np.exp(-0.5 * k))
        value = (1 / (1 + np.exp(k * (0.5 - value))) - low) / (high - low)
    toned: Floats = np.clip(value, 0, 1).astype(np.float32)
    return toned


LETTERS = {
    "L": ("10000", "10000", "10000", "10000", "10000", "10000", "11111"),
    "R": ("11110", "10001", "10001", "11110", "10100", "10010", "10001"),
}
"""Lead letters, five by seven."""

LETTER_MM = 7.0


def mark_side(image: Floats, view: View, letter: str, rng: np.random.Generator) -> None:
    """Lay a lead letter into an upper corner, in place."""
    pixels = np.array([[c == "1" for c in row] for row in LETTERS[letter]], np.float32)
    scale = LETTER_MM / len(pixels) / view.spacing_mm
    glyph = ndimage.zoom(pixels, scale, order=0, grid_mode=True, mode="nearest")
    high, wide = glyph.shape
    if view.mirrored:
        glyph = glyph[:, ::-1] if rng.random() < 0.5 else glyph
    edge = round(16 / view.spacing_mm)
    row = min(edge, image.shape[0] - high)
    left = rng.random() < 0.5
    column = edge if left else image.shape[1] - edge - wide
    column = max(0, min(column, image.shape[1] - wide))
    spot = image[row : row + high, column : column + wide]
    np.maximum(spot, np.float32(0.97) * glyph, out=spot)


def collimate(image: Floats, view: View, exposure: Exposure) -> Bools:
    """Cover the borders, in place; returns where, (R, C)."""
    covered = np.zeros(view.shape, bool)
    if exposure.collimation == "none":
        return covered
    top, bottom, left, right = (round(mm / view.spacing_mm) for mm in exposure.border_mm)
    covered[:top] = covered[view.shape[0] - bottom :] = True
    covered[:, :left] = covered[:, view.shape[1] - right :] = True
    image[covered] = 0.0 if exposure.collimation == "black" else 1.0
    return covered
