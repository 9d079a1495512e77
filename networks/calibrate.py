"""Set a check's thresholds: ``python -m networks.calibrate CHECKPOINT --out thresholds.toml``.

A flag may reach the check's share of the false-flag budget on healthy phantoms that neither
training nor the test has seen (pipelines.md §7.3).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from networks.engine import Plan, averaged, device_named, read_checkpoint
from networks.evaluation.thresholds import FILE, write_thresholds
from networks.tasks import task_class, task_of


def main(arguments: list[str] | None = None) -> None:
    """Calibrate from the command line; prints the thresholds and writes them."""
    parser = argparse.ArgumentParser(prog="python -m networks.calibrate", description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, help="beside the checkpoint by default")
    parser.add_argument("--pool", type=Path, help="folder of what is drawn beforehand")
    parser.add_argument("--patients", type=int, default=250, help="healthy ones")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    recorded = read_checkpoint(given.checkpoint)["plan"]
    pool = given.pool or task_class(recorded["check"]).default_pool()
    task = task_of(recorded, pool=pool)
    plan = Plan(workers=given.workers, bf16=False, device=device_named(given.device))
    network = averaged(task, given.checkpoint).to(plan.device)
    told = task.calibrate(network, plan, given.patients)
    path = given.out or given.checkpoint.with_name(FILE)
    write_thresholds(path, told)
    print(path.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
