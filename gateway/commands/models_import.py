"""``onescan models import``: a network of others, checked and put into a repository."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from gateway.exceptions import UsageError
from gateway.settings import ROOT, Settings

VERB = "import"
HELP = "check a network of your own against its pipeline.toml and install it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the network and what is said of it."""
    parser.add_argument(
        "path", type=Path, metavar="PATH",
        help="an ONNX file, a MONAI bundle's folder or an nnU-Net v2 checkpoint's folder",
    )  # fmt: skip
    parser.add_argument(
        "--pipeline", type=Path, required=True, metavar="FILE", help="its pipeline.toml"
    )
    parser.add_argument("--name", default="", help="of the check, in place of the file's")
    parser.add_argument(
        "--allow-code", action="store_true",
        help="also take files that can run code when they are loaded: only from whom you trust",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Check and install; nothing is changed where anything is wrong."""
    from gateway.runtime.networks_process import run_networks

    repository = Path(settings.triton.model_repository)
    if not settings.triton.model_repository:
        raise UsageError(
            "Set ONESCAN_TRITON__MODEL_REPOSITORY to a repository of your own, such as a copy of"
            " the one that came with this package: an update would overwrite that one."
        )
    if repository.resolve() == (ROOT / "model_repository").resolve():
        raise UsageError(
            "ONESCAN_TRITON__MODEL_REPOSITORY names the repository that came with this package,"
            " which an update overwrites; copy it elsewhere first."
        )
    report = run_networks(
        "networks.bring",
        [
            str(args.path.absolute()),
            f"--pipeline={args.pipeline.absolute()}",
            f"--repository={repository.absolute()}",
            f"--name={args.name}",
            *(["--allow-code"] if args.allow_code else []),
        ],
    )
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"{report['check']} is in {repository}: {', '.join(report['models'])}.")
    print(f"From {report['source']}; on a phantom: {report['phantom']}")
    for note in report["notes"]:
        print(note, file=sys.stderr)
    return 0
