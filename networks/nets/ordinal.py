"""The liver's network: a box, blood values and a report text → two ordered grades.

The image encoder finds liver and spleen for itself and pools over them, so that what is measured
is the organ's own HU, its texture, its border and its size. Nothing is normalised over a box: mean
HU is the very quantity. A missing value, or a missing report, adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.nets.heads import weighted_mean
from networks.nets.roi_net import fold
from networks.sizes import FULL, SMALL, full_widths
from preprocess.tokens import BUCKETS

MULTIPLE = 8
"""Axes of the box are multiples of this: a stem of 2 and two halvings."""

WIDTHS = (16, 32, 64)
"""Channels at 6, 12 and 24 mm; multiples of 16 are what bf16 multiplies fast."""

ORGANS = ("other", "liver", "spleen")
"""What the encoder tells apart at 6 mm."""

EMBEDDED = 48
"""Width of what each of image, values and text contributes."""

TEXT_WIDTH = 24

STEEP = 4.0
"""Logits a unit of score of steatosis: S2 spans 8 HU, and steep slopes grow slowly out of flat ones
(measured on the heads alone: a loss of 0.17 after 250 steps, where 1 leaves 0.31). Fibrosis, which
is told by less, is learnt best with 1."""

GENTLE = 0.1
"""Scale at which a block's change begins: depth without normalisation."""


@dataclass(frozen=True, slots=True)
class Value:
    """How a clinical value is standardised.

    Attributes
    ----------
    name : str
        As in the manifest's ``inputs.clinical``.
    middle, spread : float
        Mean and SD in the population, of the logarithm where `log`.
    log : bool
        Enzymes and platelets are lognormal.
    """

    name: str
    middle: float
    spread: float
    log: bool = False


