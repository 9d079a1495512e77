"""Train a network on phantoms: ``python -m networks.train anatomy --minutes 60``.

Deterministic by seed when the length is given in steps; a length in minutes
makes the learning rate follow the clock. Resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from networks.inference import dice_by_class, label_volume, torch_run, windows
from networks.labels import ANATOMY_LABELS
from networks.losses import class_weights, segmentation_loss
from networks.phantoms.tissue import organ_table
from networks.pool import UNSEEN_SEED, AnatomyPool, default_folder, start_filling
from networks.sampling import AnatomySampler, NoiseBank, sample_rng, scan
from networks.unet import UNet

EMA_DECAY = 0.999
"""Weight of the past in the averaged weights; smaller at the start."""

WARM_UP_STEPS = 200

CHECKPOINT_STEPS = 250

VALIDATION_STEPS = 500

VALIDATION_PHANTOMS = 10

LOG_STEPS = 50

MOST_STEPS = 1_000_000
"""End of a run whose length is given in minutes."""

SLAB_SLICES = 30
"""Thickness of the slab that validation cuts: 90 mm, as short abdominal series are."""

GRADIENT_NORM = 1.0
"""Gradients are clipped to this L2 norm."""


@dataclass(frozen=True)
class Plan:
    """What a training run is; kept in its checkpoint.

    A resumed run must have the same plan but for its length. `start` names a
    checkpoint whose averaged weights the run begins with.
    """

    seed: int = 1
    steps: int = 0
    minutes: float = 0.0
    rate: float = 1e-3
    pool_first: int = 32
    pool_size: int = 400
    pool_every: int = 8
    workers: int = 1
    bf16: bool = True
    widths: tuple[int, ...] = (16, 32, 64, 96)
    start: str = ""


@dataclass
class State:
    """A run under way: the network, its average, the optimiser and the clock."""

    network: UNet
    average: UNet
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)


class StepSamples(Dataset[tuple[Tensor, Tensor]]):
    """The samples of a run by step number."""

    def __init__(self, sampler: AnatomySampler, start: int, stop: int) -> None:
        self.sampler = sampler
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        """Return how many steps are left."""
        return self.stop - self.start

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the (D, H, W) HU and labels of one step."""
        if index >= len(self):
            raise IndexError(index)
        sample = self.sampler.draw(self.start + index)
        return torch.from_numpy(sample.hu), torch.from_numpy(sample.labels)


def new_state(plan: Plan) -> State:
    """Build the network and its optimiser from the plan's seed."""
    torch.manual_seed(plan.seed)
    network = UNet(widths=plan.widths)
    if plan.start:
        started = torch.load(plan.start, weights_only=True)["average"]
        network.load_state_dict({**network.state_dict(), **started})
    average = UNet(widths=plan.widths)
    average.load_state_dict(network.state_dict())
    average.eval()
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=1e-2)
    return State(network, average, optimiser)


def save_state(path: Path, plan: Plan, state: State) -> None:
    """Write a checkpoint; it appears whole or not at all."""
    partial = path.with_suffix(".part")
    torch.save(
        {
            "plan": asdict(plan),
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
            "seconds": state.seconds,
        },
        partial,
    )
    partial.rename(path)


def load_state(path: Path, plan: Plan) -> State:
    """Read a checkpoint back into a state that continues it.

    Raises
    ------
    ValueError
        When the checkpoint was made under another plan.
    """
    kept: dict[str, Any] = torch.load(path, weights_only=True)
    length = ("steps", "minutes")
    ours = {key: value for key, value in asdict(plan).items() if key not in length}
    theirs = {key: value for key, value in kept["plan"].items() if key not in length}
    if {**theirs, "widths": tuple(theirs["widths"])} != ours:
        raise ValueError(f"{path} was trained with {theirs}, not {ours}")
    state = new_state(plan)
    state.network.load_state_dict(kept["network"])
    state.average.load_state_dict(kept["average"])
    state.optimiser.load_state_dict(kept["optimiser"])
    state.step, state.seconds = kept["step"], kept["seconds"]
    return state


def progress(plan: Plan, state: State) -> float:
    """Share of the run that is done, 0 to 1."""
    if plan.steps:
        return min(1.0, state.step / plan.steps)
    return min(1.0, state.seconds / (60 * plan.minutes))


def learning_rate(plan: Plan, state: State) -> float:
    """Warm up linearly, then follow half a cosine to a hundredth of the rate."""
    cosine = 0.5 * (1 + math.cos(math.pi * progress(plan, state)))
    return plan.rate * min(1.0, (state.step + 1) / WARM_UP_STEPS) * (0.01 + 0.99 * cosine)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, step: int) -> None:
    """Move the averaged weights towards the network's."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)


def train_step(plan: Plan, state: State, hu: Tensor, labels: Tensor, weights: Tensor) -> float:
    """Take one optimiser step on a batch of one; return its loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(plan, state)
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
        levels = state.network.supervised(windows(hu))
    # rare classes are found early; later the weights would only fatten their borders
    annealed = weights ** (0 if plan.start else 1 - progress(plan, state))
    loss = segmentation_loss(levels, labels, annealed)
    state.optimiser.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_NORM)
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
    else:
        state.skipped += 1
    follow(state.average, state.network, state.step)
    state.step += 1
    return float(loss.detach())


