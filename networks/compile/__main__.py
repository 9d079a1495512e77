"""``python -m networks.compile``: what ``onescan models compile`` runs in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from gateway.exceptions import CompilerMissingError
from networks.compile.profile import PRECISIONS
from networks.compile.run import Job, compile_repository, networks, plan
from networks.compile.tensorrt_builder import open_builder
from networks.told import answer, tell


def main(arguments: list[str] | None = None) -> int:
    """Compile, and tell the report."""
    parser = argparse.ArgumentParser(prog="python -m networks.compile", description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--checks", default="")
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args(arguments)
    job = Job(
        source=given.source,
        cache=given.cache,
        output=given.output,
        precision=given.precision,
        max_batch=given.max_batch,
        checks=[c.strip() for c in given.checks.split(",") if c.strip()] or None,
    )
    return answer(lambda: _planned(job) if given.dry_run else _compiled(job))


def _compiled(job: Job) -> dict[str, Any]:
    networks(job)  # what is wrong with the arguments is said first
    return compile_repository(job, open_builder(), tell=tell)


def _planned(job: Job) -> dict[str, Any]:
    try:
        builder = open_builder()
    except CompilerMissingError as error:
        return plan(job, None) | {"missing": str(error)}
    return plan(job, builder)


if __name__ == "__main__":
    sys.exit(main())
