"""Phantoms of unseen seeds through the whole server, counted: ``python -m loadtests.cohort``.

By default 25 planted phantoms a check and 600 healthy ones, half of them on scanner models that no
training saw. Every study goes in by STOW-RS and is screened by all checks. Each answer is a line of
``ledger.jsonl``; a run that was interrupted goes on where it was. ``--smoke`` runs 16 and 16 small
ones: a test that the path works, not a measure of anything.

Synthetic phantoms: the figures say nothing of clinical performance.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.client import GatewayClient
from gateway.intake.folders import collect
from gateway.runtime.home import discard
from gateway.runtime.stack import Server
from loadtests.bench import commit, machine
from loadtests.hits import count
from loadtests.own_server import own_server
from networks.metrics import wilson
from networks.phantoms.profiles import SEEN, UNSEEN
from networks.phantoms.study import CHART

CHECKS = ("pancreas", "stomach", "liver", "bone", "aorta", "nodule", "calcium", "chest")

FIRST_SEED = 950_000
"""Within the test split of `networks.phantoms.cohort`, behind what `networks.evaluate` uses."""

HEALTHY_SEED = 970_000

SEEDS_A_CHECK = 1_000

THIN_MM, THICK_MM = 1.25, 2.5
"""Slices of studies for lungs and small things, and of the others."""

THIN = ("nodule", "bone", "chest", "calcium")

STUDIES_A_SERVER = 40
"""Then it starts anew on an empty home: a study of 400 slices holds 200 MB."""

AHEAD = 3
"""Studies that are drawn while others are screened."""

EVERY_CHECK, HEALTHY_SHARE, ALL_SHARE = 19 / 25, 0.07, 0.9
"""Acceptance: found of each check, Wilson's upper bound of the healthy flagged, found of all."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """One phantom.

    Attributes
    ----------
    check : str
        Whose finding is planted; empty for a healthy one.
    seed : int
    profile : str
        Scanner model.
    matrix : int
        Rows and columns.
    increment_mm : float
        Between slices, which are as thick.
    """

    check: str
    seed: int
    profile: str
    matrix: int
    increment_mm: float

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return f"{self.check or 'healthy'}-{self.seed}-{self.matrix}"


def plan(planted: int, healthy: int, *, matrix: int, checks: Sequence[str] = CHECKS) -> list[Plan]:
    """Plan the phantoms, planted and healthy in turn, so that a part of them says something."""
    plans = []
    for n in range(max(planted, -(-healthy // max(1, len(checks))))):
        for at, check in enumerate(checks):
            if n < planted:
                seed = FIRST_SEED + CHECKS.index(check) * SEEDS_A_CHECK + n
                plans.append(_plan(check, seed, n, matrix, thin=check in THIN))
            number = n * len(checks) + at
            if number < healthy:
                seed = HEALTHY_SEED + number
                plans.append(_plan("", seed, number, matrix, thin=number % 2 == 0))
    return plans


def _plan(check: str, seed: int, number: int, matrix: int, *, thin: bool) -> Plan:
    models = UNSEEN if number % 2 == 0 else SEEN
    return Plan(check, seed, models[seed % len(models)], matrix, THIN_MM if thin else THICK_MM)


def draw(planned: Plan, folder: Path) -> Path:
    """Write a phantom's study, truth and masks into a folder."""
    from networks.phantoms.study import make_study

    make_study(
        folder,
        seed=planned.seed,
        findings=(planned.check,) if planned.check else (),
        difficulty="medium",
        profile=planned.profile,
        matrix=planned.matrix,
        increment_mm=planned.increment_mm,
        series=("thin",),
        save_lesions=True,
    )
    return folder


