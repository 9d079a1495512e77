"""``onescan demo``: a synthetic study through the whole embedded server, once.

Its home is kept beside the results, so that a server on it shows the study in the worklist.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from gateway.client import Address
from gateway.commands.output import as_json
from gateway.commands.screen import client_of, screen, write_results
from gateway.commands.table import findings_table
from gateway.settings import Settings

NAME = "demo"
HELP = "make a synthetic chest-abdomen CT, screen it through the whole server, show the findings"

SEED = 7
"""Of a patient in whom both findings are large; this one is shown in the README."""

FINDINGS = ("fatty_liver_moderate", "solid_nodule")


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
    from gateway.runtime.home import Home, discard
    from gateway.runtime.stack import embedded
    from gateway.screening.manifest_reader import load_manifests
    from gateway.ui.report import report
    from networks.phantoms.study import make_study

    def say(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    args.out.mkdir(parents=True, exist_ok=True)
    home = args.out / "home"
    if home.exists():
        with Home(home).lock():  # a server that shows the last demo is not to lose its home
            discard(home)
    settings = dataclasses.replace(
        settings, home=home, api=dataclasses.replace(settings.api, port=0)
    )
    scratch = Path(tempfile.mkdtemp(prefix="onescan-demo-"))
    try:
        started = time.monotonic()
        folder = scratch / "study"
        say("Making a synthetic chest-abdomen CT with a fatty liver and a lung nodule ...")
        truth = make_study(
            folder, seed=SEED, findings=FINDINGS, difficulty="easy", slices=args.slices
        )
        say(f"  {time.monotonic() - started:.1f} s")
        say("Starting PostgreSQL, Triton, api and worker ...")
        started = time.monotonic()
        async with embedded(settings) as server:
            say(f"  ready after {time.monotonic() - started:.1f} s at {server.url}")
            started = time.monotonic()
            address = Address(server.url, server.key, settings.api.certificate)
            with collect([folder], settings=settings.intake) as found:
                [result] = await screen(address, found.instances)
            say(f"  screened in {time.monotonic() - started:.1f} s")
            shutil.rmtree(args.out / "results", ignore_errors=True)
            client = client_of(address)
            await write_results(args.out / "results", [result], client, fhir=True, dicom=True)
        say("Stopped.")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    (args.out / "findings.json").write_text(as_json(result), encoding="utf-8")
    (args.out / "truth.json").write_text(as_json(truth), encoding="utf-8")
    page = report(result, load_manifests(settings.model_repository))
    (args.out / "report.html").write_text(page, encoding="utf-8")
    console = Console(highlight=False)
    console.print(findings_table(result))
    console.print(_planted(truth), markup=False)
    where = shlex.quote(str(args.out))
    console.print(
        f"Findings: {where}/findings.json, truth: {where}/truth.json\n"
        f"As a page: {where}/report.html; as FHIR, SR, SEG and pictures: {where}/results\n"
        f"In the worklist: ONESCAN_HOME={where}/home make serve prints a link that opens it.",
        markup=False,
        soft_wrap=True,
    )
    return 0 if result["state"] == "done" else 1


def _planted(truth: dict[str, Any]) -> str:
    """Say what there was to be found."""
    nodule = next(one for one in truth["lesions"] if one["kind"] == "solid_nodule")
    x, y, z = nodule["centre_lps_mm"]
    return (
        f"Planted: liver fat {truth['pdff_percent']:.0f} % "
        f"(steatosis {truth['steatosis']['grade']}); "
        f"a solid nodule of {nodule['diameter_mm']:.0f} mm at {x:.0f}, {y:.0f}, {z:.0f} mm (LPS)."
    )
