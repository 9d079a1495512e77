"""The network that looks again at each mark of a detector: is it a lesion, and of what kind."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.nets.detector import Detector
from networks.sizes import FULL, SMALL, full_widths
from networks.unet import Block, space_to_depth

CROP = 32
"""Edge of the cube around a mark, voxels of the detector's grid."""

WIDTHS = (16, 32, 48)
"""Channels at 1/2, 1/4 and 1/8 of the resolution."""

MIDDLES = (4, 8, 16)
"""Edges of the cubes in the middle whose mean density is told, voxels."""

HIDDEN = 48


class CropClassifier(nn.Module):
    """Map a windowed crop to the logit of a lesion and the logits of its kind.

    Parameters
    ----------
    channels : int
        Windows of the input.
    kinds : int
    """

    def __init__(self, channels: int, kinds: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        finest, fine, coarse = widths
        self.stem = Block(channels * 8, finest)
        self.down_fine = Block(finest, fine, stride=2)
        self.down_coarse = Block(fine, coarse, stride=2)
        pooled = finest + fine + 2 * coarse + len(MIDDLES) * channels
        self.mix = nn.Linear(pooled, HIDDEN)
        self.say = nn.Linear(HIDDEN, 1 + kinds)

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Parameters
        ----------
        crop : (n, channels, CROP, CROP, CROP) float tensor
            Windows scaled to [0, 1].

        Returns
        -------
        (n,) and (n, kinds) tensor
            Logits.
        """
        finest = self.stem(space_to_depth(crop))
        fine = self.down_fine(finest)
        # oneDNN's bfloat16 weight gradient is not finite for some tiny grids
        with torch.autocast(crop.device.type, enabled=False):
            coarse = self.down_coarse(fine.float())
            pooled = [_middle(finest.float(), 4), _middle(fine.float(), 2), _middle(coarse, 2)]
            pooled.append(coarse.mean((2, 3, 4)))
            # normalised features do not tell how dense a thing is
            pooled += [_middle(crop.float(), edge) for edge in MIDDLES]
            said = self.say(functional.relu(self.mix(torch.cat(pooled, dim=1))))
        return said[:, 0], said[:, 1:]


def _middle(features: Tensor, edge: int) -> Tensor:
    """Return the mean over the cube in the middle, (n, C)."""
    first = features.shape[-1] // 2 - edge // 2
    part = slice(first, first + edge)
    return features[:, :, part, part, part].mean((2, 3, 4))


class CropClassifierFile(nn.Module):
    """What the exported file gives.

    Outputs
    -------
    chance : (n, 1) float32
        Probability that the mark is a lesion.
    kinds : (n, kinds) float32
        Probability of each kind, given a lesion.
    """

    def __init__(self, network: CropClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """Map (n, channels, CROP, CROP, CROP) float windows to the outputs."""
        lesion, kinds = self.network(crop)
        return lesion.sigmoid()[:, None], kinds.softmax(1)


class DetectorAndClassifier(nn.Module):
    """Both networks of a check, which learn together: the marks of one are what the other sees."""

    def __init__(self, channels: int, kinds: int, size: str = SMALL) -> None:
        super().__init__()
        if size == FULL:
            self.detector = Detector(channels, kinds, full_widths((2, 2, 2, 2)))
            self.classifier = CropClassifier(channels, kinds, full_widths((2, 2, 2)))
        else:
            self.detector = Detector(channels, kinds)
            self.classifier = CropClassifier(channels, kinds)


def crops_at(volume: Tensor, voxels: Tensor) -> Tensor:
    """Cut a cube around places of a batch of tiles.

    Parameters
    ----------
    volume : (N, channels, D, H, W) tensor
    voxels : (N, k, 3) tensor
        Centres; rounded to the nearest voxel.

    Returns
    -------
    (N·k, channels, CROP, CROP, CROP) tensor
        Beyond the tile its edge goes on.
    """
    most = torch.tensor(volume.shape[2:], device=voxels.device) - 1
    offsets = torch.arange(CROP, device=voxels.device) - CROP // 2
    index = (voxels.round().long()[..., None] + offsets).clamp(min=0).minimum(most[:, None])
    return torch.stack([
        tile[:, z[:, None, None], y[:, None], x]
        for tile, marks in zip(volume, index)
        for z, y, x in marks
    ])  # fmt: skip
