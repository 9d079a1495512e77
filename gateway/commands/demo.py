"""``onescan demo``: a synthetic study through the whole embedded server, once."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from gateway.client import Address
from gateway.commands.output import as_json
from gateway.commands.screen import screen
from gateway.commands.table import findings_table
from gateway.settings import Settings

NAME = "demo"
HELP = "make a synthetic chest-abdomen CT, screen it through the whole server, show the findings"

SEED = 7
"""Any seed would do; this one is shown in the README."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the results go."""
    parser.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("demo"), help="folder for the results"
    )
    parser.add_argument("--slices", type=int, default=300, help="slices of the thin series")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make, serve, send, wait, show, stop."""
    return asyncio.run(_run(args, settings))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.intake.folders import collect
    from gateway.runtime.home import discard
    from gateway.runtime.stack import embedded
    from gateway.screening.manifest_reader import load_manifests
    from gateway.ui.report import report
    from networks.phantoms.study import make_study

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    scratch = Path(tempfile.mkdtemp(prefix="onescan-demo-"))
    try:
        started = time.monotonic()
        folder = scratch / "study"
        say("Making a synthetic chest-abdomen CT with a fatty liver ...")
        truth = make_study(
            folder, seed=SEED, findings=("fatty_liver_moderate",), slices=args.slices
        )
        say(f"  {time.monotonic() - started:.1f} s")
        settings = dataclasses.replace(
            settings,
            home=scratch / "home",
            api=dataclasses.replace(settings.api, port=0),
        )
        say("Starting PostgreSQL, Triton, api and worker ...")
        started = time.monotonic()
        async with embedded(settings) as server:
            say(f"  ready after {time.monotonic() - started:.1f} s at {server.url}")
            started = time.monotonic()
            with collect([folder], settings=settings.intake) as found:
                address = Address(server.url, server.key, settings.api.certificate)
                [result] = await screen(address, found.instances)
            say(f"  screened in {time.monotonic() - started:.1f} s")
        say("Stopped.")
    finally:
        discard(scratch / "home")
        shutil.rmtree(scratch, ignore_errors=True)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "findings.json").write_text(as_json(result), encoding="utf-8")
    (args.out / "truth.json").write_text(as_json(truth), encoding="utf-8")
    page = report(result, load_manifests(settings.model_repository))
    (args.out / "report.html").write_text(page, encoding="utf-8")
    console = Console(highlight=False)
    console.print(findings_table(result))
    console.print(
        f"Planted: liver fat {truth['pdff_percent']:.0f} % "
        f"(steatosis {truth['steatosis']['grade']}).",
        markup=False,
    )
    console.print(f"Results: {args.out / 'findings.json'}, truth: {args.out / 'truth.json'}")
    console.print(f"As a page: {args.out / 'report.html'}")
    console.print("The worklist: make serve prints a link; onescan screen FOLDER fills it.")
    return 0 if result["state"] == "done" else 1
