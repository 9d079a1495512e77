"""One pulmonary nodule as the lung rules see it: sizes, kind, signs, and its prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

KINDS = (
    "ground_glass",
    "part_solid",
    "solid",
    "airway_subsegmental",
    "airway_segmental",
    "cyst_thick_walled",
    "cyst_multilocular",
)
"""The first three by rising density. A segmental airway stands for all more proximal ones."""

DENSITIES = KINDS[:3]

_HALF_UP = 0.5 + 1e-9
"""Measured halves round up, whatever binary fractions make of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What was measured of a nodule, or of its solid part; unrounded."""

    long_mm: float | None = None
    short_mm: float | None = None
    volume_mm3: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be a size."""
        for value in (self.long_mm, self.short_mm, self.volume_mm3):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError("A size must be finite and positive.")
        if self.long_mm is not None and self.short_mm is not None and self.short_mm > self.long_mm:
            raise ValueError("short_mm must not exceed long_mm.")

    @property
    def mean_mm(self) -> float | None:
        """Mean of both axes, mm, unrounded; None unless both are known."""
        if self.long_mm is None or self.short_mm is None:
            return None
        return (self.long_mm + self.short_mm) / 2

    @property
    def mean_tenth_mm(self) -> float | None:
        """Mean diameter by Lung-RADS: each axis to 0.1 mm, then their mean to 0.1 mm."""
        if self.long_mm is None or self.short_mm is None:
            return None
        return to_tenth((to_tenth(self.long_mm) + to_tenth(self.short_mm)) / 2)

    @property
    def mean_whole_mm(self) -> float | None:
        """Mean diameter by Fleischner 2017: the mean of both axes to the nearest mm."""
        return None if self.mean_mm is None else to_whole(self.mean_mm)

    @property
    def long_whole_mm(self) -> float | None:
        """Long axis to the nearest mm."""
        return None if self.long_mm is None else to_whole(self.long_mm)

    @property
    def volume_whole_mm3(self) -> float | None:
        """Volume to the nearest mm³, as both rules compare it."""
        return None if self.volume_mm3 is None else to_whole(self.volume_mm3)

    @property
    def equivalent_mm(self) -> float | None:
        """Diameter to 0.1 mm: the measured mean, else that of a sphere of the volume."""
        if self.mean_tenth_mm is not None or self.volume_mm3 is None:
            return self.mean_tenth_mm
        return to_tenth((6 * self.volume_mm3 / math.pi) ** (1 / 3))


def to_tenth(value: float) -> float:
    """Round to one decimal, halves up."""
    return math.floor(value * 10 + _HALF_UP) / 10


def to_whole(value: float) -> float:
    """Round to a whole number, halves up."""
    return float(math.floor(value + _HALF_UP))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The same nodule on an earlier CT."""

    months: float
    """Between the two CTs."""

    kind: str | None = None
    size: Size = Size()
    solid: Size = Size()
    """Its solid part, of a part-solid nodule."""

    category: str | None = None
    """What Lung-RADS said of it then."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a prior."""
        _check_kind(self.kind)
        if not (math.isfinite(self.months) and self.months > 0):
            raise ValueError("months must be finite and positive.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """One nodule now.

    A sign counts where it was seen; what nobody looked for stays False and changes nothing.
    """

    kind: str | None
    """One of `KINDS`; None when not known."""

    size: Size = Size()
    solid: Size = Size()
    """The solid part, of a part-solid nodule."""

    prior: Prior | None = None
    """Of a matched nodule; None without one."""

    new: bool = False
    """A matched prior CT covers the place and shows no nodule there."""

    benign_calcification: bool = False
    """Complete, central, popcorn or concentric."""

    fat: bool = False
    juxtapleural: bool = False
    """At a pleura or fissure, solid, smooth, and oval, lentiform or triangular."""

    suspicious: bool = False
    """Spiculation, lymphadenopathy, a ground-glass nodule that doubled in a year, …"""

    slowly_growing: bool = False
    """Growth over several CTs, never more than 1.5 mm in 12 months."""

    wall_growing: bool = False
    """Of a thick-walled cyst: the wall thickens or a nodule of it grows."""

    denser_or_more_locules: bool = False
    """Of a multilocular cyst."""

    malignancy_probability: float | None = None
    """Of the multidimensional model of C-Lung-RADS, 0 to 1."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        _check_kind(self.kind)
        if self.new and self.prior is not None:
            raise ValueError("A nodule with a prior is not new.")
        probability = self.malignancy_probability
        if probability is not None and not 0 <= probability <= 1:
            raise ValueError("malignancy_probability must lie between 0 and 1.")

    @property
    def benign(self) -> bool:
        """Whether calcification or fat proves it benign."""
        return self.benign_calcification or self.fat


def _check_kind(kind: str | None) -> None:
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}.")
