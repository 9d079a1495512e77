"""Training: resumable to the same loss, and able to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from networks.pool import AnatomyPool
from networks.train import Plan, learning_rate, load_state, new_state, save_state, train

TINY = Plan(seed=5, steps=4, pool_first=2, pool_size=2, workers=0, bf16=False, widths=(4, 8, 8, 8))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Sums are ordered the same way in both runs."""
    torch.set_num_threads(1)


def test_resumed_training_repeats_the_uninterrupted_one(
    box_pool: AnatomyPool, tmp_path: Path
) -> None:
    """Two steps, a checkpoint and two steps give the losses of four steps."""
    whole = train(TINY, tmp_path / "whole", box_pool.folder, validate=False)
    first = train(TINY, tmp_path / "parts", box_pool.folder, validate=False, stop=2)
    second = train(TINY, tmp_path / "parts", box_pool.folder, validate=False)
    assert first.losses + second.losses == whole.losses
    assert len(whole.losses) == 4
    for ours, theirs in zip(second.average.parameters(), whole.average.parameters()):
        assert torch.equal(ours, theirs)


def test_a_checkpoint_of_another_plan_is_refused(tmp_path: Path) -> None:
    """Resuming under another seed would not be the training that was begun."""
    save_state(tmp_path / "checkpoint.pt", TINY, new_state(TINY))
    with pytest.raises(ValueError, match="was trained with"):
        load_state(tmp_path / "checkpoint.pt", replace(TINY, seed=6))
    longer = load_state(tmp_path / "checkpoint.pt", replace(TINY, steps=9))
    assert longer.step == 0


def test_learning_rate_warms_up_and_falls() -> None:
    """It rises over the first 200 steps and ends at a hundredth."""
    plan = replace(TINY, steps=1000)
    state = new_state(plan)
    rates = []
    for step in (0, 199, 500, 1000):
        state.step = step
        rates.append(learning_rate(plan, state))
    assert rates[0] < rates[1] > rates[2] > rates[3]
    assert rates[3] == pytest.approx(plan.rate / 100)
