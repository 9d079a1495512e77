"""Which tiles of a volume a detector looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from preprocess.arrays import Array, array_namespace, to_host
from preprocess.exceptions import ArrayError
from preprocess.grid import Roi

Triple = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tiles of one size over a volume."""

    shape: Triple
    """Voxels of a tile."""

    starts: tuple[Triple, ...]
    """First voxel of each tile; negative, or ending beyond the volume, where it is padded."""

    cores: tuple[Roi, ...]
    """(s0, s1, r0, r1, c0, c1) of the volume, half-open: what each tile answers for. Cores do not
    overlap and together hold all of the mask."""


def plan_tiles(mask: Array, *, shape: Sequence[int], margin: Sequence[int]) -> TilePlan:
    """Lay tiles over a mask.

    Parameters
    ----------
    mask : (S, R, C) array of bool
        Where to look.
    shape : three int
        Voxels of a tile.
    margin : three int
        Voxels at each side of a tile for which its neighbour answers: a lesion there may be cut.

    Returns
    -------
    TilePlan
        None where the mask is empty.

    Raises
    ------
    ArrayError
        When a tile has no core.
    """
    core = [size - 2 * edge for size, edge in zip(shape, margin)]
    if min(core) < 1 or min(margin) < 0:
        raise ArrayError(f"tiles of {tuple(shape)} with a margin of {tuple(margin)} have no core.")
    starts: list[Triple] = []
    cores: list[Roi] = []
    for s0, s1 in _spans(mask, 0, core[0]):
        slab = mask[s0:s1]
        for r0, r1 in _spans(slab, 1, core[1]):
            band = slab[:, r0:r1]
            for c0, c1 in _spans(band, 2, core[2]):
                if not band[:, :, c0:c1].any():
                    continue
                cores.append((s0, s1, r0, r1, c0, c1))
                starts.append((
                    _start(s0, s1, shape[0]), _start(r0, r1, shape[1]), _start(c0, c1, shape[2])
                ))  # fmt: skip
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    return TilePlan(size, tuple(starts), tuple(cores))


def cut_tiles(volume: Array, starts: Sequence[Triple], shape: Sequence[int]) -> Array:
    """Cut tiles out of a volume, its edges repeated beyond it.

    Parameters
    ----------
    volume : (S, R, C) array
    starts : N times three int
    shape : three int

    Returns
    -------
    (N, D, H, W) array of the same dtype
    """
    xp = array_namespace(volume)
    cut = xp.empty((len(starts), *shape), volume.dtype)
    for number, start in enumerate(starts):
        index = [
            xp.clip(xp.arange(first, first + size), 0, count - 1)
            for first, size, count in zip(start, shape, volume.shape)
        ]
        cut[number] = volume[xp.ix_(*index)]
    return cut


def _spans(mask: Array, axis: int, core: int) -> list[tuple[int, int]]:
    """Return the parts of an axis, none longer than a core, that hold what the mask spans."""
    others = tuple(n for n in range(3) if n != axis)
    held = np.flatnonzero(to_host(mask.any(axis=others)))
    if not held.size:
        return []
    low, high = int(held[0]), int(held[-1]) + 1
    count = -(-(high - low) // core)
    edges = [low + round(n * (high - low) / count) for n in range(count + 1)]
    return list(pairwise(edges))


def _start(first: int, last: int, size: int) -> int:
    """Return where a tile begins that has a part of an axis in its middle."""
    return (first + last - size) // 2
