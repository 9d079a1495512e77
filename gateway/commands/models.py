"""``onescan models``: what the model repository serves, whether it is whole, and a copy of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "models"
HELP = "list or verify the models of the repository, or copy one from a bucket"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    parser.add_argument("verb", choices=("list", "verify", "fetch"))
    parser.add_argument("--from", dest="source", help="fetch: s3://bucket/prefix of a repository")
    parser.add_argument("--to", type=Path, dest="target", help="fetch: folder that it is copied to")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """List the models, or copy or verify them and exit with 1 when one is broken."""
    from gateway.triton.repository import describe, verify

    if args.verb == "fetch":
        settings = _fetch(args, settings)
    models = describe(settings.model_repository)
    problems = verify(settings.model_repository) if args.verb != "list" else {}
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
    if args.verb != "list" and not problems:
        waiting = sum(model["name"] in model["missing_weights"] for model in models)
        rest = f"; {waiting} networks have no weights here" if waiting else ""
        console.print(f"{len(models)} models, all whole{rest}.")
    return int(bool(problems))


def _fetch(args: argparse.Namespace, settings: Settings) -> Settings:
    """Copy a repository from a bucket, and give the settings with which it is the one in use."""
    from gateway.store.model_copy import copy_models

    if not args.source or args.target is None:
        raise UsageError("`onescan models fetch` needs --from s3://bucket/prefix and --to FOLDER.")
    copy_models(settings.store, args.source, args.target)
    triton = dataclasses.replace(settings.triton, model_repository=str(args.target))
    return dataclasses.replace(settings, triton=triton)


def _weights(model: dict[str, Any]) -> str:
    """Say where the weights are from, or that the model is not served for want of them."""
    if missing := model["missing_weights"]:
        others = [name for name in missing if name != model["name"]]
        return f"not installed: {', '.join(others)}" if others else "not installed"
    return model["weights_origin"] or ""
