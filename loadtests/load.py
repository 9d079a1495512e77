"""``make load``: users against a server, and whether the targets were met.

Without ``--url`` it starts an embedded server of its own on an empty home. The phantoms are made
once, under ``build/load``; every study that is sent has fresh UIDs. Before the clock starts, each
phantom is screened alone: under load its result has to be the same. What was met is written to
``build/load/found.json`` and drawn in ``build/load/report.html`` beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from loadtests.arrivals import schedule
from loadtests.dimse_sender import CALLING
from loadtests.machine import Busy, facts
from loadtests.own_server import own_server
from loadtests.payloads import FOLDER, ROOT, describe, find_lost, make_templates, unhurried
from loadtests.records import Found
from loadtests.report import write_report
from loadtests.shapes import SHAPES, Course, says, shape
from loadtests.told import tell
from loadtests.verdict import judge, passed, profile

LOCUSTFILE = ROOT / "loadtests" / "locustfile.py"

SEED = 3
"""Of the moments that are drawn; another one is another day."""


@asynccontextmanager
async def server(args: argparse.Namespace) -> AsyncIterator[tuple[str, str, dict[str, Any] | None]]:
    """Give address, key and DIMSE listener of the server that is named, or of one of its own."""
    if args.url:
        host, _, port = args.dimse.rpartition(":")
        named = {"host": host, "port": int(port), "calling": args.ae_title} if port else None
        yield args.url.rstrip("/"), args.key, named
        return
    async with own_server(dimse=True) as running:
        dimse = running.settings.dimse
        listener = {"host": dimse.host, "port": dimse.port, "calling": CALLING}
        yield running.url, running.key, listener


async def run(args: argparse.Namespace) -> int:
    """Run a profile, print the verdict, write the report, give the exit code."""
    targets = profile(args.profile, args.shape)
    targets["seconds"] = args.seconds or LENGTHS.get(targets["shape"], 1) * targets["seconds"]
    targets["studies_per_second"] = args.rate or targets["studies_per_second"]
    folder = args.report.resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    templates = await asyncio.to_thread(
        make_templates, targets["phantoms"], targets["matrix"], targets["increments_mm"]
    )
    async with server(args) as (address, key, dimse):
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            print("Screening each phantom alone ...", file=sys.stderr, flush=True)
            expected, screened = await unhurried(session, address, templates, targets["checks"])
            plan = {
                "key": key,
                "dimse": dimse,
                "templates": templates,
                "expected": expected,
                "screened": screened,
                "found": str(folder / "users.json"),
                **drawn(targets, list(templates), seed=args.seed, with_dimse=dimse is not None),
            }
            said = says(targets["shape"], targets["seconds"])
            print(f"The load: {said} ...", file=sys.stderr, flush=True)
            begun, busy = datetime.now(UTC), Busy()
            found = await asyncio.to_thread(locust, address, plan, folder)
            machine = facts(busy)
            found.lost = await find_lost(session, address, found)
    about = {
        "profile": args.profile,
        "targets": targets,
        "shape_says": said,
        "payload": describe(templates, targets["matrix"]),
        "seed": args.seed,
        "begun": begun.isoformat(timespec="seconds"),
        "own_server": not args.url,
        "dimse": dimse is not None,
        "machine": machine,
    }
    lines = judge(found, targets)
    tell(found, lines, about)
    (folder / "found.json").write_text(
        json.dumps({"about": about, "found": found.to_json()}), encoding="utf-8"
    )
    write_report(args.report, found, lines, about)
    print(f"Report: {_shown(args.report)}")
    return 0 if passed(lines) else 1


LENGTHS = {"soak": 5}
"""Shapes that say something only when they are longer than their profile's seconds."""


def drawn(
    targets: Mapping[str, Any], templates: list[str], *, seed: int, with_dimse: bool
) -> dict[str, Any]:
    """Draw what begins when, as part of the users' plan."""
    length = float(targets["seconds"])
    visits = Course(((0.0, targets["visits_per_second"]), (length, targets["visits_per_second"])))
    arrivals = schedule(
        shape(
            targets["shape"],
            seconds=length,
            rate=targets["studies_per_second"],
            stat_share=targets["stat_share"],
        ),
        templates=templates,
        dimse_share=targets["dimse_share"] if with_dimse else 0.0,
        visits=visits,
        seed=seed,
    )
    return {
        "seed": seed,
        "seconds": length,
        "drain_seconds": targets["drain_seconds"],
        "checks": targets["checks"],
        "arrivals": [asdict(arrival) for arrival in arrivals],
    }


def locust(address: str, plan: Mapping[str, Any], folder: Path) -> Found:
    """Let the users loose in a process of their own; gives what they found."""
    file = folder / "run.json"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan), encoding="utf-8")
    Path(plan["found"]).unlink(missing_ok=True)
    log = folder / "locust.log"  # its own summary times from when a sender began
    try:
        with log.open("w", encoding="utf-8") as output:
            subprocess.run(
                [
                    *(sys.executable, "-m", "locust", "-f", str(LOCUSTFILE)),
                    *("--headless", "--host", address, "--stop-timeout", "5"),
                    *("--exit-code-on-error", "0", "--only-summary"),
                ],
                cwd=ROOT,
                env={**os.environ, "ONESCAN_LOAD": str(file), "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=output,
                check=True,
            )
    except subprocess.CalledProcessError:
        raise SystemExit(f"locust failed; see {_shown(log)}.") from None
    finally:
        file.unlink()  # it holds the key
    return Found.from_json(json.loads(Path(plan["found"]).read_text(encoding="utf-8")))


def _shown(path: Path) -> str:
    """Give a path as short as it is understood from here."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.load", description=__doc__)
    parser.add_argument("profile", nargs="?", default="small")
    parser.add_argument(
        "--shape", default="", choices=["", *SHAPES], help="the profile's without it"
    )
    parser.add_argument("--seconds", type=int, help="in which studies arrive")
    parser.add_argument("--rate", type=float, help="studies a second, stat and routine together")
    parser.add_argument("--seed", type=int, default=SEED, help="of the moments that are drawn")
    parser.add_argument("--url", default="", help="a server that runs; its own without it")
    parser.add_argument("--key", default=os.environ.get("ONESCAN_API__KEY", ""))
    parser.add_argument("--dimse", default="", metavar="HOST:PORT", help="its listener, if any")
    parser.add_argument("--ae-title", default=CALLING, help="by which its partners file knows us")
    parser.add_argument("--report", type=Path, default=FOLDER / "report.html")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
