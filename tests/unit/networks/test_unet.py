"""The anatomy network as a module: shapes, size, independence, finite gradients."""

from __future__ import annotations

import pytest
import torch

from networks.labels import ANATOMY_LABELS
from networks.losses import segmentation_loss, soft_targets
from networks.unet import UNet, space_to_depth


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    return UNet().eval()


@pytest.mark.parametrize("shape", [(32, 32, 32), (32, 48, 80), (48, 112, 64)])
def test_logits_lie_on_the_input_grid(network: UNet, shape: tuple[int, int, int]) -> None:
    """Any grid whose axes are multiples of 16 comes back with one channel a label."""
    with torch.no_grad():
        logits = network(torch.rand(1, 2, *shape))
    assert logits.shape == (1, len(ANATOMY_LABELS), *shape)


def test_network_is_small() -> None:
    """The network keeps within 1.5 million parameters."""
    assert sum(weight.numel() for weight in UNet().parameters()) <= 1_500_000


def test_volumes_of_a_batch_do_not_touch(network: UNet) -> None:
    """A volume gets the same logits alone and beside another one."""
    volumes = torch.rand(2, 2, 32, 32, 48)
    with torch.no_grad():
        together = network(volumes)[1]
        alone = network(volumes[1:])[0]
    # float32 sums in another order
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_space_to_depth_moves_every_voxel_once() -> None:
    """Each 2×2×2 block becomes eight channels of one voxel."""
    volume = torch.arange(64.0).reshape(1, 1, 4, 4, 4)
    folded = space_to_depth(volume)
    assert folded.shape == (1, 8, 2, 2, 2)
    assert folded[0, :, 0, 0, 0].tolist() == [0, 1, 4, 5, 16, 17, 20, 21]
    assert sorted(folded.flatten().tolist()) == list(range(64))


@pytest.mark.parametrize("shape", [(32, 80, 144), (32, 112, 128)])
def test_bfloat16_gradients_are_finite_on_thin_slabs(shape: tuple[int, int, int]) -> None:
    """A slab whose coarsest grid is two voxels thick trains in bfloat16."""
    torch.manual_seed(0)
    network = UNet()
    with torch.autocast("cpu", torch.bfloat16):
        levels = network.supervised(torch.rand(1, 2, *shape))
    labels = torch.randint(0, 15, (1, *shape))
    segmentation_loss(levels, labels, torch.ones(15)).backward()
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters())


def test_soft_targets_are_shares_of_a_block() -> None:
    """A block with three voxels of a class holds three eighths of it."""
    labels = torch.zeros(1, 2, 2, 2, dtype=torch.uint8)
    labels[0, 0, 0, 0] = labels[0, 0, 1, 0] = labels[0, 1, 1, 1] = 2
    assert soft_targets(labels, 3).flatten().tolist() == [5 / 8, 0, 3 / 8]


def test_an_absent_class_has_no_dice_term() -> None:
    """With background alone, perfect logits have no loss left."""
    labels = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    levels = [torch.zeros(1, 3, size, size, size) for size in (16, 4, 2)]
    for level in levels:
        level[:, 0] = 50.0
    assert float(segmentation_loss(levels, labels, torch.ones(3))) == pytest.approx(0, abs=1e-6)
