"""``onescan phantom``: a synthetic study with known truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "phantom"
HELP = "write a synthetic study and its truth.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the phantom has and how it is scanned."""
    parser.add_argument("out", metavar="OUT", type=Path, help="folder to write into")
    parser.add_argument(
        "--seed", type=int, required=True, help="the same seed gives the same study"
    )
    parser.add_argument(
        "--modality",
        default="CT",
        choices=("CT", "DX", "CR"),
        help="CT by default; DX and CR are a child's hand, of which the rest says nothing",
    )
    parser.add_argument(
        "--finding",
        metavar="NAME",
        action="append",
        default=[],
        help="plant a finding: a check's name or a kind of lesion; may be given several times",
    )
    parser.add_argument(
        "--difficulty",
        default="medium",
        choices=("easy", "medium", "hard"),
        help="how hard the findings are to see, by an ideal observer's d′",
    )
    parser.add_argument(
        "--no-confounders",
        action="store_true",
        help="plant nothing that only looks like a finding",
    )
    parser.add_argument(
        "--phase",
        default="native",
        choices=("native", "arterial", "venous", "delayed"),
        help="contrast phase",
    )
    parser.add_argument("--pdff", type=float, metavar="PERCENT", help="liver fat fraction")
    parser.add_argument("--profile", metavar="NAME", help="scanner profile")
    parser.add_argument(
        "--vendor", metavar="V", help="GE, SIEMENS, PHILIPS, CANON or UIH; the seed chooses a model"
    )
    parser.add_argument(
        "--artefact",
        metavar="NAME",
        action="append",
        default=[],
        help="ring, streak, metal or truncation; may be given several times",
    )
    parser.add_argument("--matrix", type=int, default=512, help="rows and columns")
    parser.add_argument("--slices", type=int, help="slices of the thin series; all by default")
    parser.add_argument(
        "--increment", type=float, default=1.0, metavar="MM", help="mm between slices"
    )
    parser.add_argument(
        "--enhanced", action="store_true", help="one Enhanced CT multi-frame object"
    )
    parser.add_argument(
        "--masks", action="store_true", help="also write the lesions' masks, lesions.npz"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Write the study and print where."""
    from networks.phantoms.study import CHART

    if args.out.exists() and any(args.out.iterdir()):
        raise UsageError(f"{args.out} is not empty.")
    try:
        truth = _hand(args) if args.modality != "CT" else _ct(args)
    except ValueError as error:
        raise UsageError(str(error)) from None
    told = {
        "folder": str(args.out),
        "study_instance_uid": truth["study_instance_uid"],
        "truth": str(args.out / "truth.json"),
    }
    if (args.out / CHART).exists():
        told["clinical"] = str(args.out / CHART)
    print(json.dumps(told))
    return 0


def _hand(args: argparse.Namespace) -> dict[str, Any]:
    from networks.phantoms.hand_study import make_hand_study

    if args.finding:
        raise UsageError("--finding is planted into CT only.")
    truth: dict[str, Any] = make_hand_study(args.out, seed=args.seed, modality=args.modality)
    return truth


def _ct(args: argparse.Namespace) -> dict[str, Any]:
    from networks.phantoms.study import make_study

    truth: dict[str, Any] = make_study(
        args.out,
        seed=args.seed,
        findings=tuple(args.finding),
        difficulty=args.difficulty,
        confounders=not args.no_confounders,
        phase=args.phase,
        pdff_percent=args.pdff,
        profile=args.profile,
        vendor=args.vendor,
        artefacts=tuple(args.artefact),
        matrix=args.matrix,
        slices=args.slices,
        increment_mm=args.increment,
        enhanced=args.enhanced,
        save_lesions=args.masks,
    )
    return truth
