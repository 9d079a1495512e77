"""The chest's network: choose tiles, describe each, compare them with a bank, say 73 labels.

A volume at 1.5 mm is cut into tiles of 24 mm. A survey of it at 6 mm says where in the body each
tile lies and, with four measured features, how worth looking at it is; the best 256 are embedded.
An embedding is compared with those of labelled tiles in one matrix product. What the tiles say and
what the survey says of the whole is fused into the labels of the study.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.nets.roi_net import fold
from networks.nets.tile_encoder import (
    EMBEDDED,
    FEATURES,
    NEVER,
    SURVEY,
    TILE,
    Surveyor,
    TileEncoder,
    hu_of,
    tile_features,
    unlike_neighbours,
)
from networks.sizes import FULL, MOST_3D, SMALL, full_widths

KEPT = 256
"""Tiles of a study that are embedded."""

NEIGHBOURS = 20
"""Tiles of the bank that vote."""

VOTE_TEMPERATURE = 0.1

LEAST_VOTE = 0.01

NOT_EVALUATED = -1.0
"""Probability of a label that no phantom shows: neither positive nor negative."""

FULL_HIDDEN = 512
"""Width between a tile's features and its embedding, in the full size."""

RARE_LOGIT = -4.0
"""Log odds of a label before anything is learnt."""


def vote(embedded: Tensor, bank: Tensor, bank_labels: Tensor) -> Tensor:
    """Let the nearest tiles of the bank vote, as much for a rare label as for a common one.

    Parameters
    ----------
    embedded : (M, EMBEDDED) tensor
        Unit vectors.
    bank : (B, EMBEDDED) tensor
        Unit vectors; B is at least `NEIGHBOURS`.
    bank_labels : (B, L) tensor
        1 where a tile has a label; a healthy tile has none.

    Returns
    -------
    (M, L) tensor
        Share of the vote, 0 to 1.
    """
    held = bank_labels.to(embedded.dtype)
    healthy = (held.sum(1, keepdim=True) == 0).to(held.dtype)
    held = torch.cat([held, healthy], dim=1)
    ballots = held / (held.sum(0, keepdim=True) + 1.0)
    nearest, index = (embedded @ bank.to(embedded.dtype).T).topk(NEIGHBOURS, dim=1)
    weight = ((nearest - 1.0) / VOTE_TEMPERATURE).exp()
    given = (ballots[index] * weight[:, :, None]).sum(1)
    return given[:, :-1] / (given.sum(1, keepdim=True) + 1e-12)


def vote_logit(share: Tensor) -> Tensor:
    """Return the log odds of a share of the vote, finite."""
    return torch.log((share + LEAST_VOTE) / (1.0 + LEAST_VOTE - share))


@dataclass
class ChestAnswer:
    """What the network says of a batch of studies, M tiles of all of them together.

    Attributes
    ----------
    embedded : (M, EMBEDDED) tensor
    tiles : (M, L) tensor
        Logits of the labels of each tile, by the embedding's own linear head.
    worth : (M,) tensor
        Logit that a tile holds any finding.
    whole : (N, L) tensor
        Logits of the labels by the survey alone.
    """

    embedded: Tensor
    tiles: Tensor
    worth: Tensor
    whole: Tensor


class ChestNet(nn.Module):
    """Choose, embed and label.

    Parameters
    ----------
    labels : int
        How many there are.
    size : str
        One of `networks.sizes.SIZES`; the embedding, and so the bank, is as wide in both.
    """

    def __init__(self, labels: int, size: str = SMALL) -> None:
        super().__init__()
        if size == FULL:
            fine, middle, coarse = full_widths((2, 2, 2))
            # the survey begins at 12 mm, where nnU-Net would have been halved three times
            self.surveyor = Surveyor((coarse, MOST_3D))
            self.encoder = TileEncoder(MOST_3D, (fine, middle, coarse), hidden=FULL_HIDDEN)
        else:
            self.surveyor = Surveyor()
            self.encoder = TileEncoder(self.surveyor.down.out_channels)
        width = self.surveyor.down.out_channels
        self.measured = nn.Sequential(nn.Linear(len(FEATURES), 16), nn.ReLU(), nn.Linear(16, 1))
        self.looked = nn.Linear(width, 1)
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.head = nn.Linear(EMBEDDED, labels)
        self.whole = nn.Linear(2 * width, labels)
        for layer in (self.head, self.whole):
            nn.init.constant_(layer.bias, RARE_LOGIT)
        # survey, linear head, vote; fitted after training
        self.register_buffer("mix", torch.tensor([1.0, 1.0, 0.0]))
        self.register_buffer("offset", torch.zeros(labels))
        self.register_buffer("evaluated", torch.ones(labels))

    def worth(self, features: Tensor, context: Tensor) -> Tensor:
        """Return (M,) logits that a tile holds a finding, from its four features and its place."""
        return (self.measured(features) + self.looked(context))[:, 0]

    def forward(self, tiles: Tensor, places: Tensor, survey: Tensor) -> ChestAnswer:
        """Look at some tiles of each study, as training does.

        Parameters
        ----------
        tiles : (N, T, TILE, TILE, TILE) tensor
            Thousands of HU.
        places : (N, T) tensor of int64
            Of the tiles on the flattened grid of tiles.
        survey : (N, D, H, W) tensor
            The whole at 6 mm, thousands of HU.
        """
        seen = self.surveyor(survey)
        with torch.autocast(survey.device.type, enabled=False):
            flat = seen.float().flatten(2).transpose(1, 2)
            index = places[:, :, None].expand(-1, -1, flat.shape[2])
            context = flat.gather(1, index).flatten(0, 1)
            apart = unlike_neighbours(functional.avg_pool3d(survey.float()[:, None], SURVEY)[:, 0])
            apart = apart.flatten(1).gather(1, places).flatten()
            features = torch.cat([tile_features(tiles.flatten(0, 1)), apart[:, None]], dim=1)
            worth = self.worth(features, context)
        embedded = self.encoder(tiles.flatten(0, 1), context)
        with torch.autocast(survey.device.type, enabled=False):
            return ChestAnswer(embedded, self.tile_logits(embedded), worth, self.overall(seen))

    def tile_logits(self, embedded: Tensor) -> Tensor:
        """Return (M, L) logits of the embedding's linear head."""
        logits: Tensor = self.head(self.sharpness * embedded)
        return logits

    def overall(self, seen: Tensor) -> Tensor:
        """Return (N, L) logits of the survey's features."""
        plain = seen.float()
        pooled = torch.cat([plain.mean((2, 3, 4)), plain.amax((2, 3, 4))], dim=1)
        logits: Tensor = self.whole(pooled)
        return logits

    def fused(self, whole: Tensor, linear: Tensor, voted: Tensor) -> Tensor:
        """Return (N, L) logits of a study from its three (N, L) parts."""
        return self.mix[0] * whole + self.mix[1] * linear + self.mix[2] * voted + self.offset


