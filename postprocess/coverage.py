"""Whether the scan holds an organ whole, in part, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from preprocess.arrays import Array, to_host
from preprocess.objects import Box

State = Literal["complete", "truncated", "absent"]

SIDES = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))
"""Names of the first and last plane of each axis; see the orientation in `preprocess`."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of an organ lies in the volume."""

    state: State
    truncated_sides: tuple[str, ...] = ()
    """Of ``inferior superior anterior posterior right left``."""


def coverage(mask: Array, *, box: Box, shape: tuple[int, ...], edge_fraction: float) -> Coverage:
    """Tell whether the edge of the volume cuts an organ.

    Parameters
    ----------
    mask : array of bool
        The organ inside its box.
    box : three slices
        Where `mask` lies in the volume, voxels.
    shape : (S, R, C)
        Of the volume, unpadded.
    edge_fraction : float
        An organ is truncated on a side when its section on that edge plane is larger than this
        fraction of its largest section parallel to it.

    Returns
    -------
    Coverage
        ``absent`` when the mask is empty. The part that was not seen cannot be computed,
        so none is given.

    Notes
    -----
    In-plane sides are those of the array. An organ cut by a round field of view inside it, where
    the scan is padded, is not noticed here.
    """
    if not mask.any():
        return Coverage("absent")
    sides = []
    for axis, names in enumerate(SIDES):
        at_start = box[axis].start == 0
        at_stop = box[axis].stop == shape[axis]
        if not (at_start or at_stop):
            continue
        others = tuple(other for other in range(3) if other != axis)
        sections = to_host(mask.sum(axis=others))
        limit = edge_fraction * sections.max()
        if at_start and sections[0] > limit:
            sides.append(names[0])
        if at_stop and sections[-1] > limit:
            sides.append(names[1])
    return Coverage("truncated" if sides else "complete", tuple(sides))
