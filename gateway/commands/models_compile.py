"""``onescan models compile``: engines for the machine at hand, and a repository of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.settings import Settings

VERB = "compile"
HELP = "compile the networks for the GPU at hand into another repository"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare target, profile and folders."""
    parser.add_argument(
        "--target", choices=("tensorrt", "torch"), required=True,
        help="torch where TensorRT is not: packages for Triton's Python backend",
    )  # fmt: skip
    parser.add_argument(
        "--device", choices=("auto", "cuda", "cpu"), default="auto",
        help="of the target torch; auto takes a GPU where one is (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--ahead-of-time",
        choices=("auto", "yes", "no", "tensorrt"),
        default="auto",
        help="whether torch compiles by AOTInductor, which auto does for a GPU, or by"
        " torch-tensorrt (default: %(default)s)",
    )
    parser.add_argument(
        "--precision", choices=("fp16", "fp32"),
        help="fp16 falls back to fp32 by network where parity asks for it, and is the default but"
        " for torch on the CPU",
    )  # fmt: skip
    parser.add_argument(
        "--arrays", choices=("cpu", "gpu"), default="cpu",
        help="where preprocessing and postprocessing keep volumes; gpu needs CuPy in Triton's"
        " Python and was not run on one yet (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--max-batch", type=int, default=8, metavar="N",
        help="largest batch, where a network does not take less (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--cache", type=Path, required=True, metavar="DIR",
        help="engines that were made before; several machines may share it",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="the repository that is written"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be compiled for which shapes"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Compile what the checks of ONESCAN_WORKER__CHECKS need; empty is all."""
    from gateway.runtime.networks_process import run_networks

    report = run_networks(
        "networks.compile",
        [
            f"--source={settings.model_repository}",
            f"--cache={args.cache}",
            f"--output={args.output}",
            f"--target={args.target}",
            f"--device={args.device}",
            f"--ahead-of-time={args.ahead_of_time}",
            *([f"--precision={args.precision}"] if args.precision else []),
            f"--max-batch={args.max_batch}",
            f"--arrays={args.arrays}",
            f"--checks={settings.worker.checks}",
            *(["--dry-run"] if args.dry_run else []),
        ],
    )
    if args.json:
        print(json.dumps(report, indent=2))
    elif args.dry_run:
        _show_plan(report)
    else:
        _show(report, args.output)
    return 0


def _show(report: dict[str, Any], output: Path) -> None:
    table = Table(title=str(output), title_justify="left")
    for heading in ("network", "outcome", "precision", "seconds", "parity with ONNX Runtime"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "network")
    for row in report["networks"]:
        said = row.get("parity", {}).get("measured", "")
        table.add_row(
            row["network"], row["outcome"], row.get("precision", ""), str(row.get("seconds", "")),
            "; ".join(text for text in (said, row.get("why", "")) if text),
        )  # fmt: skip
    Console().print(table)


def _show_plan(report: dict[str, Any]) -> None:
    table = Table(title="What would be compiled", title_justify="left")
    for heading in ("network", "precision", "batch", "input", "least", "usual", "most", "engine"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "network")
    for row in report["networks"]:
        for index, (name, ends) in enumerate(row["shapes"].items()):
            shapes = [" × ".join(map(str, ends[end])) for end in ("least", "usual", "most")]
            engine = ("cached " if row.get("cached") else "") + row.get("digest", "")[:12]
            first = (row["network"], row["precision"], str(row["max_batch"]))
            table.add_row(*(first if index == 0 else ("",) * 3), name, *shapes, engine)
    Console().print(table)
    if missing := report.get("missing"):
        print(f"onescan: {missing}", file=sys.stderr)
