"""The phantoms that a load test sends: made once, screened alone first, looked for at the end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

from gateway.store.screenings import FINAL_STATES
from loadtests.fresh import CONTENT_TYPE, Template
from loadtests.records import Found
from networks.phantoms.study import make_study

ROOT = Path(__file__).resolve().parent.parent

FOLDER = ROOT / "build" / "load"

FINDINGS = {"healthy": (), "fatty": ("fatty_liver_moderate",)}

PHANTOM_SEED = 7

FULL_MATRIX = 512
"""Rows and columns of a CT slice; with fewer a payload is scaled down, and says so."""

UNHURRIED_SECONDS = 300.0


def make_templates(
    phantoms: Sequence[str], matrix: int, increments_mm: Sequence[float]
) -> dict[str, str]:
    """Make the phantoms that are not there yet; gives name → folder."""
    made = {}
    for increment in increments_mm:
        for name in phantoms:
            key = f"{name}-{matrix}-{increment:g}"
            folder = FOLDER / key
            if not (folder / "truth.json").exists():
                print(f"Making the phantom {key} ...", file=sys.stderr, flush=True)
                make_study(
                    folder,
                    seed=PHANTOM_SEED,
                    findings=FINDINGS[name],
                    matrix=matrix,
                    increment_mm=increment,
                    series=("thin",),
                )
            made[key] = str(folder)
    return made


def describe(templates: Mapping[str, str], matrix: int) -> str:
    """Say in a sentence what is sent, and whether it is smaller than life."""
    counts = sorted({len(list(Path(folder).rglob("*.dcm"))) for folder in templates.values()})
    size = f"{matrix}×{matrix}, {' or '.join(map(str, counts))} slices, synthetic phantoms"
    return size if matrix >= FULL_MATRIX else f"scaled down: {size}"


async def unhurried(
    session: aiohttp.ClientSession, url: str, templates: Mapping[str, str], checks: Sequence[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Screen each phantom alone; gives its states by check, and the studies.

    Raises
    ------
    SystemExit
        When one cannot be screened, or what was planted is not found.
    """
    expected, studies = {}, []
    for name, folder in templates.items():
        study, body = Template.read(name, Path(folder)).fresh(Random())
        async with session.post(
            f"{url}/dicomweb/studies", data=body, headers={"Content-Type": CONTENT_TYPE}
        ) as answer:
            answer.raise_for_status()
        order: dict[str, Any] = {"study_instance_uid": study}
        if checks:
            order["checks"] = list(checks)
        async with session.post(f"{url}/v1/screenings", json=order) as answer:
            answer.raise_for_status()
            where = url + answer.headers["Location"]
        shown = await _ended(session, where)
        if shown["state"] != "done":
            raise SystemExit(f"{name} cannot be screened: {shown['error']}")
        expected[name] = {check["check"]: check["state"] for check in shown["checks"]}
        if name.startswith("fatty") and expected[name].get("liver") != "positive":
            raise SystemExit(f"{name} has a fatty liver, and the result is {expected[name]}")
        studies.append(study)
    return expected, studies


async def _ended(session: aiohttp.ClientSession, where: str) -> dict[str, Any]:
    async with asyncio.timeout(UNHURRIED_SECONDS):
        while True:
            async with session.get(where) as answer:
                shown: dict[str, Any] = await answer.json()
            if shown["state"] in FINAL_STATES:
                return shown
            await asyncio.sleep(0.1)


async def find_lost(session: aiohttp.ClientSession, url: str, found: Found) -> list[str]:
    """List acknowledged studies that are not there with every instance."""
    lost = []
    for study in found.studies:
        if study.acknowledged is None:
            continue
        async with session.get(f"{url}/v1/studies/{study.study}") as answer:
            shown = await answer.json() if answer.status == 200 else {}
        if shown.get("instance_count") != study.instances:
            lost.append(study.study)
    return lost