class ChestFile(nn.Module):
    """What the exported file gives.

    Outputs
    -------
    labels : (N, L) float32
        Probabilities; `NOT_EVALUATED` where no phantom shows the label.
    where : (N, L) int64
        The tile that says it most, on the flattened grid of tiles.
    parts : (N, 3, L) float32
        Log odds by the survey, the best tile's linear head and the best tile's vote.
    kept : (N, KEPT) int64
        The tiles that were embedded, best first; −1 for one that is not there.
    worth : (N, KEPT) float32
        Probability that each holds a finding; 0 for one that is not there.
    embedded : (N, KEPT, EMBEDDED) float32
        What a reviewed tile is added to a bank with.
    """

    OUTPUTS = ("labels", "where", "parts", "kept", "worth", "embedded")

    def __init__(self, network: ChestNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, volume: Tensor, bank: Tensor, bank_labels: Tensor) -> tuple[Tensor, ...]:
        """Run the network on whole studies.

        Parameters
        ----------
        volume : (N, 1, D, H, W) tensor
            0 to 1 over `CLIP_HU`, at 1.5 mm; axes are multiples of `TILE`.
        bank : (B, EMBEDDED) tensor of float16
        bank_labels : (B, L) tensor of uint8
        """
        net = self.network
        hu = hu_of(volume)[:, 0]
        n = hu.shape[0]
        seen = net.surveyor(functional.avg_pool3d(hu[:, None], SURVEY)[:, 0])
        means = functional.avg_pool3d(hu[:, None], TILE)[:, 0]
        tiles = fold(hu[:, None], (TILE, TILE, TILE)).flatten(2).transpose(1, 2)
        count = tiles.shape[1]
        features = torch.cat(
            [
                tile_features(tiles.reshape(-1, TILE, TILE, TILE)),
                unlike_neighbours(means).reshape(-1, 1),
            ],
            dim=1,
        )
        context = seen.flatten(2).transpose(1, 2)
        worth = net.worth(features, context.flatten(0, 1)).reshape(n, count)
        # a small box has fewer tiles than are kept: tiles of air fill up
        spare = worth.new_full((1, KEPT), NEVER).expand(n, -1)
        best, kept = torch.cat([worth, spare], dim=1).topk(KEPT, dim=1)
        there = (best > 0.5 * NEVER).to(best.dtype)
        base = torch.arange(n, device=kept.device)[:, None] * count
        row = (kept.clamp(max=count - 1) + base).flatten()
        chosen = tiles.reshape(-1, TILE**3)[row].reshape(-1, TILE, TILE, TILE)
        embedded = net.encoder(chosen, context.flatten(0, 1)[row])
        absent = NEVER * (1 - there)[:, :, None]
        linear = net.tile_logits(embedded).reshape(n, KEPT, -1) + absent
        voted = vote_logit(vote(embedded, bank, bank_labels)).reshape(n, KEPT, -1) + absent
        parts = torch.stack([net.overall(seen), linear.amax(1), voted.amax(1)], dim=1)
        logits = net.fused(parts[:, 0], parts[:, 1], parts[:, 2])
        labels = logits.sigmoid() * net.evaluated + NOT_EVALUATED * (1 - net.evaluated)
        said = (net.mix[1] * linear + net.mix[2] * voted).argmax(1)
        where = kept.gather(1, said)
        # all alike: runtimes order equal tiles as they please, and would not seem to agree
        kept = torch.where(there > 0, kept, torch.full_like(kept, -1))
        return (
            labels, where, parts, kept, best.sigmoid() * there,
            embedded.reshape(n, KEPT, EMBEDDED),
        )  # fmt: skip