async def run(plans: Sequence[Plan], ledger: Path, *, console: Console) -> None:
    """Screen what the ledger does not hold yet."""
    known = {line["name"] for line in read(ledger)}
    left = [planned for planned in plans if planned.name not in known]
    bar = Progress(
        TextColumn("Cohort"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        console=console, disable=not console.is_terminal,
    )  # fmt: skip
    processes = min(2, len(os.sched_getaffinity(0)))
    with bar, tempfile.TemporaryDirectory(prefix="onescan-cohort-") as scratch:
        row = bar.add_task("", total=len(plans), completed=len(plans) - len(left))
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
            drawn = _drawn(left, Path(scratch), pool)
            for first in range(0, len(left), STUDIES_A_SERVER):
                many = len(left[first : first + STUDIES_A_SERVER])
                async with own_server() as server, GatewayClient(server.url, server.key) as client:
                    for _ in range(many):
                        planned, folder = await anext(drawn)
                        line = await _screen(client, server, planned, folder)
                        _append(ledger, {**line, "commit": commit()})
                        discard(folder)
                        bar.advance(row)


async def _drawn(
    plans: Sequence[Plan], scratch: Path, pool: ProcessPoolExecutor
) -> AsyncIterator[tuple[Plan, Path]]:
    """Give each plan with its study, a few drawn ahead."""
    loop = asyncio.get_running_loop()
    waiting: list[tuple[Plan, asyncio.Future[Path]]] = []
    coming = iter(plans)
    while True:
        while len(waiting) < AHEAD and (planned := next(coming, None)) is not None:
            folder = scratch / planned.name
            waiting.append((planned, loop.run_in_executor(pool, draw, planned, folder)))
        if not waiting:
            return
        planned, future = waiting.pop(0)
        yield planned, await future


async def _screen(
    client: GatewayClient, server: Server, planned: Plan, folder: Path
) -> dict[str, Any]:
    with collect([*folder.glob("*_thin")], settings=server.settings.intake) as found:
        failed = await client.store(found.instances)
        study = found.instances[0].study_instance_uid
    body: dict[str, Any] = {
        "study_instance_uid": study, "exam_context": "screening", "checks": list(CHECKS),
    }  # fmt: skip
    chart = folder / CHART
    if chart.exists():
        body["clinical"] = json.loads(chart.read_text(encoding="utf-8"))
    created = await client.create_screening(body)
    screening = await client.wait(created["screening_id"])
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    counted = count(planned.check, screening, truth, folder / "lesions.npz")
    seconds = sum(stage["wall_seconds"] for stage in screening["timings"].values())
    return {
        "name": planned.name,
        **dataclasses.asdict(planned),
        "planted": [x["kind"] for x in truth["lesions"] if x["is_finding"]] + truth["findings"],
        "refused": len(failed),
        "state": screening["state"],
        "seconds": round(seconds, 3),
        **dataclasses.asdict(counted),
    }


def read(ledger: Path) -> list[dict[str, Any]]:
    """Read a ledger; a line that was cut off by the end of its run is left away."""
    lines: list[dict[str, Any]] = []
    if ledger.exists():
        for text in ledger.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except ValueError:
                continue
    return lines


def _append(ledger: Path, line: dict[str, Any]) -> None:
    ledger.parent.mkdir(parents=True, exist_ok=True)
    with ledger.open("ab+") as file:
        if file.tell() and _last_byte(file) != b"\n":
            file.write(b"\n")  # after a line that was cut off
        file.write(json.dumps(line).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _last_byte(file: BinaryIO) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def figures(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Count a ledger: of each check what was found, of the healthy what was flagged."""
    planted = [line for line in lines if line["check"]]
    healthy = [line for line in lines if not line["check"]]
    checks = {}
    for check in CHECKS:
        own = [line for line in planted if line["check"] == check]
        found = sum(line["found"] for line in own)
        checks[check] = {
            "found": found,
            "planted": len(own),
            "share": wilson(found, len(own)).rounded() if own else None,
            "not_evaluated": sum(
                line["states"].get(check, "").startswith("not_evaluated") for line in own
            ),
        }
    flagged = [line for line in healthy if line["flagged"]]
    share = wilson(len(flagged), len(healthy)) if healthy else None
    every = sum(line["found"] for line in planted)
    failed = [line["name"] for line in lines if line["state"] != "done" or _failed(line)]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "machine": machine(),
        "weights": "synthetic phantoms; not clinical performance",
        "planted": len(planted),
        "healthy": len(healthy),
        "found": wilson(every, len(planted)).rounded() if planted else None,
        "checks": checks,
        "flagged": share.rounded() if share else None,
        "flagged_by": dict(Counter(name for line in flagged for name in line["flagged"])),
        "failed": failed,
        "met": bool(
            planted and healthy and share and not failed
            and share.high <= HEALTHY_SHARE
            and every >= ALL_SHARE * len(planted)
            and all(x["found"] >= EVERY_CHECK * x["planted"] for x in checks.values())
        ),
    }  # fmt: skip


def _failed(line: dict[str, Any]) -> bool:
    return any(state.startswith("failed") for state in line["states"].values())


def table(told: dict[str, Any]) -> Iterator[str]:
    """Give the lines of a short table."""
    yield f"{'check':<10}{'found':>12}   of them not evaluated"
    for check, one in told["checks"].items():
        yield f"{check:<10}{one['found']:>6} of {one['planted']:<4} {one['not_evaluated']:>4}"
    yield f"healthy flagged: {told['flagged']} by {told['flagged_by'] or 'none'}"
    yield f"screenings or checks that failed: {len(told['failed'])}"
    yield "Synthetic phantoms; not clinical performance."


def main(argv: list[str] | None = None) -> int:
    """Run or continue a cohort; exit with 1 when acceptance, or the smoke test, is missed."""
    described = argparse.ArgumentParser(prog="python -m loadtests.cohort", description=__doc__)
    described.add_argument("--planted", type=int, default=25, help="phantoms of each check")
    described.add_argument("--healthy", type=int, default=600)
    described.add_argument("--matrix", type=int, default=512, help="rows and columns")
    described.add_argument("--out", type=Path, default=Path("build/cohort"))
    described.add_argument("--smoke", action="store_true", help="16 and 16 small phantoms")
    described.add_argument("--report", action="store_true", help="only count what there is")
    described.add_argument("--json", action="store_true")
    given = described.parse_args(argv)
    planted, healthy, matrix = (2, 16, 128) if given.smoke else (
        given.planted, given.healthy, given.matrix,
    )  # fmt: skip
    ledger = given.out / ("smoke.jsonl" if given.smoke else "ledger.jsonl")
    if given.smoke:
        ledger.unlink(missing_ok=True)
    plans = plan(planted, healthy, matrix=matrix)
    if not given.report:
        asyncio.run(run(plans, ledger, console=Console(stderr=True)))
    told = figures(read(ledger))
    print(json.dumps(told, indent=2) if given.json else "\n".join(table(told)))
    if given.smoke:
        print("A smoke test: the path works; 16 and 16 small phantoms measure nothing.")
        whole = told["planted"] == len(CHECKS) * planted and told["healthy"] == healthy
        return int(bool(told["failed"]) or not whole)
    return int(not told["met"])


if __name__ == "__main__":
    sys.exit(main())
