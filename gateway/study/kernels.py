"""Convolution kernel → soft, standard or sharp.

Every vendor has its own names and none publishes a common scale. The classes here follow
what the names are used for: ``soft`` and ``standard`` keep HU comparable between scanners,
``sharp`` (lung, bone, edge) raises noise and overshoots at edges.
"""

from __future__ import annotations

import re
from typing import Literal

KernelClass = Literal["soft", "standard", "sharp"]

GE: dict[str, KernelClass] = {
    "SOFT": "soft",
    "STANDARD": "standard",
    "STND": "standard",
    "DETAIL": "standard",
    "CHST": "standard",
    "CHEST": "standard",
    "LUNG": "sharp",
    "BONE": "sharp",
    "BONEPLUS": "sharp",
    "EDGE": "sharp",
    "ULTRA": "sharp",
}
"""GE names its kernels in words; ``STANDARD`` is the body default, ``DETAIL`` and ``CHST`` are a
little sharper without edge enhancement."""

PHILIPS: dict[str, KernelClass] = {
    **dict.fromkeys(("A", "B", "UA", "CA", "XCA", "SA", "SMOOTH"), "soft"),
    **dict.fromkeys(("C", "UB", "UC", "CB", "CC", "XCB", "XCC", "SB", "STANDARD"), "standard"),
    **dict.fromkeys(("D", "E", "F", "G", "L", "YA", "YB", "YC", "YD", "CD", "XCD"), "sharp"),
}
"""Philips: A and B are the body's smooth filters, U the brain's, C sharper, D, E, L and Y lung and
bone."""

CANON_RANGES: tuple[tuple[range, KernelClass], ...] = (
    (range(1, 20), "soft"),  # body, with (01-09) and without (10-19) beam-hardening correction
    (range(20, 30), "standard"),  # head
    (range(30, 40), "sharp"),  # inner ear, bone
    (range(40, 50), "standard"),  # head without beam-hardening correction
    (range(50, 60), "sharp"),  # lung
    (range(60, 70), "standard"),  # head, newer
    (range(80, 87), "sharp"),  # high resolution
)
"""Canon (Toshiba) FCnn, in tens."""

SIEMENS_SOFT_BELOW = 37
"""B31f and Br36 are the smooth abdominal kernels; B40f, Br40 are called medium."""

SIEMENS_SHARP_FROM = 50
"""B50f is called medium sharp and read in lung windows; B45f and B46f are still medium."""

_CANON = re.compile(r"FC(\d{2})", re.IGNORECASE)
_SIEMENS = re.compile(r"[A-Z][A-Za-z]?(\d{2})[a-z]{0,2}(?:-\d)?")
_WORDS: tuple[tuple[str, KernelClass], ...] = (
    ("SHARP", "sharp"),
    ("LUNG", "sharp"),
    ("BONE", "sharp"),
    ("EDGE", "sharp"),
    ("SOFT", "soft"),
    ("SMOOTH", "soft"),
    ("STANDARD", "standard"),
    ("STND", "standard"),
    ("STD", "standard"),
)
"""Words inside a name (United Imaging's B_SOFT_B, B_VSHARP, and whoever speaks plainly).
The sharp ones come first: a name that has both is not soft."""


def kernel_class(kernel: str | list[str] | None, manufacturer: str = "") -> KernelClass | None:
    """Classify a (0018,1210) *Convolution Kernel*.

    Parameters
    ----------
    kernel : str or list of str
        The attribute's value or values; Siemens writes ``['Br38f', '3']`` (kernel, strength of
        the iterative reconstruction).
    manufacturer : str
        (0008,0070) *Manufacturer*; single letters mean something only to Philips.

    Returns
    -------
    {'soft', 'standard', 'sharp'} or None
        None where the name is not known; never a guess.
    """
    values = kernel if isinstance(kernel, list) else [kernel or ""]
    for value in values:
        for name in re.split(r"[\[\],\\\s]+", str(value)):
            if found := _classify(name, manufacturer.upper()):
                return found
    return None


def _classify(name: str, manufacturer: str) -> KernelClass | None:
    if not name:
        return None
    upper = name.upper()
    if "PHILIPS" in manufacturer and upper in PHILIPS:
        return PHILIPS[upper]
    if match := _CANON.fullmatch(name):
        number = int(match[1])
        return next((kind for numbers, kind in CANON_RANGES if number in numbers), None)
    if upper in GE:
        return GE[upper]
    if match := _SIEMENS.fullmatch(name):
        number = int(match[1])
        if not 10 <= number <= 99:
            return None
        if number < SIEMENS_SOFT_BELOW:
            return "soft"
        return "standard" if number < SIEMENS_SHARP_FROM else "sharp"
    return next((kind for word, kind in _WORDS if word in upper), None)