class PlainBlock(nn.Module):
    """Two 3³ convolutions without normalisation, added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv3d(width, width, 3, padding=1)
        self.second = nn.Conv3d(width, width, 3, padding=1)
        self.scale = nn.Parameter(torch.full((1, width, 1, 1, 1), GENTLE))

    def forward(self, features: Tensor) -> Tensor:
        """Return changed features of the same shape."""
        hidden = self.second(functional.relu(self.first(features)))
        return functional.relu(features + self.scale * hidden)


class LiverEncoder(nn.Module):
    """Find liver and spleen in a box and describe them.

    Parameters
    ----------
    channels : int
        Windows of the input; the first is that in which HU is measured.
    """

    def __init__(self, channels: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = nn.Conv3d(8 * channels, fine, 3, padding=1)
        self.fine = PlainBlock(fine)
        self.to_middle = nn.Conv3d(fine, middle, 3, stride=2, padding=1)
        self.middle = PlainBlock(middle)
        self.to_coarse = nn.Conv3d(middle, coarse, 3, stride=2, padding=1)
        self.coarse = PlainBlock(coarse)
        self.up_middle = nn.Conv3d(coarse, middle, 1)
        self.up_fine = nn.Conv3d(middle, fine, 1)
        self.join = nn.Conv3d(fine, fine, 3, padding=1)
        self.organ = nn.Conv3d(fine, len(ORGANS), 1)
        measured = 3 * 2 * channels + 5
        self.describe = nn.Sequential(
            nn.Linear(measured + 5 * fine + 2 * middle + coarse, 96), nn.ReLU()
        )
        self.out = nn.Linear(96 + measured, EMBEDDED)

    def forward(self, volume: Tensor) -> tuple[Tensor, Tensor]:
        """Run the encoder.

        Parameters
        ----------
        volume : (N, channels, D, H, W) float tensor
            Windows scaled to [0, 1].

        Returns
        -------
        described : (N, EMBEDDED) tensor of float32
        organs : (N, 3, D/2, H/2, W/2) tensor
            Logits of `ORGANS`.
        """
        folded = fold(volume, (2, 2, 2))
        fine = self.fine(functional.relu(self.stem(folded)))
        middle = self.middle(functional.relu(self.to_middle(fine)))
        coarse = self.coarse(functional.relu(self.to_coarse(middle)))
        up = middle + functional.interpolate(self.up_middle(coarse), scale_factor=2.0)
        up = fine + functional.interpolate(self.up_fine(up), scale_factor=2.0)
        joined = functional.relu(self.join(up))
        organs = self.organ(joined)
        # a grade turns on few HU: float32, whatever the rest runs in
        with torch.autocast(volume.device.type, enabled=False):
            share = organs.float().softmax(1)
            liver, spleen = share[:, 1:2], share[:, 2:3]
            measures = self.measures(folded.float(), liver, spleen)
            border = 4 * liver * (1 - liver)
            maps = fine.float(), joined.float(), middle.float(), coarse.float()
            pooled = [measures]
            for weights in (liver, border):
                pooled += [weighted_mean(maps[0], weights), weighted_mean(maps[1], weights)]
            pooled.append(weighted_mean(maps[1], spleen))
            half = functional.avg_pool3d(liver, 2)
            pooled += [weighted_mean(maps[2], half), weighted_mean(maps[2], 4 * half * (1 - half))]
            pooled.append(maps[3].mean((2, 3, 4)))
            hidden = self.describe(torch.cat(pooled, dim=1))
            return self.out(torch.cat([hidden, measures], dim=1)), organs

    def measures(self, folded: Tensor, liver: Tensor, spleen: Tensor) -> Tensor:
        """Return what can be measured: HU, its spread and the sizes, (N, 6 · channels + 5).

        Parameters
        ----------
        folded : (N, 8 · channels, D, H, W) tensor
            Every channel's block of 2 × 2 × 2 voxels.
        liver, spleen : (N, 1, D, H, W) tensor
            Share of each.
        """
        n, wide, d, h, w = folded.shape
        blocks = folded.reshape(n, wide // 8, 8, d, h, w)
        mean = blocks.mean(2)
        # noise and texture within 6 mm, and between neighbours
        spread = (blocks - mean[:, :, None]).square().mean(2)
        deep, far = liver**4, spleen**4
        level = weighted_mean(mean, deep)
        between = (weighted_mean(mean.square(), deep) - level.square()).clamp(min=0)
        told = [
            8 * level - 4, 8 * weighted_mean(mean, far) - 4,
            8 * (level - weighted_mean(mean, far)),
            10 * (weighted_mean(spread, deep) + 1e-6).sqrt(),
            10 * (weighted_mean(spread, far) + 1e-6).sqrt(),
            10 * (between + 1e-6).sqrt(),
        ]  # fmt: skip
        size, other = (torch.log(x.sum((2, 3, 4)) + 20.0) - 8.0 for x in (liver, spleen))
        border = torch.log((4 * liver * (1 - liver)).sum((2, 3, 4)) + 20.0) - 8.0
        seen = (spleen.sum((2, 3, 4)) / 100.0).clamp(max=1.0)
        return torch.cat([*told, size, other, other - size, border - size, seen], dim=1)


class ValueEncoder(nn.Module):
    """Standardise clinical values, with NaN for what is missing, and describe them."""

    def __init__(self, values: Sequence[Value], hidden: int = 48) -> None:
        super().__init__()
        self.register_buffer("log", torch.tensor([v.log for v in values]))
        self.register_buffer("middle", torch.tensor([v.middle for v in values]))
        self.register_buffer("spread", torch.tensor([v.spread for v in values]))
        self.first = nn.Linear(2 * len(values), hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, EMBEDDED, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, EMBEDDED) of (N, k) values in their own units; 0 where all are missing."""
        known = values == values
        held = torch.where(known, values, torch.ones_like(values))
        plain = torch.where(self.log, held.clamp(min=0.1).log(), held)
        scaled = ((plain - self.middle) / self.spread).clamp(-4.0, 4.0)
        mask = known.to(values.dtype)
        hidden = functional.relu(self.first(torch.cat([scaled * mask, mask], dim=1)))
        hidden = functional.relu(hidden + self.second(hidden))
        return self.out(hidden) * mask.amax(1, keepdim=True)


