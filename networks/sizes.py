"""How wide a network is: small, which two cores train and serve, or full, as nnU-Net is."""

from __future__ import annotations

from collections.abc import Sequence

SMALL, FULL = "small", "full"

SIZES = (SMALL, FULL)

FIRST = 32
"""Channels of nnU-Net at the resolution of its input; each halving doubles them."""

MOST_3D, MOST_2D = 320, 512
"""Its limits, so that the coarsest levels do not take all weights.

References
----------
Isensee and others, Nat Methods 2021;18:203.
"""


def full_widths(steps: Sequence[int], most: int = MOST_3D) -> tuple[int, ...]:
    """Return the channels that nnU-Net has at the resolution of each level.

    Parameters
    ----------
    steps : sequence of int
        By how much each level is coarser than the one before, in the plane; the first, whose
        blocks of voxels were folded into channels, than the input.
    most : int
        Channels.
    """
    widths, coarse = [], 1
    for step in steps:
        coarse *= step
        widths.append(min(most, FIRST * coarse))
    return tuple(widths)
