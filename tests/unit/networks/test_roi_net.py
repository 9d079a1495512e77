"""The networks of the checks that look at one box: size, shapes, heads, exported files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from networks.export import ParityError
from networks.nets.heads import lesion_logit, shrunk, weighted_mean
from networks.nets.roi_net import RoiNet, RoiShape, fold
from networks.tasks.aorta import AortaTask
from networks.tasks.calcium import CalciumTask
from networks.tasks.pancreas import PancreasTask
from networks.tasks.roi import RoiTask, hold_to
from networks.tasks.stomach import StomachTask
from networks.unet import space_to_depth

TASKS = (PancreasTask, StomachTask, AortaTask, CalciumTask)

SMALL = RoiShape(channels=2, classes=4, lesion=2, kinds=3, widths=(4, 6, 8, 8))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Small networks are done sooner by one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def network() -> RoiNet:
    torch.manual_seed(0)
    return RoiNet(SMALL).eval()


@pytest.mark.parametrize("task", TASKS)
def test_networks_are_small_and_take_multiples_of_16(task: type[RoiTask]) -> None:
    """Between .3 and 1.5 million parameters; one multiple for all axes, as a recipe has."""
    size = sum(weight.numel() for weight in RoiNet(task.shape).parameters())
    assert 300_000 <= size <= 1_500_000
    assert all(16 % multiple == 0 for multiple in task.shape.multiple)
    assert len(task.labels) == task.shape.classes
    assert len(task.windows_hu) == task.shape.channels
    assert len(task.kinds) == task.shape.kinds


def test_folding_is_space_to_depth() -> None:
    """Of blocks of 2×2×2 it is what the anatomy network does."""
    volume = torch.rand(1, 2, 4, 6, 8)
    assert torch.equal(fold(volume, (2, 2, 2)), space_to_depth(volume))
    assert fold(volume, (1, 2, 4)).shape == (1, 16, 4, 3, 2)


def test_answers_have_the_shapes_of_their_grid(network: RoiNet) -> None:
    """Logits on the input's grid and on two coarser ones, a score and kinds a patient."""
    with torch.no_grad():
        answer = network(torch.rand(2, 2, 16, 32, 48))
    assert [tuple(level.shape) for level in answer.levels] == [
        (2, 4, 16, 32, 48),
        (2, 4, 8, 8, 12),
        (2, 4, 4, 4, 6),
    ]
    assert answer.score is not None
    assert answer.kinds is not None
    assert answer.score.shape == (2,)
    assert answer.kinds.shape == (2, 3)


def test_patients_of_a_batch_do_not_touch(network: RoiNet) -> None:
    """A box gets the same score and kinds alone and beside another one."""
    volumes = torch.rand(2, 2, 16, 32, 32)
    with torch.no_grad():
        together, alone = network(volumes), network(volumes[1:])
    # float32 sums in another order
    torch.testing.assert_close(together.score[1:], alone.score, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together.kinds[1:], alone.kinds, atol=1e-4, rtol=1e-4)


def test_lesion_logit_is_the_log_odds() -> None:
    """Its sigmoid is the softmax of the label."""
    logits = torch.randn(1, 4, 2, 3, 4)
    torch.testing.assert_close(lesion_logit(logits, 2).sigmoid(), logits.softmax(1)[:, 2])


def test_an_untrained_score_is_the_evidence_of_voxels(network: RoiNet) -> None:
    """Before training it rises with the lesion's logits and nothing else."""
    volume, maps = torch.rand(1, 2, 16, 32, 32), []
    with torch.no_grad():
        maps = network.features(volume)
        steps = (SMALL.stem, *SMALL.strides)
        margin, organ = torch.full((1, 16, 32, 32), -6.0), torch.rand(1, 16, 32, 32)
        low = network.patient(volume, maps, margin, organ, steps)
        margin[0, 4:8, 4:8, 4:8] = 6.0
        high = network.patient(volume, maps, margin, organ, steps)
    assert float(low) < 0 < float(high)


def test_pooling_reads_where_it_is_weighted() -> None:
    """The mean under weights that hold one corner is that corner's; shares keep their mean."""
    values = torch.zeros(1, 1, 4, 4, 4)
    values[..., 0, 0, 0] = 7.0
    weights = torch.zeros(1, 1, 4, 4, 4)
    weights[..., 0, 0, 0] = 1.0
    assert float(weighted_mean(values, weights)) == pytest.approx(7.0, rel=2e-3)
    levels = shrunk(torch.rand(1, 1, 4, 8, 8), ((1, 2, 2), (2, 2, 2)))
    assert [tuple(level.shape[2:]) for level in levels] == [(4, 4, 4), (2, 2, 2)]
    assert float(levels[1].mean()) == pytest.approx(float(levels[0].mean()), rel=1e-5)


def test_bfloat16_gradients_are_finite(network: RoiNet) -> None:
    """Every weight learns, in bfloat16 as well, and none from what is not finite."""
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(torch.rand(1, 2, 32, 48, 48))
    total = sum(level.float().square().mean() for level in answer.levels)
    (total + answer.score.square().sum() + answer.kinds.square().sum()).backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name


@pytest.mark.parametrize("task", TASKS)
def test_exported_file_answers_as_torch_does(task: type[RoiTask], tmp_path: Path) -> None:
    """Opset 17, a dynamic batch and grid, and the tensors that the server's contract names."""
    torch.manual_seed(1)
    path = tmp_path / "1" / "model.onnx"
    task(tmp_path).export(RoiNet(task.shape).eval(), path)
    model = onnx.load(path)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", 17)]
    assert [value.name for value in model.graph.input] == ["volume"]
    names = [value.name for value in model.graph.output]
    expected = ["labels", "lesion", "score", "kinds"]
    assert names == expected[: 1 + 2 * bool(task.shape.lesion) + bool(task.shape.kinds)]
    for value in (*model.graph.input, *model.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_param == "n"
    assert path.stat().st_size <= 8_000_000


def test_a_file_that_answers_otherwise_is_refused() -> None:
    """Another label, another heat, another score, another shape: each is an error."""
    ours = {
        "labels": torch.zeros(1, 4, 4, 4, dtype=torch.uint8),
        "lesion": torch.full((1, 4, 4, 4), 100, dtype=torch.uint8),
        "score": torch.tensor([[0.5]]),
    }
    same = {name: value.numpy().copy() for name, value in ours.items()}
    hold_to(ours, same)
    same["lesion"] += 3  # the rounding of a float that torch rounds otherwise
    hold_to(ours, same)
    for name, other in (
        ("labels", np.ones((1, 4, 4, 4), np.uint8)),
        ("lesion", np.full((1, 4, 4, 4), 110, np.uint8)),
        ("score", np.array([[0.51]], np.float32)),
        ("score", np.array([0.5], np.float32)),
    ):
        with pytest.raises(ParityError, match=name):
            hold_to(ours, same | {name: other})