class TextEncoder(nn.Module):
    """Describe a report by the mean of what its tokens say (`preprocess.tokens`)."""

    def __init__(self, buckets: int = BUCKETS, hidden: int = 48) -> None:
        super().__init__()
        self.say = nn.Embedding(buckets, TEXT_WIDTH)
        nn.init.normal_(self.say.weight, std=0.3)
        self.first = nn.Linear(2 * TEXT_WIDTH, hidden)
        self.out = nn.Linear(hidden, EMBEDDED, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return (N, EMBEDDED) of (N, T) int64 tokens; 0 where there are none."""
        held = (tokens > 0).to(self.say.weight.dtype)[:, :, None]
        said = self.say(tokens) * held
        mean = said.sum(1) / (held.sum(1) + 1e-3)
        hidden = functional.relu(self.first(torch.cat([mean, said.amax(1)], dim=1)))
        return self.out(hidden) * held.amax(1)


class OrdinalHead(nn.Module):
    """Cumulative logits with ordered cuts: P(grade > k) = σ(steep · (score − cut k)).

    Parameters
    ----------
    width : int
    grades : int
        Of K + 1 grades there are K cuts.
    steep : float
        Logits a unit of score; at the beginning the cuts are one unit apart.
    """

    def __init__(self, width: int, grades: int, steep: float = 1.0) -> None:
        super().__init__()
        self.steep = steep
        self.score = nn.Linear(width, 1)
        self.first = nn.Parameter(torch.tensor(-0.5 * (grades - 2)))
        self.steps = nn.Parameter(torch.full((grades - 2,), 0.5413))  # softplus: 1

    @property
    def cuts(self) -> Tensor:
        """The (grades − 1,) cuts, rising."""
        rise = functional.softplus(self.steps).cumsum(0)
        return torch.cat([self.first[None], self.first + rise])

    def forward(self, described: Tensor) -> Tensor:
        """Return the (N, grades − 1) logits of P(grade > k), falling with k."""
        logits: Tensor = self.steep * (self.score(described) - self.cuts)
        return logits


@dataclass
class LiverAnswer:
    """What the network says of a batch.

    Attributes
    ----------
    steatosis, fibrosis : (N, 3) and (N, 4) tensor of float32
        Logits of P(grade > k).
    organs : (N, 3, D/2, H/2, W/2) tensor
        Logits of `ORGANS`.
    """

    steatosis: Tensor
    fibrosis: Tensor
    organs: Tensor


class LiverNet(nn.Module):
    """Grade steatosis S0–S3 and fibrosis F0–F4.

    Parameters
    ----------
    channels : int
        Windows.
    values : sequence of Value
        Clinical values in the order of the input.
    """

    def __init__(self, channels: int, values: Sequence[Value], size: str = SMALL) -> None:
        super().__init__()
        self.image = LiverEncoder(channels, full_widths((2, 2, 2)) if size == FULL else WIDTHS)
        self.values = ValueEncoder(values)
        self.text = TextEncoder()
        self.fuse = nn.Sequential(
            nn.Linear(3 * EMBEDDED + 2, 64), nn.ReLU(), nn.Linear(64, EMBEDDED)
        )
        self.steatosis = OrdinalHead(EMBEDDED, 4, STEEP)
        self.fibrosis = OrdinalHead(EMBEDDED, 5)

    def forward(self, volume: Tensor, clinical: Tensor, tokens: Tensor) -> LiverAnswer:
        """Run the network.

        Parameters
        ----------
        volume : (N, channels, D, H, W) float tensor
            Windows scaled to [0, 1]; axes are multiples of `MULTIPLE`.
        clinical : (N, k) float tensor
            In their own units, NaN where missing.
        tokens : (N, T) tensor of int64
            0 where there is none.
        """
        image, organs = self.image(volume)
        return LiverAnswer(*self.grade(image, clinical, tokens), organs)

    def grade(self, image: Tensor, clinical: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse what the image encoder said with the rest; return both grades' logits."""
        with torch.autocast(image.device.type, enabled=False):
            values = self.values(clinical.float())
            text = self.text(tokens)
            told = (clinical == clinical).any(1, keepdim=True), (tokens > 0).any(1, keepdim=True)
            there = [x.to(values.dtype) for x in told]
            joined = image + values + text
            joined = joined + self.fuse(torch.cat([image, values, text, *there], dim=1))
            return self.steatosis(joined), self.fibrosis(joined)


class LiverFile(nn.Module):
    """What the exported file gives.

    Outputs
    -------
    steatosis, fibrosis : (N, 3) and (N, 4) float32
        P(grade > k).
    scores : (N, 2) float32
        Their sums: expected steatosis grade, 0 to 3, and fibrosis stage, 0 to 4.
    """

    OUTPUTS = ("steatosis", "fibrosis", "scores")

    def __init__(self, network: LiverNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor, clinical: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Take what `LiverNet` takes."""
        answer = self.network(volume, clinical, tokens)
        steatosis, fibrosis = answer.steatosis.sigmoid(), answer.fibrosis.sigmoid()
        return steatosis, fibrosis, torch.stack([steatosis.sum(1), fibrosis.sum(1)], dim=1)


def ordinal_loss(logits: Tensor, grade: Tensor) -> Tensor:
    """Return the mean cross-entropy of every threshold.

    Parameters
    ----------
    logits : (N, grades − 1) tensor
        Of P(grade > k).
    grade : (N,) tensor of integers
        Negative where it is not known.
    """
    known = grade >= 0
    if not bool(known.any()):
        return logits.float().sum() * 0.0
    above = grade[:, None] > torch.arange(logits.shape[1], device=grade.device)
    return functional.binary_cross_entropy_with_logits(logits.float()[known], above[known].float())


def organ_loss(logits: Tensor, shares: Tensor) -> Tensor:
    """Return the cross-entropy of the organs' shares of every block of 2 × 2 × 2 voxels.

    Parameters
    ----------
    logits, shares : (N, 3, D/2, H/2, W/2) tensor
        Of `ORGANS`; shares sum to 1.
    """
    return -(shares * logits.float().log_softmax(1)).sum(1).mean()