class Validation:
    """Unseen phantoms, whole and as a 90 mm slab, painted and scanned once.

    Parameters
    ----------
    pool : AnatomyPool
        Its first seed is `networks.pool.UNSEEN_SEED`.
    count : int
    """

    def __init__(self, pool: AnatomyPool, count: int) -> None:
        bank = NoiseBank(seed=1)
        self.cases: list[tuple[NDArray[np.int16], NDArray[np.uint8]]] = []
        for index in range(count):
            tissues = pool.get(index).tissues
            whole = scan(sample_rng(pool.first_seed, index), tissues, bank)
            self.cases.append((whole, organ_table()[tissues]))

    def dice(self, network: nn.Module, *, bf16: bool) -> dict[str, dict[str, float]]:
        """Return the mean Dice per class on whole volumes and on slabs through the liver."""
        run = torch_run(network, bf16=bf16)
        whole, slab = [], []
        for hu, truth in self.cases:
            whole.append(dice_by_class(label_volume(run, hu), truth, ANATOMY_LABELS))
            middle = int(np.median(np.argwhere(truth == ANATOMY_LABELS.index("liver"))[:, 0]))
            cut = slice(max(0, middle - SLAB_SLICES // 2), middle + SLAB_SLICES // 2)
            found = label_volume(run, np.ascontiguousarray(hu[cut]))
            slab.append(dice_by_class(found, truth[cut], ANATOMY_LABELS))
        return {"whole": mean_by_class(whole), "slab": mean_by_class(slab)}


def mean_by_class(cases: list[dict[str, float]]) -> dict[str, float]:
    """Average each class over the cases that hold it."""
    means = {}
    for name in cases[0]:
        held = [case[name] for case in cases if not math.isnan(case[name])]
        means[name] = round(float(np.mean(held)), 3) if held else float("nan")
    return means


def train(
    plan: Plan, out: Path, folder: Path, *, validate: bool = True, stop: int = MOST_STEPS
) -> State:
    """Train the anatomy network, from the last checkpoint when there is one.

    Parameters
    ----------
    plan : Plan
    out : Path
        Folder of checkpoint.pt and log.jsonl.
    folder : Path
        Folder of the anatomy pool.
    validate : bool
        Judge the averaged weights every VALIDATION_STEPS steps.
    stop : int
        Leave after this step with a checkpoint, to be continued later.

    Returns
    -------
    State
        After the last step.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    state = load_state(checkpoint, plan) if checkpoint.exists() else new_state(plan)
    pool = AnatomyPool(folder)
    if not all(pool.path(index).exists() for index in range(plan.pool_size)):
        start_filling(pool, plan.pool_size)
    weights = class_weights(torch.from_numpy(pool.counts(range(plan.pool_first))))
    unseen = AnatomyPool(folder, UNSEEN_SEED)
    judge = Validation(unseen, VALIDATION_PHANTOMS) if validate else None
    sampler = AnatomySampler(
        pool, plan.seed, first=plan.pool_first, size=plan.pool_size, every=plan.pool_every
    )
    samples = StepSamples(sampler, state.step, plan.steps or state.step + MOST_STEPS)
    loader = DataLoader(
        samples,
        batch_size=1,
        num_workers=plan.workers,
        prefetch_factor=8 if plan.workers else None,
    )
    started, before = time.monotonic(), state.seconds
    for hu, labels in loader:
        state.losses.append(train_step(plan, state, hu, labels, weights))
        state.seconds = before + time.monotonic() - started
        done = progress(plan, state) >= 1 or state.step >= stop
        if state.step % LOG_STEPS == 0 or done:
            report(
                out,
                state,
                loss=round(float(np.mean(state.losses[-LOG_STEPS:])), 4),
                skipped=state.skipped,
            )
        if state.step % CHECKPOINT_STEPS == 0 or done:
            save_state(checkpoint, plan, state)
        if judge and (state.step % VALIDATION_STEPS == 0 or done):
            report(out, state, **judge.dice(state.average, bf16=plan.bf16))
        if done:
            break
    return state


def report(out: Path, state: State, **figures: object) -> None:
    """Append figures to the run's log and print them."""
    line = {"step": state.step, "seconds": round(state.seconds, 1), **figures}
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Train from the command line."""
    parser = argparse.ArgumentParser(prog="python -m networks.train", description=__doc__)
    parser.add_argument("check", choices=["anatomy"])
    parser.add_argument("--out", type=Path, default=Path("build/anatomy"))
    parser.add_argument("--pool", type=Path, default=default_folder(), help="folder of label maps")
    parser.add_argument("--pool-first", type=int, default=Plan.pool_first)
    parser.add_argument("--pool-size", type=int, default=Plan.pool_size)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=Plan.workers)
    parser.add_argument("--rate", type=float, default=Plan.rate, help="peak learning rate")
    parser.add_argument("--start", default="", help="checkpoint to begin with")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int, default=0)
    length.add_argument("--minutes", type=float, default=0.0)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    plan = Plan(
        seed=given.seed,
        steps=given.steps,
        minutes=given.minutes,
        pool_first=given.pool_first,
        pool_size=given.pool_size,
        workers=given.workers,
        rate=given.rate,
        start=given.start,
    )
    train(plan, given.out, given.pool)


if __name__ == "__main__":
    main()
