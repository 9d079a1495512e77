"""A small residual 3D U-Net that takes a whole volume in a single pass.

A space-to-depth stem halves the resolution before the first convolution, so
that the expensive levels never run on the full grid. The logits are brought
back by one trilinear ×2, to which a transposed convolution (the inverse of the
stem) adds what thin bone and vessel walls need. Instance normalisation keeps
every volume of a batch independent of its neighbours.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the input resolution."""

MULTIPLE = 16
"""Every input axis must be a multiple of this: stem ×2 and three halvings."""


def space_to_depth(volume: Tensor) -> Tensor:
    """Fold every 2×2×2 block of voxels into the channels.

    Parameters
    ----------
    volume : (N, C, D, H, W) tensor
        Even D, H and W.

    Returns
    -------
    (N, 8·C, D/2, H/2, W/2) tensor
    """
    n, c, d, h, w = volume.shape
    blocks = volume.reshape(n, c, d // 2, 2, h // 2, 2, w // 2, 2)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(n, c * 8, d // 2, h // 2, w // 2)


class Block(nn.Module):
    """Two 3³ convolutions with instance normalisation and a residual path."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int | tuple[int, int, int] = 1
    ) -> None:
        super().__init__()
        self.first = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.second = nn.Conv3d(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.InstanceNorm3d(outputs, affine=True)
        self.skip: nn.Module
        if stride == 1 and inputs == outputs:
            self.skip = nn.Identity()
        else:
            self.skip = nn.Conv3d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the block's width, at 1/stride of the resolution."""
        hidden = functional.relu(self.first_norm(self.first(features)))
        hidden = self.second_norm(self.second(hidden))
        return functional.relu(hidden + self.skip(features))


class UNet(nn.Module):
    """Map a two-window volume to class logits on the same grid.

    Parameters
    ----------
    channels : int
        Input channels (windows).
    classes : int
        Output classes, background included.
    widths : tuple of int
        Channels of each level, finest first.
    context : int
        Residual blocks at the coarsest level, where a voxel is 16 input
        voxels wide: they see most of the body.
    """

    def __init__(
        self,
        channels: int = 2,
        classes: int = 15,
        widths: tuple[int, ...] = WIDTHS,
        context: int = 1,
    ) -> None:
        super().__init__()
        self.stem = Block(channels * 8, widths[0])
        self.down = nn.ModuleList(
            Block(fine, coarse, stride=2) for fine, coarse in pairwise(widths)
        )
        self.context = nn.Sequential(*(Block(widths[-1], widths[-1]) for _ in range(context)))
        self.reduce = nn.ModuleList(nn.Conv3d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(Block(fine, fine) for fine in widths[:-1])
        self.head = nn.Conv3d(widths[0], classes, 1)
        self.detail = nn.ConvTranspose3d(widths[0], classes, 2, stride=2, bias=False)
        nn.init.zeros_(self.detail.weight)
        self.side = nn.ModuleList(nn.Conv3d(width, classes, 1) for width in widths[1:-1])

    def features(self, volume: Tensor) -> list[Tensor]:
        """Return the decoder's features, finest (1/2 resolution) first."""
        levels = [self.stem(space_to_depth(volume))]
        for down in self.down[:-1]:
            levels.append(down(levels[-1]))
        # oneDNN's bfloat16 weight gradient is not finite for some tiny grids (2×5×9).
        with torch.autocast("cpu", enabled=False):
            coarse = self.context(self.down[-1](levels[-1].float()))
        decoded: list[Tensor] = []
        for index in reversed(range(len(levels))):
            coarse = functional.interpolate(
                self.reduce[index](coarse), scale_factor=2.0, mode="nearest"
            )
            coarse = self.up[index](levels[index] + coarse)
            decoded.insert(0, coarse)
        return decoded

    def forward(self, volume: Tensor) -> Tensor:
        """Return logits.

        Parameters
        ----------
        volume : (N, channels, D, H, W) float tensor
            Windows scaled to [0, 1]; each axis a multiple of 16.

        Returns
        -------
        (N, classes, D, H, W) tensor
        """
        return self.fine(self.features(volume)[0])

    def fine(self, features: Tensor) -> Tensor:
        """Return logits on the input's grid from features at half its resolution."""
        logits = functional.interpolate(
            self.head(features), scale_factor=2.0, mode="trilinear", align_corners=False
        )
        return logits + self.detail(features)

    def supervised(self, volume: Tensor) -> list[Tensor]:
        """Return logits at 1, 1/4 and 1/8 of the resolution, for training."""
        decoded = self.features(volume)
        return [self.fine(decoded[0])] + [
            side(level) for side, level in zip(self.side, decoded[1:], strict=True)
        ]
