"""Train a network on phantoms: ``python -m networks.train CHECK --minutes 60``.

Deterministic by seed when the length is given in steps; a length in minutes
makes the learning rate follow the clock. Resumes from its last checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from networks.engine import Plan, device_named, train
from networks.tasks import task_class, trainable


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    described = argparse.ArgumentParser(prog="python -m networks.train", description=__doc__)
    described.add_argument("check", choices=trainable())
    described.add_argument("--out", type=Path, help="folder of the run; build/CHECK by default")
    described.add_argument("--pool", type=Path, help="folder of what is drawn beforehand")
    described.add_argument("--pool-first", type=int, help="phantoms to begin with")
    described.add_argument("--pool-size", type=int, help="phantoms to draw in all")
    described.add_argument("--crops", type=int, help="parts of each scanned box; 0: whole boxes")
    described.add_argument("--seed", type=int)
    described.add_argument("--threads", type=int, default=2)
    described.add_argument("--workers", type=int, help="processes that draw samples")
    described.add_argument("--rate", type=float, help="peak learning rate")
    described.add_argument("--batch", type=int, help="samples that go through at once")
    described.add_argument("--accumulate", type=int, help="batches a step")
    described.add_argument("--start", help="checkpoint to begin with")
    described.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    described.add_argument("--judged", type=int, help="phantoms that validation looks at; 0: none")
    length = described.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    return described


def main(arguments: list[str] | None = None) -> None:
    """Train from the command line."""
    described = parser()
    given = described.parse_args(arguments)
    found = task_class(given.check)
    options: dict[str, Any] = {
        name: value
        for name in (field.name for field in fields(found) if field.name != "pool")
        if (value := getattr(given, name, None)) is not None
    }
    names = ("seed", "steps", "minutes", "rate", "batch", "accumulate", "workers", "start")
    values = {n: value for n in names if (value := getattr(given, n)) is not None}
    try:
        values["device"] = device_named(given.device)
    except ValueError as error:
        described.error(str(error))
    torch.set_num_threads(given.threads)
    train(
        found(pool=given.pool or found.default_pool(), **options),
        Plan(**{**found.plan, **values}),
        given.out or Path("build") / given.check,
        validate=given.judged != 0,
    )


if __name__ == "__main__":
    main()
