"""The vote of the memory bank, the loss of the embedding, and what is served of the network."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from networks.nets.chest_net import KEPT, NEIGHBOURS, NOT_EVALUATED, ChestFile, ChestNet, vote
from networks.nets.tile_encoder import CLIP_HU, EMBEDDED, SURVEY, TILE, contrastive_loss

LABELS = 5


def around(centre: int, count: int, spread: float = 0.1) -> Tensor:
    """Return unit vectors near one of the axes."""
    rng = torch.Generator().manual_seed(centre)
    vectors = spread * torch.randn(count, EMBEDDED, generator=rng)
    vectors[:, centre] += 1
    return functional.normalize(vectors, dim=1)


@pytest.fixture(scope="module")
def network() -> ChestNet:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = ChestNet(LABELS).eval()
    made.evaluated[3] = 0
    return made


def test_the_nearest_tiles_vote() -> None:
    """A tile gets the label of those that it lies with, and none where healthy ones lie."""
    bank = torch.cat([around(0, 40), around(1, 40), around(2, 40)])
    labels = torch.zeros(120, LABELS, dtype=torch.uint8)
    labels[:40, 0] = labels[40:80, 1] = 1
    shares = vote(torch.cat([around(0, 1), around(1, 1), around(2, 1)]), bank.half(), labels)
    assert shares[0, 0] > 0.95
    assert shares[1, 1] > 0.95
    assert shares[2].max() < 0.05


def test_a_rare_label_votes_as_much_as_a_common_one() -> None:
    """Six tiles that are all there are of a label outvote fourteen of sixty of another."""
    bank = torch.cat([around(0, 6, spread=0.02), around(0, 60, spread=0.03)])
    labels = torch.zeros(66, LABELS, dtype=torch.uint8)
    labels[:6, 0] = labels[6:, 1] = 1
    shares = vote(around(0, 1, spread=0.0), bank.half(), labels)[0]
    assert shares[0] > 0.7
    assert shares[1] > 0.1
    assert float(shares.sum()) == pytest.approx(1.0, abs=1e-4)


def test_tiles_of_one_label_are_drawn_together() -> None:
    """The loss is small where tiles of a label lie together, and large where they are mixed."""
    labels = torch.zeros(8, LABELS, dtype=torch.int8)
    labels[:4, 0] = labels[4:, 1] = 1
    patient = torch.arange(8)
    apart = torch.cat([around(0, 4), around(1, 4)])
    mixed = apart[[0, 4, 1, 5, 2, 6, 3, 7]]
    assert contrastive_loss(apart, labels, patient) + 1 < contrastive_loss(mixed, labels, patient)


def test_tiles_of_one_patient_are_no_pair() -> None:
    """They share the scan as well, so they teach nothing of the label."""
    labels = torch.zeros(4, LABELS, dtype=torch.int8)
    labels[:, 0] = 1
    embedded = around(0, 4).requires_grad_()
    loss = contrastive_loss(embedded, labels, torch.zeros(4, dtype=torch.int64))
    assert float(loss.detach()) == 0
    loss.backward()


def volume(*tiles: int) -> Tensor:
    """Return smooth HU as the input, (1, 1, ...) of 0 to 1."""
    rng = torch.Generator().manual_seed(2)
    coarse = torch.rand(1, 1, *(n * 2 for n in tiles), generator=rng)
    size = tuple(n * TILE for n in tiles)
    return functional.interpolate(coarse, size=size, mode="trilinear", align_corners=False)


def test_what_is_served_is_what_was_trained(network: ChestNet) -> None:
    """A tile is embedded alike in a whole volume and in a group of tiles with its survey."""
    given = volume(3, 4, 5)
    low, high = CLIP_HU
    thousands = (given[:, 0] * (high - low) + low) / 1000
    bank = torch.zeros(NEIGHBOURS, EMBEDDED), torch.zeros(NEIGHBOURS, LABELS, dtype=torch.uint8)
    with torch.no_grad():
        labels, where, parts, kept, worth, embedded = ChestFile(network)(given, *bank)
        survey = functional.avg_pool3d(thousands[:, None], SURVEY)[:, 0]
        places = kept[:, :4]
        index = [(int(p) // 20, int(p) // 5 % 4, int(p) % 5) for p in places[0]]
        tiles = torch.stack([
            thousands[0, 16 * z : 16 * z + 16, 16 * y : 16 * y + 16, 16 * x : 16 * x + 16]
            for z, y, x in index
        ])  # fmt: skip
        answer = network(tiles[None], places, survey)
    assert torch.allclose(answer.embedded, embedded[0, :4], atol=1e-5)
    assert torch.allclose(answer.worth.sigmoid(), worth[0, :4], atol=1e-5)
    assert torch.allclose(answer.whole, parts[:, 0], atol=1e-5)
    assert labels[0, 3] == NOT_EVALUATED
    assert bool((labels[0, [0, 1, 2, 4]] >= 0).all())
    assert where.max() < 60
    assert bool((worth[0, 60:] == 0).all())
    assert kept.shape == (1, KEPT)


def test_the_best_tiles_are_kept(network: ChestNet) -> None:
    """Of more tiles than are kept, the file gives that many different ones, best first."""
    given = volume(7, 7, 7)
    bank = torch.zeros(NEIGHBOURS, EMBEDDED), torch.zeros(NEIGHBOURS, LABELS, dtype=torch.uint8)
    with torch.no_grad():
        kept, worth = ChestFile(network)(given, *bank)[3:5]
    assert len(set(kept[0].tolist())) == KEPT
    assert bool((worth[0, 1:] <= worth[0, :-1]).all())
    assert float(worth.min()) > 0
