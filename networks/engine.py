"""The loop that trains every network: one optimiser, one clock, one checkpoint, one log.

What is particular to a network is a `networks.tasks.task.Task`. A run is deterministic by its seed
when its length is given in steps; a length in minutes makes the learning rate follow the clock.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader, Dataset

from networks.tasks.task import Sample, Sampler, Task

EMA_DECAY = 0.999
"""Weight of the past in the averaged weights; smaller at the start."""

WARM_UP_STEPS = 200

CHECKPOINT_STEPS = 250

LOG_STEPS = 50

MOST_STEPS = 1_000_000
"""End of a run whose length is given in minutes."""

GRADIENT_NORM = 1.0
"""Gradients are clipped to this L2 norm."""

FREE = ("steps", "minutes", "workers", "device")
"""What a resumed run may have otherwise than the run that it continues."""


@dataclass(frozen=True)
class Plan:
    """What a training run is; kept in its checkpoint together with the task's options.

    A step takes `accumulate` batches of `batch` samples. `start` names a checkpoint whose averaged
    weights the run begins with.
    """

    seed: int = 1
    steps: int = 0
    minutes: float = 0.0
    rate: float = 1e-3
    batch: int = 1
    accumulate: int = 1
    workers: int = 1
    bf16: bool = True
    device: str = "cpu"
    start: str = ""

    def autocast(self) -> torch.autocast:
        """Return the context in which forward passes run."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.bf16)

    def recorded(self, task: Task) -> dict[str, Any]:
        """Return what a checkpoint says of the run."""
        return {"check": task.name, **asdict(self), **task.options()}


@dataclass
class State:
    """A run under way: the network, its average, the optimiser and the clock."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    skipped: int = 0
    losses: list[float] = field(default_factory=list)
    terms: list[dict[str, float]] = field(default_factory=list)


class RunSamples(Dataset[Sample]):
    """The samples of a run by number, from one on."""

    def __init__(self, sampler: Sampler, start: int, stop: int) -> None:
        self.sampler = sampler
        self.start = start
        self.stop = stop

    def __len__(self) -> int:
        """Return how many samples are left."""
        return self.stop - self.start

    def __getitem__(self, index: int) -> Sample:
        """Return one sample."""
        if index >= len(self):
            raise IndexError(index)
        return self.sampler.draw(self.start + index)


def new_state(task: Task, plan: Plan) -> State:
    """Build the network and its optimiser from the plan's seed."""
    torch.manual_seed(plan.seed)
    network = task.network()
    if plan.start:
        started = torch.load(plan.start, weights_only=True)["average"]
        network.load_state_dict({**network.state_dict(), **started})
    average = task.network()
    average.load_state_dict(network.state_dict())
    average.eval()
    network.to(plan.device)
    average.to(plan.device)
    optimiser = torch.optim.AdamW(network.parameters(), plan.rate, weight_decay=1e-2)
    return State(network, average, optimiser)


def save_state(path: Path, task: Task, plan: Plan, state: State) -> None:
    """Write a checkpoint; it appears whole or not at all."""
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        torch.save(
            {
                "plan": plan.recorded(task),
                "network": state.network.state_dict(),
                "average": state.average.state_dict(),
                "optimiser": state.optimiser.state_dict(),
                "step": state.step,
                "seconds": state.seconds,
            },
            file,
        )
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; one of before there were tasks is of the anatomy network."""
    kept: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    kept["plan"] = {"check": "anatomy", **asdict(Plan()), **kept["plan"]}
    return kept


def load_state(path: Path, task: Task, plan: Plan) -> State:
    """Read a checkpoint back into a state that continues it.

    Raises
    ------
    ValueError
        When the checkpoint was made under another plan.
    """
    kept = read_checkpoint(path)
    ours, theirs = _comparable(plan.recorded(task)), _comparable(kept["plan"])
    if theirs != ours:
        raise ValueError(f"{path} was trained with {theirs}, not {ours}")
    state = new_state(task, plan)
    state.network.load_state_dict(kept["network"])
    state.average.load_state_dict(kept["average"])
    state.optimiser.load_state_dict(kept["optimiser"])
    state.step, state.seconds = kept["step"], kept["seconds"]
    return state


def _comparable(recorded: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(recorded))
    return {key: value for key, value in plain.items() if key not in FREE}


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
    """Move the averaged weights towards the network's, and copy its buffers."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for ours, theirs in zip(average.buffers(), network.buffers(), strict=True):
        ours.copy_(theirs)


