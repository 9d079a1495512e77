"""How the bones of a hand mature: when each centre of ossification appears, fills and fuses.

The ages are rounded from the order that Greulich and Pyle (1959) and Gilsanz and Ratib (2005)
describe. They define what a phantom's bone age is, and are no reference for patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SEXES = ("F", "M")
"""(0010,0040) *Patient's Sex*; pairs of ages are in this order."""

MONTHS = (12.0, 216.0)
"""Bone ages that are drawn: before, nearly nothing of a hand is bone; after, nothing changes."""

Ages = tuple[float, float]
"""Months of girls and of boys."""


@dataclass(frozen=True, slots=True)
class Centre:
    """One centre of ossification, by bone age."""

    appears: Ages
    full: Ages
    """When it has filled its cartilage: an epiphysis as wide as its shaft, a carpal bone grown."""

    closes: Ages | None = None
    """When it begins to fuse with its shaft; None for bones of their own."""

    closed: Ages | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """How far one centre is."""

    size: float
    """0 not there, to 1 full."""

    fusion: float
    """0 apart from the shaft, to 1 one with it."""


def _epiphyses(
    appears: tuple[Ages, ...], full: Ages, closes: Ages, closed: Ages
) -> tuple[Centre, ...]:
    return tuple(Centre(ages, full, closes, closed) for ages in appears)


METACARPALS = (
    Centre((19, 32), (114, 138), (160, 184), (174, 198)),
    *_epiphyses(((12, 19), (13, 20), (15, 24), (17, 28)), (108, 132), (166, 190), (182, 206)),
)
"""First to fifth; the first grows at its base, the others at their heads."""

PROXIMAL = (
    Centre((20, 33), (114, 138), (160, 184), (176, 200)),
    *_epiphyses(((10, 16), (10, 15), (11, 17), (14, 22)), (108, 132), (164, 188), (180, 204)),
)
MIDDLE = _epiphyses(
    ((15, 25), (15, 24), (15, 24), (22, 41)), (112, 136), (166, 190), (182, 206)
)  # fmt: skip
"""Second to fifth; the thumb has none."""

DISTAL = (
    Centre((13, 19), (108, 132), (150, 174), (162, 188)),
    *_epiphyses(((24, 38), (18, 29), (18, 29), (24, 38)), (110, 134), (154, 178), (166, 192)),
)

CENTRES: Mapping[str, Centre] = {
    "capitate": Centre((2, 3), (132, 160)),
    "hamate": Centre((3, 4), (132, 160)),
    "triquetrum": Centre((24, 31), (138, 165)),
    "lunate": Centre((36, 45), (138, 165)),
    "scaphoid": Centre((51, 68), (140, 168)),
    "trapezium": Centre((49, 68), (138, 166)),
    "trapezoid": Centre((50, 70), (138, 166)),
    "pisiform": Centre((105, 132), (152, 178)),
    "sesamoid": Centre((126, 152), (152, 178)),
    "radius": Centre((10, 13), (108, 132), (186, 205), (204, 222)),
    "ulna": Centre((69, 82), (132, 156), (180, 200), (198, 218)),
    **{f"metacarpal_{n}": centre for n, centre in enumerate(METACARPALS, 1)},
    **{f"proximal_{n}": centre for n, centre in enumerate(PROXIMAL, 1)},
    **{f"middle_{n}": centre for n, centre in enumerate(MIDDLE, 2)},
    **{f"distal_{n}": centre for n, centre in enumerate(DISTAL, 1)},
}
"""By the bone's name; that of a long bone or phalanx stands for its epiphysis."""

HAND_LENGTH_MM: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "F": (
        (12, 24, 36, 60, 84, 108, 132, 144, 156, 168),
        (94, 106, 115, 129, 142, 154, 166, 171, 175, 177),
    ),
    "M": (
        (12, 24, 36, 60, 84, 108, 132, 156, 180, 192),
        (96, 108, 117, 131, 144, 155, 165, 178, 188, 190),
    ),
}
"""Sex → months, and length of the hand from wrist to fingertip at these, mm; rounded."""

ADULT_HAND_MM = 190.0
"""Length of the hand whose bones `networks.phantoms.hand` measures."""

SIZE_SD = 0.045
"""Relative SD of hands of one age."""

SMALLEST = 0.22
"""Share of its full width at which a centre can first be seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """Whose hand it is."""

    seed: int
    sex: str
    bone_age_months: float
    """The truth."""

    age_months: float
    """Since birth; the bone age varies about it."""

    size: float
    """Of the hand, against `ADULT_HAND_MM`."""

    shifts: Mapping[str, float]
    """Centre → months by which it is early or late beside the others."""

    def stage(self, name: str) -> Stage:
        """Return how far a centre is."""
        centre, sex = CENTRES[name], SEXES.index(self.sex)
        age = self.bone_age_months + self.shifts[name]
        begun, full = centre.appears[sex], centre.full[sex]
        share = np.clip((age - begun) / (full - begun), 0.0, 1.0)
        size = 0.0 if age < begun else SMALLEST + (1 - SMALLEST) * float(share) ** 0.62
        fusion = 0.0
        if centre.closes and centre.closed:
            first, last = centre.closes[sex], centre.closed[sex]
            fusion = float(np.clip((age - first) / (last - first), 0.0, 1.0))
        return Stage(size, fusion)

    def truth(self) -> dict[str, Any]:
        """Return what is true of the child, rounded as it is reported."""
        return {
            "sex": self.sex,
            "bone_age_months": round(self.bone_age_months, 1),
            "age_months": round(self.age_months, 1),
            "hand_length_mm": round(self.size * ADULT_HAND_MM, 1),
        }


def deviation_sd_months(age_months: float) -> float:
    """Return the SD of bone ages about an age, as phantoms are drawn; no reference."""
    return float(np.clip(0.09 * age_months, 2.0, 11.0))


def draw_child(
    seed: int,
    *,
    sex: str | None = None,
    bone_age_months: float | None = None,
    deviation_sds: float | None = None,
) -> Child:
    """Draw a child from a seed.

    Parameters
    ----------
    seed : int
    sex : str, optional
        One of `SEXES`; drawn by default.
    bone_age_months : float, optional
        Within `MONTHS`; drawn evenly by default.
    deviation_sds : float, optional
        By how many SDs the bone age is ahead of the age; drawn by default.

    Raises
    ------
    ValueError
        For another sex, or a bone age outside `MONTHS`.
    """
    rng = np.random.default_rng([seed, 0])
    drawn = SEXES[int(rng.integers(2))], rng.uniform(*MONTHS), rng.standard_normal()
    sex = drawn[0] if sex is None else sex
    months = float(drawn[1] if bone_age_months is None else bone_age_months)
    if sex not in SEXES:
        raise ValueError(f"sex must be F or M, not {sex!r}")
    if not MONTHS[0] <= months <= MONTHS[1]:
        raise ValueError(f"bone age must lie between 12 and 216 months, not {months:g}")
    ahead = float(np.clip(drawn[2], -2, 2) if deviation_sds is None else deviation_sds)
    age = max(6.0, months - ahead * deviation_sd_months(months))
    grown = 0.5 * (months + age)
    size = float(np.interp(grown, *HAND_LENGTH_MM[sex])) / ADULT_HAND_MM
    size *= 1 + SIZE_SD * float(np.clip(rng.standard_normal(), -2.5, 2.5))
    spread = 0.8 + 0.018 * months
    return Child(
        seed=seed,
        sex=sex,
        bone_age_months=months,
        age_months=age,
        size=size,
        shifts={name: float(spread * rng.standard_normal()) for name in CENTRES},
    )
