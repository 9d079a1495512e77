"""What a hand is made of for an X-ray: tubes, lumps and strips of flesh.

Coordinates are millimetres: x towards the thumb, y towards the fingertips, from the middle of the
wrist's joint.
"""

from __future__ import annotations

from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tube:
    """A shaft that widens to both ends, hollow: cortex around marrow."""

    start: Point
    angle: float
    """Radians from y towards x, of the way from start to end."""

    length: float
    half_widths: tuple[float, float, float]
    """At the start, in the middle, at the end."""

    caps: tuple[float, float]
    """Over how much of each end the width falls to nothing: a joint is round, a plate flat."""

    cortex: float
    """Thickness in the middle."""

    lines: tuple[float, float]
    """How dense each end's line is: the border of a growing shaft."""

    depth: float = 0.85
    """Thickness ÷ width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lump:
    """A rounded bone: an epiphysis, a carpal bone, a bridge across a plate."""

    centre: Point
    angle: float
    half_widths: Point
    """Across and along its axis."""

    squareness: float = 2.2
    waves: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Depth and phase of two and of three bulges of its outline."""

    thick: float
    """Along the beam, in its middle, mm."""

    rim: float = 0.8
    """Thickness of the cortex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flesh:
    """A tapering rounded strip of soft tissue."""

    start: Point
    end: Point
    radii: Point
    depth: float = 0.9


Bone = Tube | Lump