def train_step(task: Task, plan: Plan, state: State, batches: Sequence[Sample]) -> float:
    """Take one optimiser step on the mean loss of some batches; return that loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = learning_rate(plan, state)
    maturity = 1.0 if plan.start else progress(plan, state)
    state.optimiser.zero_grad()
    sums: dict[str, float] = {}
    for batch in batches:
        placed = {name: value.to(plan.device, non_blocking=True) for name, value in batch.items()}
        with plan.autocast():
            outputs = task.forward(state.network, placed)
        terms = task.loss(outputs, placed, maturity)
        loss = torch.stack(list(terms.values())).sum() / len(batches)
        loss.backward()
        for name, term in terms.items():
            sums[name] = sums.get(name, 0.0) + float(term.detach()) / len(batches)
    norm = nn.utils.clip_grad_norm_(state.network.parameters(), GRADIENT_NORM)
    if bool(torch.isfinite(norm)):
        state.optimiser.step()
    else:
        state.skipped += 1
    follow(state.average, state.network, state.step)
    state.step += 1
    state.terms.append(sums)
    return sum(sums.values())


def train(
    task: Task, plan: Plan, out: Path, *, validate: bool = True, stop: int = MOST_STEPS
) -> State:
    """Train a network, from the last checkpoint when there is one.

    Parameters
    ----------
    task : Task
    plan : Plan
    out : Path
        Folder of checkpoint.pt and log.jsonl.
    validate : bool
        Judge the averaged weights every `task.validate_every` steps.
    stop : int
        Leave after this step with a checkpoint, to be continued later.

    Returns
    -------
    State
        After the last step.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / "checkpoint.pt"
    state = load_state(checkpoint, task, plan) if checkpoint.exists() else new_state(task, plan)
    if progress(plan, state) >= 1:
        return state
    task.prepare()
    started, before = time.monotonic(), state.seconds
    with _bar(task.name) as bar:
        row = bar.add_task(task.name, total=1.0, figures="")
        for batches in step_batches(task, plan, state):
            state.losses.append(train_step(task, plan, state, batches))
            state.seconds = before + time.monotonic() - started
            share = progress(plan, state)
            done = share >= 1 or state.step >= stop
            bar.update(row, completed=share, figures=f"{state.step} · {state.losses[-1]:.3f}")
            if state.step % LOG_STEPS == 0 or done:
                report(out, state, bar.console, **mean_losses(state), skipped=state.skipped)
            if state.step % CHECKPOINT_STEPS == 0 or done:
                save_state(checkpoint, task, plan, state)
            if validate and (state.step % task.validate_every == 0 or done):
                report(out, state, bar.console, **task.validate(state.average, plan))
            if done:
                break
    return state


def step_batches(task: Task, plan: Plan, state: State) -> Iterator[list[Sample]]:
    """Yield the batches of each step that is left."""
    each = plan.batch * plan.accumulate
    stop = (plan.steps or state.step + MOST_STEPS) * each
    loader = DataLoader(
        RunSamples(task.sampler(plan.seed), state.step * each, stop),
        batch_size=plan.batch,
        num_workers=plan.workers,
        prefetch_factor=8 if plan.workers else None,
    )
    batches = iter(loader)
    while group := list(islice(batches, plan.accumulate)):
        yield group


def mean_losses(state: State) -> dict[str, float]:
    """Return the mean of the last losses, and of their terms where there are several."""
    recent = state.terms[-LOG_STEPS:]
    means = {"loss": round(float(np.mean(state.losses[-LOG_STEPS:])), 4)}
    if len(recent[-1]) > 1:
        for name in recent[-1]:
            means[name] = round(float(np.mean([terms[name] for terms in recent])), 4)
    return means


def _bar(name: str) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % · {task.fields[figures]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def report(out: Path, state: State, console: Console, **figures: object) -> None:
    """Append figures to the run's log and show them."""
    line = json.dumps({"step": state.step, "seconds": round(state.seconds, 1), **figures})
    with (out / "log.jsonl").open("a") as log:
        log.write(line + "\n")
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def device_named(name: str) -> str:
    """Return cpu or cuda for auto, cpu or cuda.

    Raises
    ------
    ValueError
        When cuda is asked for and there is none.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("there is no CUDA device here; use --device cpu")
    return name


def averaged(task: Task, checkpoint: Path) -> nn.Module:
    """Return the network of a checkpoint with its averaged weights, ready to be used.

    Raises
    ------
    ValueError
        When the checkpoint is of another check.
    """
    kept = read_checkpoint(checkpoint)
    if kept["plan"]["check"] != task.name:
        raise ValueError(f"{checkpoint} is of {kept['plan']['check']}, not of {task.name}")
    network = task.network()
    network.load_state_dict(kept["average"])
    return network.eval()
