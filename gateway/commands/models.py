"""``onescan models``: what the model repository serves, and whether it is whole."""

from __future__ import annotations

import argparse
import json
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.settings import Settings

NAME = "models"
HELP = "list or verify the models of the repository"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    parser.add_argument("verb", choices=("list", "verify"))
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """List the models, or verify them and exit with 1 when one is broken."""
    from gateway.triton.repository import describe, verify

    models = describe(settings.model_repository)
    problems = verify(settings.model_repository) if args.verb == "verify" else {}
    if args.json:
        print(json.dumps({"models": models, "problems": problems}, indent=2))
        return int(bool(problems))
    table = Table(title=str(settings.model_repository), title_justify="left")
    for heading in ("model", "kind", "versions", "digest", "pipeline", "weights"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "model")
    for model in models:
        table.add_row(
            model["name"],
            model["backend"],
            ", ".join(map(str, model["versions"])),
            (model["digest"] or "")[:12],
            model["pipeline_version"] or "",
            _weights(model),
        )
    console = Console()
    console.print(table)
    for name, messages in problems.items():
        for message in messages:
            console.print(f"{name}: {message}", style="red", markup=False)
    if args.verb == "verify" and not problems:
        waiting = sum(model["name"] in model["missing_weights"] for model in models)
        rest = f"; {waiting} networks have no weights here" if waiting else ""
        console.print(f"{len(models)} models, all whole{rest}.")
    return int(bool(problems))


def _weights(model: dict[str, Any]) -> str:
    """Say where the weights are from, or that the model is not served for want of them."""
    if missing := model["missing_weights"]:
        others = [name for name in missing if name != model["name"]]
        return f"not installed: {', '.join(others)}" if others else "not installed"
    return model["weights_origin"] or ""
