"""The parts of the chest's network: measured features of tiles, a survey, an embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from networks.nets.ordinal import PlainBlock
from networks.nets.roi_net import fold

TILE = 16
"""Voxels of 1.5 mm along an edge of a tile: 24 mm (pipelines.md §7.2)."""

SURVEY = 4
"""Voxels of 1.5 mm along an edge of a voxel of the survey: 6 mm."""

EMBEDDED = 64

CLIP_HU = (-1024.0, 1024.0)
"""HU of the input's 0 and 1."""

WINDOWS_HU = ((-1024.0, 1024.0), (-1000.0, -400.0), (-160.0, 240.0))
"""Windows derived from the input: everything, lung, soft tissue."""

EDGE_HU = -400.0
"""Between lung and soft tissue; how often a line through a tile crosses it is its complexity."""

FEATURES = ("brightness", "gradient", "boundary_complexity", "unlike_neighbours")
"""The four measured features of a tile (pipelines.md §0)."""

NEVER = -1e4
"""Score and evidence of a tile that is not there."""


def hu_of(volume: Tensor) -> Tensor:
    """Return thousands of HU of an input of 0 to 1."""
    low, high = CLIP_HU
    return volume * ((high - low) / 1000) + low / 1000


def windows(thousands: Tensor) -> Tensor:
    """Scale (N, D, H, W) thousands of HU into (N, 3, D, H, W) windows of 0 to 1."""
    scaled = [
        (thousands.clamp(low / 1000, high / 1000) - low / 1000) * (1000 / (high - low))
        for low, high in WINDOWS_HU
    ]
    return torch.stack(scaled, dim=1)


def tile_features(tiles: Tensor) -> Tensor:
    """Measure tiles at 3 mm: brightness, gradient and boundary complexity.

    Parameters
    ----------
    tiles : (M, TILE, TILE, TILE) tensor
        Thousands of HU.

    Returns
    -------
    (M, 3) tensor
        Mean in thousands of HU, mean absolute difference of neighbours, share of neighbours on
        either side of `EDGE_HU`.
    """
    half = functional.avg_pool3d(tiles[:, None], 2)[:, 0]
    dense = torch.sigmoid((half - EDGE_HU / 1000) * 20.0)
    gradient, crossed = [], []
    for axis in (1, 2, 3):
        count = half.shape[axis] - 1
        for values, told in ((half, gradient), (dense, crossed)):
            step = values.narrow(axis, 1, count) - values.narrow(axis, 0, count)
            told.append(step.abs().mean((1, 2, 3)))
    mean = half.mean((1, 2, 3))
    return torch.stack([mean, sum(gradient) / 3, sum(crossed) / 3], dim=1)  # type: ignore[list-item]


def unlike_neighbours(means: Tensor) -> Tensor:
    """Return how far the mean of each tile is from that of its 26 neighbours, (N, D, H, W)."""
    padded = functional.pad(means[:, None], (1, 1, 1, 1, 1, 1), mode="replicate")
    around = (functional.avg_pool3d(padded, 3, stride=1)[:, 0] * 27 - means) / 26
    return (means - around).abs()


class Surveyor(nn.Module):
    """Look over the whole chest at 6 mm; features on the grid of the tiles."""

    def __init__(self, widths: tuple[int, int] = (32, 48)) -> None:
        super().__init__()
        fine, coarse = widths
        self.stem = nn.Conv3d(8 * len(WINDOWS_HU), fine, 3, padding=1)
        self.fine = PlainBlock(fine)
        self.down = nn.Conv3d(fine, coarse, 3, stride=2, padding=1)
        self.coarse = PlainBlock(coarse)

    def forward(self, survey: Tensor) -> Tensor:
        """Map (N, D, H, W) thousands of HU at 6 mm to (N, C, D/4, H/4, W/4) features."""
        seen = functional.relu(self.stem(fold(windows(survey), (2, 2, 2))))
        features: Tensor = self.coarse(functional.relu(self.down(self.fine(seen))))
        return features


class TileEncoder(nn.Module):
    """Describe a tile, and where it lies, by a vector of length 1."""

    def __init__(
        self, context: int, widths: tuple[int, int, int] = (32, 64, 64), hidden: int = 128
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths

        def step(inputs: int, outputs: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm3d(outputs),
                nn.ReLU(),
            )

        self.first = step(8 * len(WINDOWS_HU), fine, 1)
        self.second = step(fine, middle, 2)
        self.third = step(middle, middle, 1)
        self.fourth = step(middle, coarse, 2)
        self.hidden = nn.Linear(8 * coarse + context, hidden)
        self.out = nn.Linear(hidden, EMBEDDED)

    def forward(self, tiles: Tensor, context: Tensor) -> Tensor:
        """Return (M, EMBEDDED) unit vectors.

        Parameters
        ----------
        tiles : (M, TILE, TILE, TILE) tensor
            Thousands of HU.
        context : (M, C) tensor
            The survey's features there.
        """
        seen = self.second(self.first(fold(windows(tiles), (2, 2, 2))))
        seen = self.fourth(seen + self.third(seen)).flatten(1)
        with torch.autocast(tiles.device.type, enabled=False):
            joined = torch.cat([seen.float(), context.float()], dim=1)
            return functional.normalize(self.out(functional.relu(self.hidden(joined))), dim=1)


def contrastive_loss(
    embedded: Tensor, labels: Tensor, patient: Tensor, *, temperature: float = 0.1
) -> Tensor:
    """Draw tiles of different patients that share a label together, and push all others away.

    Parameters
    ----------
    embedded : (M, EMBEDDED) tensor
        Unit vectors.
    labels : (M, L) tensor
        1, 0, or −1 where it is not known.
    patient : (M,) tensor of integers
        Tiles of one patient are no pair: they share the scan as well.

    References
    ----------
    Khosla and others, NeurIPS 2020;33:18661.
    """
    held, doubtful = (labels == 1).float(), (labels < 0).float()
    shared = held @ held.T > 0
    vague = (doubtful @ held.T + held @ doubtful.T > 0) & ~shared
    other = patient[:, None] != patient[None]
    pair = shared & other
    compared = (pair | ~shared) & ~vague
    compared.fill_diagonal_(False)
    logits = embedded.float() @ embedded.float().T / temperature
    total = torch.logsumexp(logits.masked_fill(~compared, NEVER), dim=1, keepdim=True)
    count = pair.sum(1)
    known = count > 0
    if not bool(known.any()):
        return embedded.sum() * 0.0
    each = ((total - logits) * pair).sum(1)[known] / count[known]
    return each.mean()


def known_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of (M, L) labels, summed over labels; −1 has no say."""
    known = (labels >= 0).float()
    each = functional.binary_cross_entropy_with_logits(
        logits.float(), labels.clamp(min=0).float(), reduction="none"
    )
    return (each * known).sum(1).mean()
