"""Heads that make one answer a patient out of the voxels of a box."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

Triple = tuple[int, int, int]

TOP_VOXELS = 50
"""Voxels whose mean is the lesion's evidence: 8 mm across at 3×1.5×1.5 mm (pipelines.md §7.2)."""

TOKEN_WIDTH = 48

TOKEN_HEADS = 4

TOKEN_LAYERS = 2

LEAST_WEIGHT = 1e-3
"""Keeps a mean over a lesion that is not there finite."""


def lesion_logit(logits: Tensor, label: int) -> Tensor:
    """Return the log odds of one label against all others.

    Parameters
    ----------
    logits : (N, K, D, H, W) tensor
    label : int

    Returns
    -------
    (N, D, H, W) tensor
    """
    rest = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    # not torch.logsumexp: OpenVINO 2026.4 sums its ONNX twin over all axes (ReduceLogSumExp)
    most = rest.amax(1)
    return logits[:, label] - most - (rest - most[:, None]).exp().sum(1).log()


def shrunk(share: Tensor, steps: tuple[Triple, ...]) -> list[Tensor]:
    """Return (N, 1, D, H, W) shares averaged over blocks, after each step."""
    levels = []
    for step in steps:
        share = functional.avg_pool3d(share, step)
        levels.append(share)
    return levels


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the (N, C) mean of (N, C, D, H, W) values under (N, 1, D, H, W) weights."""
    total = weights.sum((2, 3, 4)) + LEAST_WEIGHT
    return (values * weights).sum((2, 3, 4)) / total


class PatientHead(nn.Module):
    """The logit that a patient is ill.

    It begins as the evidence of the strongest voxels and the volume of the lesion; what the
    features add, pooled over lesion and organ at every level, is learnt from zero.

    Parameters
    ----------
    channels : int
        Windows of the input.
    widths : tuple of int
        Channels of each level.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], hidden: int = 48) -> None:
        super().__init__()
        self.evidence = nn.Linear(2, 1)
        self.mix = nn.Linear(4 * channels + 3 * sum(widths), hidden)
        self.last = nn.Linear(hidden, 1)
        nn.init.constant_(self.evidence.weight, 0.5)
        nn.init.zeros_(self.evidence.bias)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        volume: Tensor,
        maps: list[Tensor],
        margin: Tensor,
        organ: Tensor,
        steps: tuple[Triple, ...],
    ) -> Tensor:
        """Return (N,) logits.

        Parameters
        ----------
        volume : (N, channels, D, H, W) tensor
        maps : list of (N, C, D', H', W') tensor
            Features of each level, finest first.
        margin : (N, D, H, W) tensor
            Log odds of the lesion.
        organ : (N, D, H, W) tensor
            Probability of anything but background.
        steps : tuple of three int
            From the input to the first level, and from each to the next.
        """
        lesion = margin.sigmoid()[:, None]
        inside = organ[:, None]
        top = margin.flatten(1).topk(TOP_VOXELS, dim=1).values.mean(1)
        size = torch.log1p(lesion.sum((1, 2, 3, 4)) / TOP_VOXELS)
        squares = torch.cat([volume, volume * volume], dim=1)
        pooled = [weighted_mean(squares, lesion), weighted_mean(squares, inside)]
        for features, ill, healthy in zip(maps, shrunk(lesion, steps), shrunk(inside, steps)):
            pooled += [
                weighted_mean(features, ill),
                weighted_mean(features, healthy),
                (features * healthy).amax((2, 3, 4)),
            ]
        hidden = functional.relu(self.mix(torch.cat(pooled, dim=1)))
        logit: Tensor = self.evidence(torch.stack([top, size], dim=1)) + self.last(hidden)
        return logit[:, 0]


class KindHead(nn.Module):
    """Tell lesions apart: a memory token for each kind looks at the features of the lesion.

    The tokens read the coarser levels by cross-attention, drawn to where the lesion is; a second
    way, the features' mean over the lesion, is added to what they say.

    Parameters
    ----------
    channels, widths
        As for `PatientHead`.
    kinds : int
    """

    def __init__(self, channels: int, widths: tuple[int, ...], kinds: int) -> None:
        super().__init__()
        self.memory = nn.Parameter(torch.randn(kinds, TOKEN_WIDTH) * 0.5)
        self.read = nn.ModuleList(nn.Conv3d(width, TOKEN_WIDTH, 1) for width in widths[1:])
        self.level = nn.Parameter(torch.zeros(len(widths) - 1, TOKEN_WIDTH))
        self.layers = nn.ModuleList(TokenLayer() for _ in range(TOKEN_LAYERS))
        self.say = nn.Linear(TOKEN_WIDTH, 1)
        self.direct = nn.Linear(2 * channels + sum(widths), kinds)

    def forward(
        self, volume: Tensor, maps: list[Tensor], margin: Tensor, steps: tuple[Triple, ...]
    ) -> Tensor:
        """Return (N, kinds) logits; the arguments are those of `PatientHead.forward`."""
        lesion = margin.sigmoid()[:, None]
        shares = shrunk(lesion, steps)
        squares = torch.cat([volume, volume * volume], dim=1)
        means = [weighted_mean(squares, lesion)]
        means += [weighted_mean(features, ill) for features, ill in zip(maps, shares)]
        seen, pull = [], []
        for number, (read, features) in enumerate(zip(self.read, maps[1:])):
            seen.append(read(features).flatten(2).transpose(1, 2) + self.level[number])
            pull.append(torch.log(shares[number + 1].flatten(1) + LEAST_WEIGHT))
        places, bias = torch.cat(seen, dim=1), torch.cat(pull, dim=1)
        tokens = self.memory.expand(volume.shape[0], -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, places, bias)
        logits: Tensor = self.say(tokens)[:, :, 0] + self.direct(torch.cat(means, dim=1))
        return logits


class TokenLayer(nn.Module):
    """Tokens attend to places, more to those of the lesion, and change."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH)
        self.key = nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH)
        self.value = nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH)
        self.out = nn.Linear(TOKEN_WIDTH, TOKEN_WIDTH)
        self.pull = nn.Parameter(torch.ones(1))
        self.norm = nn.LayerNorm(TOKEN_WIDTH)
        self.think = nn.Sequential(
            nn.LayerNorm(TOKEN_WIDTH),
            nn.Linear(TOKEN_WIDTH, 2 * TOKEN_WIDTH),
            nn.ReLU(),
            nn.Linear(2 * TOKEN_WIDTH, TOKEN_WIDTH),
        )

    def forward(self, tokens: Tensor, places: Tensor, bias: Tensor) -> Tensor:
        """Return the changed tokens.

        Parameters
        ----------
        tokens : (N, kinds, TOKEN_WIDTH) tensor
        places : (N, P, TOKEN_WIDTH) tensor
        bias : (N, P) tensor
            Log share of the lesion at each place.
        """
        n, kinds, width = tokens.shape
        each = width // TOKEN_HEADS
        query, key, value = (
            part.reshape(n, -1, TOKEN_HEADS, each).transpose(1, 2)
            for part in (self.query(self.norm(tokens)), self.key(places), self.value(places))
        )
        weight = query @ key.transpose(2, 3) * each**-0.5 + self.pull * bias[:, None, None]
        read = (weight.softmax(-1) @ value).transpose(1, 2).reshape(n, kinds, width)
        tokens = tokens + self.out(read)
        changed: Tensor = tokens + self.think(tokens)
        return changed
