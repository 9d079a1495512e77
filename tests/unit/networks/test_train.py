"""Training: resumable to the same loss, and able to learn."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from networks.engine import (
    Plan,
    averaged,
    device_named,
    learning_rate,
    load_state,
    new_state,
    save_state,
    train,
)
from networks.pool import AnatomyPool
from networks.tasks import task_of
from networks.tasks.anatomy import AnatomyTask

TINY = Plan(seed=5, steps=4, workers=0, bf16=False)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums are ordered the same way in both runs."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def boxes(box_pool: AnatomyPool) -> AnatomyTask:
    return AnatomyTask(box_pool.folder, pool_first=2, pool_size=2, widths=(4, 8, 8, 8))


def test_resumed_training_repeats_the_uninterrupted_one(boxes: AnatomyTask, tmp_path: Path) -> None:
    """Two steps, a checkpoint and two steps give the losses of four steps."""
    whole = train(boxes, TINY, tmp_path / "whole", validate=False)
    first = train(boxes, TINY, tmp_path / "parts", validate=False, stop=2)
    second = train(boxes, TINY, tmp_path / "parts", validate=False)
    assert first.losses + second.losses == whole.losses
    assert len(whole.losses) == 4
    for ours, theirs in zip(second.average.parameters(), whole.average.parameters()):
        assert torch.equal(ours, theirs)
    lines = (tmp_path / "parts" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4]


def test_a_finished_run_is_not_trained_further(boxes: AnatomyTask, tmp_path: Path) -> None:
    """The same command again gives the state of the checkpoint and takes no step."""
    train(boxes, replace(TINY, steps=1), tmp_path, validate=False)
    again = train(boxes, replace(TINY, steps=1), tmp_path, validate=False)
    assert (again.step, again.losses) == (1, [])


def test_accumulated_batches_draw_the_samples_of_their_step(
    boxes: AnatomyTask, tmp_path: Path
) -> None:
    """A step of two accumulated samples is the mean of the losses that the samples give alone."""
    two = train(boxes, replace(TINY, steps=1, accumulate=2), tmp_path / "two", validate=False)
    network = new_state(boxes, TINY).network.requires_grad_(False)
    alone = []
    for number in (0, 1):
        batch = {key: value[None] for key, value in boxes.sampler(TINY.seed).draw(number).items()}
        alone.append(float(boxes.loss(boxes.forward(network, batch), batch, 0.0)["segmentation"]))
    assert two.losses == [pytest.approx(sum(alone) / 2, rel=1e-5)]


def test_a_checkpoint_of_another_plan_is_refused(boxes: AnatomyTask, tmp_path: Path) -> None:
    """Resuming under another seed would not be the training that was begun."""
    path = tmp_path / "checkpoint.pt"
    save_state(path, boxes, TINY, new_state(boxes, TINY))
    with pytest.raises(ValueError, match="was trained with"):
        load_state(path, boxes, replace(TINY, seed=6))
    longer = load_state(path, boxes, replace(TINY, steps=9))
    assert longer.step == 0


def test_a_checkpoint_without_a_check_is_of_the_anatomy(boxes: AnatomyTask, tmp_path: Path) -> None:
    """What was saved before there were tasks is resumed and exported as before."""
    path = tmp_path / "checkpoint.pt"
    state = new_state(boxes, TINY)
    save_state(path, boxes, TINY, state)
    kept = torch.load(path, weights_only=True)
    later = {"check", "batch", "accumulate", "device"}
    kept["plan"] = {key: value for key, value in kept["plan"].items() if key not in later}
    torch.save(kept, path)
    assert load_state(path, boxes, TINY).step == 0
    task = task_of({"check": "anatomy", **kept["plan"]}, pool=tmp_path)
    assert task.options() == boxes.options()
    plain = averaged(task, path).state_dict()
    assert all(torch.equal(plain[key], kept["average"][key]) for key in plain)


def test_an_interrupted_checkpoint_leaves_the_last_one(boxes: AnatomyTask, tmp_path: Path) -> None:
    """What is being written never has the name of a checkpoint."""
    path = tmp_path / "checkpoint.pt"
    save_state(path, boxes, TINY, new_state(boxes, TINY))
    path.with_suffix(".part").write_bytes(b"half")
    assert load_state(path, boxes, TINY).step == 0
    assert asdict(TINY).items() <= torch.load(path, weights_only=True)["plan"].items()


def test_learning_rate_warms_up_and_falls(boxes: AnatomyTask) -> None:
    """It rises over the first 200 steps and ends at a hundredth."""
    plan = replace(TINY, steps=1000)
    state = new_state(boxes, plan)
    rates = []
    for step in (0, 199, 500, 1000):
        state.step = step
        rates.append(learning_rate(plan, state))
    assert rates[0] < rates[1] > rates[2] > rates[3]
    assert rates[3] == pytest.approx(plan.rate / 100)


def test_an_absent_device_is_refused() -> None:
    """``auto`` is the CPU where there is no GPU; asking for cuda there is an error."""
    assert device_named("cpu") == "cpu"
    if not torch.cuda.is_available():
        assert device_named("auto") == "cpu"
        with pytest.raises(ValueError, match="no CUDA"):
            device_named("cuda")
