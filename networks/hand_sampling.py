"""Hand radiographs as a network sees them: drawn on its own grid, without a detector in between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from networks.phantoms.hand import draw_hand
from networks.phantoms.hand_exposure import collimate, draw_exposure, expose, mark_side
from networks.phantoms.hand_growth import CENTRES, SEXES, Child, draw_child
from networks.phantoms.hand_xray import Floats, View, attenuation, frame_hand
from preprocess.window import ends_at, window

FINER = 2
"""A hand is drawn on a grid so many times finer and averaged."""

VARIANTS = 4
"""Images of one drawn hand."""

BLOCK = 64
"""So many hands are taken in turn, so that neighbours in a batch are different."""

SHARES = {"left": 0.68, "mirrored": 0.16, "unfit": 0.16}
"""How often an image is what."""

UNFIT = ("upside_down", "two_hands", "cut", "no_hand")
"""What is not one whole hand with its fingers up."""

WIDE_SHARE = 0.25
"""Share of images with a field much larger than the hand."""

WIDE_MM = 70.0

SEX_MISSING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class HandSample:
    """One image and what is true of it."""

    image: Floats
    """(H, W), 0 to 1, on the network's grid."""

    child: Child
    kind: str
    """left, mirrored or unfit."""

    sex: float
    """0 F, 1 M, NaN where it is not told."""

    places: Floats
    """(centres, 2) row and column, pixels, of each of `CENTRES` where it is one hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandSampler:
    """Draws samples by number."""

    spacing_mm: float
    percentiles: tuple[float, float]
    first_seed: int
    seed: int = 0
    """Of the run."""

    variants: int = VARIANTS
    usual: bool = False
    """Only left hands whose patient's sex is known."""

    def sample(self, number: int) -> HandSample:
        """Draw a sample, the same for the same number."""
        block, place = divmod(number, BLOCK * self.variants)
        child_seed = self.first_seed + block * BLOCK + place % BLOCK
        child, drawn, view, places = _drawn(child_seed, self.spacing_mm)
        rng = np.random.default_rng([self.seed, number, 7])
        kind = "left" if self.usual else str(rng.choice(list(SHARES), p=list(SHARES.values())))
        if kind == "mirrored":
            drawn, view = drawn[:, ::-1], replace(view, mirrored=True)
            places = np.stack([places[:, 0], drawn.shape[1] - places[:, 1]], axis=1)
        elif kind == "unfit":
            drawn = _spoilt(drawn, str(rng.choice(UNFIT)), rng)
        if rng.random() < WIDE_SHARE:
            around = (rng.uniform(0, WIDE_MM, 4) / self.spacing_mm).astype(int)
            # the forearm goes on to the lower border
            drawn = np.pad(drawn, ((around[0], 0), (around[2], around[3])))
            places = places + np.float32([around[0], around[2]])
        view = replace(view, shape=drawn.shape)
        exposure = draw_exposure(rng)
        image = expose(np.ascontiguousarray(drawn), view, exposure, rng)
        if exposure.marker:
            mark_side(image, view, "LR"[kind == "mirrored"], rng)
        collimate(image, view, exposure)
        told = self.usual or rng.random() >= SEX_MISSING
        low, high = ends_at(image, self.percentiles)
        return HandSample(
            image=window(image, low_hu=low, high_hu=high),
            child=child,
            kind=kind,
            sex=float(SEXES.index(child.sex)) if told else float("nan"),
            places=places,
        )


@lru_cache(maxsize=BLOCK)
def _drawn(seed: int, spacing_mm: float) -> tuple[Child, Floats, View, Floats]:
    """Draw a child's hand and X-ray it onto a grid."""
    child = draw_child(seed)
    hand = draw_hand(child)
    rng = np.random.default_rng([seed, 5])
    fine = frame_hand(hand, spacing_mm / FINER, rng)
    shape = (fine.shape[0] // FINER, fine.shape[1] // FINER)
    fine = replace(fine, shape=(shape[0] * FINER, shape[1] * FINER))
    full = attenuation(hand, fine, rng)
    drawn = full.reshape(shape[0], FINER, shape[1], FINER).mean(axis=(1, 3))
    drawn.flags.writeable = False
    view = replace(fine, spacing_mm=spacing_mm, shape=shape)
    places = np.stack(view.pixels(np.array([hand.places[name] for name in CENTRES])), axis=1)
    return child, drawn, view, places.astype(np.float32)


def _spoilt(drawn: npt.NDArray[Any], how: str, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Make what is not one whole hand with its fingers up."""
    high = len(drawn)
    if how == "upside_down":
        return drawn[::-1, ::-1]
    if how == "two_hands":
        gap = np.zeros((high, int(rng.integers(0, 12))), drawn.dtype)
        return np.concatenate([drawn[:, ::-1], gap, drawn], axis=1)
    if how == "cut":
        share = rng.uniform(0.4, 0.6)
        return drawn[int(share * high) :] if rng.random() < 0.5 else drawn[: int(share * high)]
    return _limb(drawn.shape, rng)


def spoilt_image(
    image: npt.NDArray[np.int16], how: str, rng: np.random.Generator
) -> npt.NDArray[np.int16]:
    """Spoil a whole radiograph as `UNFIT` says, (R, C) with bone bright."""
    if how != "no_hand":
        return np.ascontiguousarray(_spoilt(image, how, rng))
    through = 1 - np.exp(-_limb(image.shape, rng))
    return (through * np.iinfo(np.int16).max).astype(np.int16)


def _limb(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Draw two long bones in flesh, with or without a joint, or nothing."""
    high, wide = shape
    row, column = np.mgrid[0:high, 0:wide].astype(np.float32)
    slant = np.float32(rng.uniform(-0.2, 0.2))
    across = (column - wide / 2 - slant * (row - high / 2)) / wide
    thick = np.sqrt(np.maximum(0.1 * rng.uniform(0.5, 1.6) - across**2, 0)).astype(np.float32)
    out = np.float32(rng.uniform(1.5, 3.5)) * thick
    joint = rng.uniform(0.2, 0.8) * high if rng.random() < 0.6 else -10.0
    for place in rng.uniform(-0.16, 0.16, int(rng.integers(0, 3))):
        flare = 0.05 + 0.04 * np.exp(-np.abs(row - joint) / 25)
        bone = np.sqrt(np.maximum(flare**2 - (across - place) ** 2, 0))
        out = out + np.float32(9.0) * (bone * (np.abs(row - joint) > 2)).astype(np.float32)
    return out.astype(np.float32)


def fitted(
    image: Floats, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Floats, tuple[int, int]]:
    """Lay an image somewhere on a black canvas, or cut what is too large, so that images batch.

    Parameters
    ----------
    image : (H, W) ndarray of float32
    shape : (rows, columns)
    rng : Generator

    Returns
    -------
    canvas, inside : (rows, columns) ndarray of float32
        The second is 1 where the image is.
    shift : (rows, columns)
        Where the image's first pixel lies on the canvas; negative where it is cut off.
    """
    canvas, inside = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    source, target, shifts = [], [], []
    for have, want in zip(image.shape, shape):
        shift = int(rng.integers(0, abs(want - have) + 1))
        source.append(slice(shift, shift + want) if have > want else slice(0, have))
        target.append(slice(0, want) if have > want else slice(shift, shift + have))
        shifts.append(-shift if have > want else shift)
    canvas[target[0], target[1]] = image[source[0], source[1]]
    inside[target[0], target[1]] = 1.0
    return canvas, inside, (shifts[0], shifts[1])
