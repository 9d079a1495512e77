"""What a detector and its crop classifier are held to."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from networks.detection import IGNORED, STRIDE, TARGET
from networks.nets.detector import DetectorAnswer

ALPHA, BETA = 2.0, 4.0
"""Exponents of the focal loss on easy cells and near a centre (CenterNet, Zhou 2019)."""

SIZE_WEIGHT = 0.1
"""Of the L1 loss of the log diameter (pipelines.md §7.2); that of the offset has 1."""

KIND_WEIGHT = 0.2

CROP_WEIGHT = 0.5

HIT_MM = 3.0
"""A mark no farther than this beyond a lesion's radius is one of it."""

LEAST_CHANCE = 1e-5


class Around(NamedTuple):
    """The 27 cells around the centres of the lesions of a batch."""

    tile: Tensor
    """(m,) which tile."""

    cell: Tensor
    """(m, 3) which cell."""

    offset: Tensor
    """(m, 3) from the cell's middle to the centre, cells."""

    size: Tensor
    """(m,) log of the diameter in mm."""

    kind: Tensor
    """(m,)."""


def focal_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Return the focal loss of a heat map, divided by the number of centres.

    Parameters
    ----------
    logits, heat, weight : (N, d, h, w) tensor
    """
    chance = logits.float().sigmoid().clamp(LEAST_CHANCE, 1 - LEAST_CHANCE)
    centre = heat == 1
    hit = (1 - chance) ** ALPHA * chance.log() * centre
    miss = (1 - heat) ** BETA * chance**ALPHA * (1 - chance).log() * weight * ~centre
    return -(hit.sum() + miss.sum()) / centre.sum().clamp(min=1)


def around_targets(rows: Tensor, cells: tuple[int, int, int]) -> Around:
    """Return the cells around each target; a peak may lie one cell beside the centre.

    Parameters
    ----------
    rows : (N, ROWS, ROW) tensor
        As `networks.detection.rows_of` gives them.
    cells : three int
        Shape of the heat map.
    """
    tile, row = torch.nonzero(rows[:, :, 5] == TARGET, as_tuple=True)
    chosen = rows[tile, row]
    place = (chosen[:, :3] + 0.5) / STRIDE
    step = torch.tensor([-1, 0, 1], device=rows.device)
    steps = torch.cartesian_prod(step, step, step)
    cell = place.floor().long()[:, None] + steps
    offset = place[:, None] - (cell + 0.5)
    most = torch.tensor(cells, device=rows.device)
    inside = ((cell >= 0) & (cell < most)).all(2)
    each = inside.nonzero(as_tuple=True)[0]
    return Around(
        tile[each],
        cell[inside],
        offset[inside],
        chosen[each, 3].clamp(min=1.0).log(),
        chosen[each, 4].long(),
    )


def detector_loss(answer: DetectorAnswer, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the terms of the detector's loss.

    Parameters
    ----------
    answer : DetectorAnswer
    batch : dict of tensor
        ``rows``, ``heat`` and ``weight`` as `networks.tile_sampling.TileSample` has them.
    """
    heat = batch["heat"]
    terms = {"heat": focal_loss(answer.heat, heat, batch["weight"])}
    around = around_targets(batch["rows"], (heat.shape[1], heat.shape[2], heat.shape[3]))
    z, y, x = around.cell.unbind(1)
    if not len(z):
        nothing = answer.offset.float().sum() * 0.0
        return terms | {"offset": nothing, "size": nothing, "kind": nothing}
    offset = answer.offset.float()[around.tile, :, z, y, x]
    size = answer.size.float()[around.tile, z, y, x]
    kinds = answer.kinds.float()[around.tile, :, z, y, x]
    terms["offset"] = (offset - around.offset).abs().sum(1).mean()
    terms["size"] = SIZE_WEIGHT * (size - around.size).abs().mean()
    terms["kind"] = KIND_WEIGHT * functional.cross_entropy(kinds, around.kind)
    return terms


def matched(
    voxels: Tensor, rows: Tensor, spacing_mm: tuple[float, float, float]
) -> tuple[Tensor, Tensor]:
    """Return what each mark is.

    Parameters
    ----------
    voxels : (N, k, 3) tensor
        Marks of each tile.
    rows : (N, ROWS, ROW) tensor
    spacing_mm : three float

    Returns
    -------
    lesion : (N, k) tensor of float
        1 on a lesion, 0 on none, −1 where it is not known.
    kind : (N, k) tensor of int
        That of the nearest lesion.
    """
    spacing = torch.tensor(spacing_mm, device=voxels.device)
    apart = ((voxels[:, :, None] - rows[:, None, :, :3]) * spacing).norm(dim=3)
    beyond = apart - 0.5 * rows[:, None, :, 3]
    what = rows[:, None, :, 5]
    far = torch.full_like(beyond, float("inf"))
    target = torch.where(what == TARGET, beyond, far)
    cut_off = torch.where(what == IGNORED, beyond, far).amin(2)
    nearest, place = target.min(2)
    lesion = (nearest <= HIT_MM).float()
    lesion[(cut_off <= HIT_MM) & (lesion == 0)] = -1.0
    return lesion, rows[:, :, 4].gather(1, place).long()


def classifier_loss(
    logits: Tensor, kinds: Tensor, lesion: Tensor, kind: Tensor
) -> dict[str, Tensor]:
    """Return the terms of the crop classifier's loss.

    Parameters
    ----------
    logits : (n,) tensor
    kinds : (n, kinds) tensor
    lesion, kind : (n,) tensor
        As `matched` gives them.
    """
    known = lesion >= 0
    there = lesion == 1
    nothing = logits.float().sum() * 0.0 + kinds.float().sum() * 0.0
    crop, told = nothing, nothing
    if bool(known.any()):
        crop = functional.binary_cross_entropy_with_logits(logits.float()[known], lesion[known])
    if bool(there.any()):
        told = functional.cross_entropy(kinds.float()[there], kind[there])
    return {"crop": CROP_WEIGHT * crop, "crop_kind": KIND_WEIGHT * told}
