"""The network that finds lesions in a tile: a heat map of their centres, and what lies there.

A space-to-depth stem and a U-Net that ends at a quarter of the resolution (CenterNet, Zhou 2019, in
three dimensions).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.detection import STRIDE
from networks.unet import Block, space_to_depth

WIDTHS = (16, 32, 64, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the input resolution."""

MULTIPLE = 16
"""Every input axis must be a multiple of this."""

PRIOR = 0.01
"""Share of cells that are taken for a centre before anything is learnt."""

TOP = 64
"""Peaks that the exported file gives of each tile."""

DIAMETERS_MM = (1.0, 120.0)
"""What a diameter is limited to."""


@dataclass
class DetectorAnswer:
    """What a detector says of a batch of tiles, cell by cell.

    Attributes
    ----------
    heat : (N, d, h, w) tensor
        Logit that a lesion's centre lies in the cell.
    offset : (N, 3, d, h, w) tensor
        From the cell's middle to the lesion's centre (z, y, x), cells.
    size : (N, d, h, w) tensor
        Log of the diameter in mm.
    kinds : (N, kinds, d, h, w) tensor
        Logits.
    """

    heat: Tensor
    offset: Tensor
    size: Tensor
    kinds: Tensor


class Detector(nn.Module):
    """Map a windowed tile to a heat map at a quarter of the resolution.

    Parameters
    ----------
    channels : int
        Windows of the input.
    kinds : int
        Kinds of lesion to tell apart.
    widths : tuple of int
        Channels of each level, finest first.
    """

    def __init__(self, channels: int, kinds: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        finest, fine, coarse, coarsest = widths
        self.stem = Block(channels * 8, finest)
        self.down_fine = Block(finest, fine, stride=2)
        self.down_coarse = Block(fine, coarse, stride=2)
        self.down_coarsest = Block(coarse, coarsest, stride=2)
        self.reduce_coarse = nn.Conv3d(coarsest, coarse, 1)
        self.up_coarse = Block(coarse, coarse)
        self.reduce_fine = nn.Conv3d(coarse, fine, 1)
        self.up_fine = Block(fine, fine)
        self.mix = nn.Conv3d(fine + 2 * channels, 2 * fine, 1)
        self.heat = nn.Conv3d(fine + 2 * channels, 1, 3, padding=1)
        self.rest = nn.Conv3d(2 * fine, 4 + kinds, 1)
        nn.init.constant_(self.heat.bias, -float(torch.logit(torch.tensor(1 - PRIOR))))
        nn.init.zeros_(self.rest.bias)

    def forward(self, volume: Tensor) -> DetectorAnswer:
        """Run the network.

        Parameters
        ----------
        volume : (N, channels, D, H, W) float tensor
            Windows scaled to [0, 1]; axes are multiples of `MULTIPLE`.
        """
        finest = self.stem(space_to_depth(volume))
        fine = self.down_fine(finest)
        coarse = self.down_coarse(fine)
        # oneDNN's bfloat16 weight gradient is not finite for some tiny grids
        with torch.autocast(volume.device.type, enabled=False):
            coarsest = self.reduce_coarse(self.down_coarsest(coarse.float()))
        coarse = self.up_coarse(coarse + _doubled(coarsest))
        fine = self.up_fine(fine + _doubled(self.reduce_fine(coarse)))
        # normalised features do not tell how dense a thing is
        dense = [functional.avg_pool3d(volume, STRIDE), functional.max_pool3d(volume, STRIDE)]
        seen = torch.cat([fine, *(level.to(fine.dtype) for level in dense)], dim=1)
        rest = self.rest(functional.relu(self.mix(seen)))
        return DetectorAnswer(self.heat(seen)[:, 0], rest[:, :3], rest[:, 3], rest[:, 4:])


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def local_maxima(heat: Tensor) -> Tensor:
    """Return the heat where it is the highest of its 3×3×3 cells, else 0; (N, d, h, w) both."""
    highest = functional.max_pool3d(heat[:, None], 3, stride=1, padding=1)[:, 0]
    return torch.where(heat >= highest, heat, torch.zeros_like(heat))


class DetectorFile(nn.Module):
    """What the exported file gives: few numbers a tile.

    Outputs
    -------
    peaks : (N, TOP, 5 + kinds) float32
        By falling score: score, centre (z, y, x) in voxels of the tile, diameter in mm and the
        probability of each kind. Where there are fewer peaks the score is 0.
    """

    def __init__(self, network: Detector) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor) -> Tensor:
        """Map (N, channels, D, H, W) float windows to the peaks."""
        answer = self.network(volume)
        return peaks_of(answer)


def peaks_of(answer: DetectorAnswer, top: int = TOP) -> Tensor:
    """Return the strongest peaks as `DetectorFile` describes them."""
    heat = local_maxima(answer.heat.float().sigmoid())
    _, _, rows, columns = heat.shape
    scores, place = heat.flatten(1).topk(top, dim=1)
    told = torch.cat([answer.offset, answer.size[:, None], answer.kinds], dim=1).float().flatten(2)
    told = told.gather(2, place[:, None, :].expand(-1, told.shape[1], -1)).transpose(1, 2)
    plane = rows * columns
    cell = torch.stack(
        [
            torch.div(place, plane, rounding_mode="floor"),
            torch.div(place, columns, rounding_mode="floor") % rows,
            place % columns,
        ],
        dim=2,
    ).float()
    voxels = (cell + 0.5 + told[:, :, :3]) * STRIDE - 0.5
    least, most = DIAMETERS_MM
    diameter = told[:, :, 3:4].exp().clamp(least, most)
    return torch.cat([scores[:, :, None], voxels, diameter, told[:, :, 4:].softmax(2)], dim=2)
