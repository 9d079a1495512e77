"""``make load``: users against a server, and whether the targets were met.

Without ``--url`` it starts an embedded server of its own on an empty home. The phantoms are made
once, under ``build/load``; every study that is sent has fresh UIDs. Before the clock starts, each
phantom is screened alone: under load its result has to be the same.
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
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from gateway.store.screenings import FINAL_STATES
from loadtests.fresh import CONTENT_TYPE, Template
from loadtests.own_server import own_server
from loadtests.verdict import judge, profile
from networks.phantoms.study import make_study

ROOT = Path(__file__).resolve().parent.parent

FOLDER = ROOT / "build" / "load"

FINDINGS = {"healthy": (), "fatty": ("fatty_liver_moderate",)}

SEED = 7

UNHURRIED_SECONDS = 300.0


def templates(targets: Mapping[str, Any]) -> dict[str, str]:
    """Make the phantoms that are not there yet; gives name → folder."""
    made = {}
    for increment in targets["increments_mm"]:
        for name, findings in FINDINGS.items():
            key = f"{name}-{targets['matrix']}-{increment:g}"
            folder = FOLDER / key
            if not (folder / "truth.json").exists():
                print(f"Making the phantom {key} ...", file=sys.stderr, flush=True)
                make_study(
                    folder,
                    seed=SEED,
                    findings=findings,
                    matrix=targets["matrix"],
                    increment_mm=increment,
                    series=("thin",),
                )
            made[key] = str(folder)
    return made


@asynccontextmanager
async def server(url: str, key: str) -> AsyncIterator[tuple[str, str]]:
    """Give address and key of the server that is named, or of one of its own."""
    if url:
        yield url.rstrip("/"), key
        return
    async with own_server() as running:
        yield running.url, running.key


async def unhurried(
    session: aiohttp.ClientSession, url: str, made: Mapping[str, str], checks: list[str]
) -> dict[str, dict[str, str]]:
    """Screen each phantom alone; gives its states by check."""
    expected = {}
    for name, folder in made.items():
        study, body = Template.read(name, Path(folder)).fresh(Random())
        async with session.post(
            f"{url}/dicomweb/studies", data=body, headers={"Content-Type": CONTENT_TYPE}
        ) as answer:
            answer.raise_for_status()
        order: dict[str, Any] = {"study_instance_uid": study}
        if checks:
            order["checks"] = checks
        async with session.post(f"{url}/v1/screenings", json=order) as answer:
            answer.raise_for_status()
            where = url + answer.headers["Location"]
        async with asyncio.timeout(UNHURRIED_SECONDS):
            while True:
                async with session.get(where) as answer:
                    shown = await answer.json()
                if shown["state"] in FINAL_STATES:
                    break
                await asyncio.sleep(0.1)
        if shown["state"] != "done":
            raise SystemExit(f"{name} cannot be screened: {shown['error']}")
        expected[name] = {check["check"]: check["state"] for check in shown["checks"]}
        if name.startswith("fatty") and expected[name].get("liver") != "positive":
            raise SystemExit(f"{name} has a fatty liver, and the result is {expected[name]}")
    return expected


async def lost(session: aiohttp.ClientSession, url: str, found: Mapping[str, Any]) -> list[str]:
    """List acknowledged studies that are not there with every instance."""
    missing = []
    for study, instances in found["acknowledged"]:
        async with session.get(f"{url}/v1/studies/{study}") as answer:
            shown = await answer.json() if answer.status == 200 else {}
        if shown.get("instance_count") != instances:
            missing.append(study)
    return missing


async def run(name: str, url: str, key: str, seconds: int | None) -> int:
    """Run a profile, print the verdict, give the exit code."""
    targets = profile(name)
    made = await asyncio.to_thread(templates, targets)
    async with server(url, key) as (address, secret):
        headers = {"Authorization": f"Bearer {secret}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            expected = await unhurried(session, address, made, targets["checks"])
            plan = {
                "key": secret,
                "templates": made,
                "expected": expected,
                "checks": targets["checks"],
                "pacs_users": targets["pacs_users"],
                "partner_users": targets["partner_users"],
                "found": str(FOLDER / "found.json"),
            }
            found = await asyncio.to_thread(
                locust, address, plan, seconds or int(targets["seconds"])
            )
            found["lost"] = await lost(session, address, found)
    return told(found, targets)


def locust(address: str, plan: Mapping[str, Any], seconds: int) -> dict[str, Any]:
    """Let the users loose in a process of their own; gives what they found."""
    file = FOLDER / "run.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(plan), encoding="utf-8")
    Path(plan["found"]).unlink(missing_ok=True)
    users = plan["pacs_users"] + plan["partner_users"]
    try:
        subprocess.run(
            [
                *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")),
                *("--headless", "--users", str(users), "--spawn-rate", str(users)),
                *("--run-time", f"{seconds}s", "--stop-timeout", "60", "--host", address),
                *("--exit-code-on-error", "0", "--only-summary"),
            ],
            cwd=ROOT,
            env={**os.environ, "ONESCAN_LOAD": str(file), "PYTHONPATH": str(ROOT)},
            check=True,
        )
    finally:
        file.unlink()  # it holds the key
    found: dict[str, Any] = json.loads(Path(plan["found"]).read_text(encoding="utf-8"))
    return found


def told(found: Mapping[str, Any], targets: Mapping[str, Any]) -> int:
    """Print the verdict; 0 when every target was met."""
    lines = judge(found, targets)
    for what, says, met in lines:
        print(f"{'met   ' if met else 'MISSED'}  {what:<20} {says}")
    for kind in ("wrong_answers", "errors"):
        for text in found[kind][:10]:
            print(f"        {kind}: {text}")
    print(f"        refused (429, 503, 507): {found['refused']} of {found['asked']} requests")
    return 0 if all(met for _, _, met in lines) else 1


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.load", description=__doc__)
    parser.add_argument("profile", nargs="?", default="small")
    parser.add_argument("--url", default="", help="a server that runs; its own without it")
    parser.add_argument("--key", default=os.environ.get("ONESCAN_API__KEY", ""))
    parser.add_argument("--seconds", type=int, help="instead of the profile's")
    args = parser.parse_args()
    return asyncio.run(run(args.profile, args.url, args.key, args.seconds))


if __name__ == "__main__":
    sys.exit(main())
