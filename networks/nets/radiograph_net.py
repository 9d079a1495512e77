"""A small network that finds known parts in one radiograph and reads numbers off them.

It is taught where each part lies and how far it has come, so that it need not find out from the
numbers alone what they rest on: a few thousand images are enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 96)
"""Channels at 2, 4, 8 and 16 pixels."""

CELL = 8
"""Pixels of a cell in which a part is looked for."""

MARGIN = 16
"""Black pixels around an image that is alone, as around those of a batch on their canvas."""

HIDDEN = 64

OUTSIDE = -1e4
"""Logit of a cell in which nothing can lie; its probability is 0."""

UNKNOWN = 0.5
"""What stands for a missing word of two, in the middle of 0 and 1."""

USUAL_CELLS = 256
"""Cells of a grid that a limb covers; divides sums, so that they are of the size of the rest."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How a value is made of the network's number: middle + spread × number."""

    middle: float
    spread: float


class Reading(NamedTuple):
    """What the network says of a batch; float32."""

    numbers: Tensor
    """(N, outputs)."""

    stages: Tensor
    """(N, parts, 2) logits of size and fusion of each part."""

    places: Tensor
    """(N, parts, cells) logarithm of the probability that a part lies in a cell, row by row."""


def _convolution(before: int, after: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


class Block(nn.Module):
    """Two 3² convolutions, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return changed features of the same shape."""
        return functional.relu(features + self.second(self.first(features)))


class RadiographNet(nn.Module):
    """Image and a few clinical words → a number that parts tell, and doubts about the image.

    Parameters
    ----------
    parts : int
        Parts that are looked for.
    doubts : int
        Further outputs, which are told from the whole image.
    words : int
        Clinical inputs that are 0 or 1.
    """

    def __init__(
        self, parts: int, doubts: int, words: int, widths: tuple[int, ...] = WIDTHS
    ) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.stem = nn.Sequential(
            _convolution(1, first, size=5, stride=2), _convolution(first, second, stride=2)
        )
        self.middle = nn.Sequential(_convolution(second, third, stride=2), Block(third))
        self.coarse = nn.Sequential(_convolution(third, fourth, stride=2), Block(fourth))
        self.up = nn.Conv2d(fourth, third, 1)
        self.joined = _convolution(third, third)
        self.where = nn.Conv2d(third, parts, 1)
        self.how_far = nn.Parameter(torch.zeros(parts, third, 2))
        self.offset = nn.Parameter(torch.zeros(parts, 2))
        self.tell = nn.Sequential(
            nn.Linear(2 * parts + words, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        )
        self.doubt = nn.Sequential(nn.LayerNorm(2 * fourth), nn.Linear(2 * fourth, doubts))
        self.unsure = nn.Linear(parts, doubts)

    def forward(self, image: Tensor, clinical: Tensor, inside: Tensor | None = None) -> Reading:
        """Run the network.

        Parameters
        ----------
        image : (N, 1, H, W) float tensor
            0 to 1, any size from 32 on.
        clinical : (N, words) float tensor
            0, 1, or NaN where missing.
        inside : (N, 1, H/8, W/8) tensor of float, optional
            0 beyond the end of an image, where images of several sizes make a batch.
        """
        if inside is None:
            around = (MARGIN, MARGIN, MARGIN, MARGIN)
            there = functional.pad(torch.ones_like(image), around)
            image = functional.pad(image, around)
            inside = functional.max_pool2d(there, CELL, ceil_mode=True)
        middle = self.middle(self.stem(image))
        coarse = self.coarse(middle)
        joined = middle + functional.interpolate(self.up(coarse), size=middle.shape[2:])
        joined = self.joined(joined)
        logits = self.where(joined)
        # months turn on small differences: float32, whatever the rest runs in
        with torch.autocast(image.device.type, enabled=False):
            logits, features = logits.float().flatten(2), joined.float().flatten(2)
            whole = coarse.float()
            logits = logits.masked_fill(inside.flatten(2) == 0, OUTSIDE)
            whole = whole * functional.max_pool2d(inside, 2, ceil_mode=True)
            found = torch.bmm(logits.softmax(2), features.transpose(1, 2))
            stages = (found[..., None] * self.how_far).sum(2) + self.offset
            words = torch.where(torch.isnan(clinical), UNKNOWN, clinical)
            number = self.tell(torch.cat([stages.sigmoid().flatten(1), words], dim=1))
            seen = torch.cat([whole.amax((2, 3)), whole.sum((2, 3)) / USUAL_CELLS], dim=1)
            places = logits.log_softmax(2)
            # what lies in two places at once, or nowhere in particular, is not what was taught
            doubts = self.doubt(seen) + self.unsure(places.amax(2))
            return Reading(torch.cat([number, doubts], dim=1), stages, places)


class RadiographFile(nn.Module):
    """What is exported: numbers in their units, and probabilities.

    Parameters
    ----------
    network : RadiographNet
    scales : mapping
        Index of an output → its scale; every other output is a probability.
    """

    inputs: Sequence[str] = ("volume", "clinical")
    outputs: Sequence[str] = ("scores",)

    def __init__(self, network: RadiographNet, scales: Mapping[int, Scale]) -> None:
        super().__init__()
        self.network = network
        self.scales = dict(scales)

    def forward(self, volume: Tensor, clinical: Tensor) -> Tensor:
        """Map (N, 1, 1, H, W) and (N, words) to (N, outputs)."""
        numbers = self.network(volume[:, :, 0], clinical).numbers
        columns = []
        for index in range(numbers.shape[1]):
            column = numbers[:, index : index + 1]
            scale = self.scales.get(index)
            columns.append(
                column.sigmoid() if scale is None else scale.middle + scale.spread * column
            )
        return torch.cat(columns, dim=1)
