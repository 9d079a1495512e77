"""Whole study, anatomy and liver: the embedded server against a MONAI Deploy App SDK process.

Both sides are warm and resident, take the same 300-slice 512² study from the page cache and use
the same weights; they run in turn, and the medians are compared. Our time with all checks is told
beside it: the peer has no more than these. It needs an environment of its own: ``make peer``.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from gateway.client import GatewayClient
from gateway.exceptions import OneScanError
from gateway.intake.folders import collect
from loadtests.own_server import own_server

GOAL = 6.0
"""design.md, "How fast it must be": at least 6× the studies per hour."""

ROOT = Path(__file__).resolve().parent.parent
PEER_PYTHON = ROOT / ".peer" / "bin" / "python"
SLICES = 300

PEER_CHECKS = ("liver",)
"""What the peer has; anatomy comes with it."""


class PeerMissingError(OneScanError):
    """The peer is not installed; `make peer` does it."""

    code = "bench.peer_missing"


def run(
    *, repeats: int = 5, slices: int = SLICES, peer_python: Path = PEER_PYTHON
) -> dict[str, Any]:
    """Measure both sides.

    Returns
    -------
    dict
        ``name, ratio, goal, ours, peer, unit`` and ``stages``: the median wall and core seconds
        of each stage of ours.

    Raises
    ------
    PeerMissingError
        When the peer's environment is not there.
    """
    if not peer_python.exists():
        raise PeerMissingError()
    from networks.phantoms.study import make_study

    with tempfile.TemporaryDirectory(prefix="onescan-bench-") as scratch:
        folder = Path(scratch) / "study"
        make_study(folder, seed=5, slices=slices, series=("thin",))
        (folder / "truth.json").unlink()
        return asyncio.run(_compare(folder, repeats, peer_python))


async def _compare(folder: Path, repeats: int, peer_python: Path) -> dict[str, Any]:
    ours: list[float] = []
    peer: list[float] = []
    answers: list[dict[str, Any]] = []
    every: list[float] = []
    every_answers: list[dict[str, Any]] = []
    peer_answer: dict[str, Any] = {}
    with _peer(peer_python) as process:
        async with own_server() as server, GatewayClient(server.url, server.key) as client:
            with collect([folder], settings=server.settings.intake) as found:
                await client.store(found.instances)
                study = found.instances[0].study_instance_uid
            for turn in range(repeats + 1):
                seconds, answer = await _screen(client, study, PEER_CHECKS)
                all_seconds, all_answer = await _screen(client, study, None)
                peer_answer = await asyncio.to_thread(_ask, process, folder)
                if turn:  # the first turn warms both
                    ours.append(seconds)
                    peer.append(peer_answer["seconds"])
                    answers.append(answer)
                    every.append(all_seconds)
                    every_answers.append(all_answer)
    return {
        "name": "study",
        "ratio": statistics.median(peer) / statistics.median(ours),
        "goal": GOAL,
        "ours": statistics.median(ours),
        "peer": statistics.median(peer),
        "unit": "s",
        "slices": len(list(folder.rglob("*.dcm"))),
        "peer_name": "MONAI Deploy App SDK 4.0.0 operators, torch, same weights",
        "stages": _medians([answer["timings"] for answer in answers]),
        "checks": [check["check"] for check in answers[0]["checks"]],
        "all_checks": {
            "seconds": statistics.median(every),
            "states": {one["check"]: one["state"] for one in every_answers[0]["checks"]},
            "stages": _medians([answer["timings"] for answer in every_answers]),
        },
        "liver_hu": {
            "ours": answers[0]["checks"][0]["measures"].get("liver_hu"),
            "peer": peer_answer["liver_hu"],
        },
    }


async def _screen(
    client: GatewayClient, study: str, checks: tuple[str, ...] | None
) -> tuple[float, dict[str, Any]]:
    """Give the seconds from the order to the findings, and the findings."""
    asked: dict[str, Any] = {"study_instance_uid": study}
    if checks is not None:
        asked["checks"] = list(checks)
    started = time.perf_counter()
    created = await client.create_screening(asked)
    answer = await client.wait(created["screening_id"])
    return time.perf_counter() - started, answer


def _peer(python: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [str(python), "-W", "ignore", "-m", "loadtests.peers.monai_deploy_study"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    _read(process)
    return process


def _ask(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.write(f"{folder}\n")
    process.stdin.flush()
    return _read(process)


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    for line in process.stdout:  # the SDK logs to stdout as well
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    raise PeerMissingError("The peer ended; run it by hand to see why.")


def _medians(timings: list[Any]) -> Any:
    """Take the median of each number of equally shaped timings."""
    first = timings[0]
    if isinstance(first, dict):
        return {key: _medians([item[key] for item in timings]) for key in first}
    if isinstance(first, (int, float)):
        return statistics.median(timings)
    return first
