"""``onescan models``: what the model repository serves, and what is put into one."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.commands import models_compile, models_import
from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "models"
HELP = "list, verify, copy, compile or bring in the models that Triton serves"

OWN_FILE = (models_compile, models_import)
"""Verbs with files of their own."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, said in (
        ("list", "what is served, and which networks have no weights here"),
        ("verify", "the same, and what would keep it from loading"),
        ("fetch", "copy a repository from a bucket"),
    ):
        verb = verbs.add_parser(name, help=said, description=said)
        verb.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
        verb.set_defaults(run_verb=_run)
        if name == "fetch":
            verb.add_argument("--from", dest="source", help="s3://bucket/prefix of a repository")
            verb.add_argument("--to", type=Path, dest="target", help="folder that it is copied to")
    for module in OWN_FILE:
        verb = verbs.add_parser(module.VERB, help=module.HELP, description=module.HELP)
        module.add_arguments(verb)
        verb.set_defaults(run_verb=module.run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Run the verb."""
    return int(args.run_verb(args, settings))


def _run(args: argparse.Namespace, settings: Settings) -> int:
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
