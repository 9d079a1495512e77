"""``python -m networks.compile``: what ``onescan models compile`` runs in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from gateway.exceptions import CompilerMissingError
from networks.compile import tensorrt_builder, torch_builder
from networks.compile.builder import Builder
from networks.compile.profile import PRECISIONS
from networks.compile.run import ARRAYS, Job, compile_repository, networks, plan
from networks.told import answer, tell


def main(arguments: list[str] | None = None) -> int:
    """Compile, and tell the report."""
    parser = argparse.ArgumentParser(prog="python -m networks.compile", description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--target", choices=("tensorrt", "torch"), default="tensorrt")
    parser.add_argument("--device", choices=torch_builder.DEVICES, default="auto")
    parser.add_argument("--ahead-of-time", choices=torch_builder.AHEAD, default="auto")
    parser.add_argument("--precision", choices=PRECISIONS)
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--checks", default="")
    parser.add_argument("--arrays", choices=ARRAYS, default="cpu")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    job = Job(
        source=given.source,
        cache=given.cache,
        output=given.output,
        precision=given.precision or _precision(given),
        max_batch=given.max_batch,
        arrays=given.arrays,
        checks=[c.strip() for c in given.checks.split(",") if c.strip()] or None,
    )
    return answer(lambda: _planned(job, given) if given.dry_run else _compiled(job, given))


def _open(given: argparse.Namespace) -> Builder:
    if given.target == "torch":
        return torch_builder.open_builder(given.device, given.ahead_of_time)
    return tensorrt_builder.open_builder()


def _precision(given: argparse.Namespace) -> str:
    """Return fp16 for a GPU; a CPU multiplies it no faster than fp32."""
    if given.target != "torch" or given.device == "cuda":
        return "fp16"
    try:
        on_gpu = given.device == "auto" and torch_builder.open_builder().device == "cuda"
    except CompilerMissingError:
        on_gpu = False
    return "fp16" if on_gpu else "fp32"


def _compiled(job: Job, given: argparse.Namespace) -> dict[str, Any]:
    networks(job)  # what is wrong with the arguments is said first
    return compile_repository(job, _open(given), tell=tell)


def _planned(job: Job, given: argparse.Namespace) -> dict[str, Any]:
    try:
        builder = _open(given)
    except CompilerMissingError as error:
        return plan(job, None) | {"missing": str(error)}
    return plan(job, builder)


if __name__ == "__main__":
    sys.exit(main())
