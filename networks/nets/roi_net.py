"""The network of a check that looks at one box: what each voxel is, and whether the patient is ill.

A U-Net whose stem and strides follow the voxels of its grid, 3 mm thick and half as wide, with the
heads of `networks.nets.heads` on its features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.nets.heads import KindHead, PatientHead, lesion_logit
from networks.sizes import full_widths
from networks.unet import Block

Triple = tuple[int, int, int]

PROBABILITY_STEPS = 255
"""Lesion probability leaves the exported file as one byte a voxel."""


@dataclass(frozen=True)
class RoiShape:
    """The size of a network.

    Attributes
    ----------
    channels : int
        Windows of the input.
    classes : int
        Labels, background included.
    lesion : int
        The label that is the finding; 0 for a network that only segments.
    kinds : int
        Kinds of lesion to tell apart; 0 for none.
    widths : tuple of int
        Channels of each level, finest first.
    stem : three int
        Block of voxels folded into channels before the first convolution.
    strides : tuple of three int
        From each level to the next coarser one.
    """

    channels: int
    classes: int
    lesion: int = 0
    kinds: int = 0
    widths: tuple[int, ...] = (16, 32, 48, 64)
    stem: Triple = (1, 2, 2)
    strides: tuple[Triple, ...] = ((2, 2, 2), (2, 2, 2), (2, 2, 2))

    @property
    def full(self) -> RoiShape:
        """The same network as wide as nnU-Net."""
        steps = (self.stem[2], *(stride[2] for stride in self.strides))
        return replace(self, widths=full_widths(steps))

    @property
    def multiple(self) -> Triple:
        """What the axes of the input must be multiples of."""
        z, y, x = self.stem
        for a, b, c in self.strides:
            z, y, x = z * a, y * b, x * c
        return z, y, x


@dataclass
class RoiAnswer:
    """What a network says of a batch of boxes.

    Attributes
    ----------
    levels : list of tensor
        Logits (N, K, D, H, W), then on the coarser levels but the coarsest.
    score : (N,) tensor or None
        Logit that the patient is ill.
    kinds : (N, kinds) tensor or None
        Logits of the kind of lesion, given that there is one.
    """

    levels: list[Tensor]
    score: Tensor | None
    kinds: Tensor | None


def fold(volume: Tensor, block: Triple) -> Tensor:
    """Fold every block of voxels into the channels.

    Parameters
    ----------
    volume : (N, C, D, H, W) tensor
        Axes are multiples of the block.
    block : three int

    Returns
    -------
    (N, a·b·c·C, D/a, H/b, W/c) tensor
    """
    a, b, c = block
    n, channels, d, h, w = volume.shape
    blocks = volume.reshape(n, channels, d // a, a, h // b, b, w // c, c)
    return blocks.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(
        n, channels * a * b * c, d // a, h // b, w // c
    )


class RoiNet(nn.Module):
    """Map a windowed box to logits a voxel, a patient logit and a kind.

    Parameters
    ----------
    shape : RoiShape
    """

    def __init__(self, shape: RoiShape) -> None:
        super().__init__()
        self.shape = shape
        widths, strides = shape.widths, shape.strides
        a, b, c = shape.stem
        self.stem = Block(shape.channels * a * b * c, widths[0])
        self.down = nn.ModuleList(
            Block(fine, coarse, stride=stride)
            for (fine, coarse), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.context = Block(widths[-1], widths[-1])
        self.reduce = nn.ModuleList(nn.Conv3d(coarse, fine, 1) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(Block(fine, fine) for fine in widths[:-1])
        self.head = nn.Conv3d(widths[0], shape.classes, 1)
        self.detail = nn.ConvTranspose3d(
            widths[0], shape.classes, shape.stem, stride=shape.stem, bias=False
        )
        nn.init.zeros_(self.detail.weight)
        self.side = nn.ModuleList(nn.Conv3d(width, shape.classes, 1) for width in widths[1:-1])
        self.patient: PatientHead | None = None
        self.kind: KindHead | None = None
        if shape.lesion:
            self.patient = PatientHead(shape.channels, widths)
            if shape.kinds:
                self.kind = KindHead(shape.channels, widths, shape.kinds)

    def features(self, volume: Tensor) -> list[Tensor]:
        """Return the decoder's features, finest first, and the coarsest of the encoder last."""
        levels = [self.stem(fold(volume, self.shape.stem))]
        for down in self.down[:-1]:
            levels.append(down(levels[-1]))
        # oneDNN's bfloat16 weight gradient is not finite for some tiny grids
        with torch.autocast(volume.device.type, enabled=False):
            coarse = self.context(self.down[-1](levels[-1].float()))
        decoded = [coarse]
        for index in reversed(range(len(levels))):
            factor = tuple(float(step) for step in self.shape.strides[index])
            coarse = functional.interpolate(
                self.reduce[index](coarse), scale_factor=factor, mode="nearest"
            )
            coarse = self.up[index](levels[index] + coarse)
            decoded.insert(0, coarse)
        return decoded

    def forward(self, volume: Tensor) -> RoiAnswer:
        """Run the network.

        Parameters
        ----------
        volume : (N, channels, D, H, W) float tensor
            Windows scaled to [0, 1]; axes are multiples of `RoiShape.multiple`.
        """
        decoded = self.features(volume)
        factor = tuple(float(step) for step in self.shape.stem)
        fine = functional.interpolate(
            self.head(decoded[0]), scale_factor=factor, mode="trilinear", align_corners=False
        ) + self.detail(decoded[0])
        side = [head(level) for head, level in zip(self.side, decoded[1:-1], strict=True)]
        score = kinds = None
        if self.patient is not None:
            # a score turns on few voxels: float32, whatever the rest runs in
            with torch.autocast(volume.device.type, enabled=False):
                margin = lesion_logit(fine.float(), self.shape.lesion)
                organ = lesion_logit(fine.float(), 0).neg().sigmoid()
                maps = [level.float() for level in decoded]
                steps = (self.shape.stem, *self.shape.strides)
                score = self.patient(volume, maps, margin, organ, steps)
                if self.kind is not None:
                    kinds = self.kind(volume, maps, margin, steps)
        return RoiAnswer([fine, *side], score, kinds)


class RoiFile(nn.Module):
    """What the exported file gives: one byte a voxel, and probabilities.

    Outputs
    -------
    labels : (N, D, H, W) uint8
    lesion : (N, D, H, W) uint8, with a lesion
        Probability of the lesion in 255ths.
    score : (N, 1) float32, with a lesion
        Probability that the patient is ill.
    kinds : (N, kinds) float32, with kinds
        Probability of each kind, given a lesion.
    """

    def __init__(self, network: RoiNet) -> None:
        super().__init__()
        self.network = network

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        shape = self.network.shape
        return ("labels", *(["lesion", "score"] if shape.lesion else []),
                *(["kinds"] if shape.kinds else []))  # fmt: skip

    def forward(self, volume: Tensor) -> tuple[Tensor, ...]:
        """Map (N, channels, D, H, W) float windows to the outputs."""
        answer = self.network(volume)
        logits = answer.levels[0]
        given = [logits.argmax(1).to(torch.uint8)]
        if answer.score is not None:
            chance = lesion_logit(logits, self.network.shape.lesion).sigmoid()
            given.append((chance * PROBABILITY_STEPS + 0.5).to(torch.uint8))
            given.append(answer.score.sigmoid()[:, None])
        if answer.kinds is not None:
            given.append(answer.kinds.softmax(1))
        return tuple(given)
