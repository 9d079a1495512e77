"""Whole study: the embedded server against a MONAI Deploy App SDK process and a LitServe service.

All sides are warm and resident, take the same 300-slice 512² study from the page cache and use
the same weights; they run in turn, and the medians are compared. The App SDK application has
anatomy and liver, the LitServe service has all checks. Both need an environment of their own:
``make peer``. Beside them: how long no network executes while a study with all checks is screened.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gateway.client import GatewayClient
from gateway.intake.folders import collect
from loadtests.bench_studies import SLICES, phantom
from loadtests.network_clock import NetworkClock, Ran, by_network, covered_seconds, network_clock
from loadtests.own_server import own_server
from loadtests.peer import PEER_PYTHON, Peer
from loadtests.peers.litserve_client import LitServe
from loadtests.server_costs import measured_costs

GOAL = 6.0
"""design.md, "How fast it must be": at least 6× the studies per hour."""

GOAL_NOTHING_RUNS_SECONDS = 1.5
"""And at most so long without a network executing, on 2 cores."""

PEER_CHECKS = ("liver",)
"""What the App SDK application has; anatomy comes with it."""


def run(
    *, repeats: int = 5, slices: int = SLICES, peer_python: Path = PEER_PYTHON
) -> list[dict[str, Any]]:
    """Measure all sides.

    Returns
    -------
    list of dict
        Against the App SDK, against LitServe, and the time without networks; `stages`: the median
        wall and core seconds of each stage of ours.

    Raises
    ------
    PeerMissingError
        When the peer's environment is not there.
    """
    with ExitStack() as stack:
        app = stack.enter_context(Peer("loadtests.peers.monai_deploy_study", python=peer_python))
        service = stack.enter_context(LitServe(python=peer_python))
        return asyncio.run(_compare(phantom(slices), repeats, app, service))


def run_nothing_runs(*, repeats: int = 5, slices: int = SLICES) -> dict[str, Any]:
    """Measure only the time without networks; needs no peer."""
    return asyncio.run(_compare(phantom(slices), repeats, None, None))[-1]


async def _compare(
    folder: Path, repeats: int, app: Peer | None, service: LitServe | None
) -> list[dict[str, Any]]:
    ours: list[Turn] = []
    every: list[Turn] = []
    app_answers: list[dict[str, Any]] = []
    service_answers: list[dict[str, Any]] = []
    with network_clock() as clock:
        async with own_server() as server, GatewayClient(server.url, server.key) as client:
            home = server.settings.home
            with collect([folder], settings=server.settings.intake) as found:
                await client.store(found.instances)
                study = found.instances[0].study_instance_uid
            for turn in range(repeats + 1):
                made = []
                if app is not None:
                    made.append((ours, await _screen(client, home, study, PEER_CHECKS, clock)))
                    answer = await asyncio.to_thread(app.ask, {"folder": str(folder)})
                    if turn:
                        app_answers.append(answer)
                made.append((every, await _screen(client, home, study, None, clock)))
                if service is not None:
                    answer = await asyncio.to_thread(service.screen, folder)
                    if turn:
                        service_answers.append(answer)
                if turn:  # the first turn warms all
                    for turns, one in made:
                        turns.append(one)
    slices = len(list(folder.rglob("*.dcm")))
    results = []
    if app is not None:
        results.append({**against_app(ours, app_answers), "slices": slices})
    if service is not None:
        results.append({**against_service(every, service_answers), "slices": slices})
    return [*results, {**nothing_runs(every), "slices": slices}]


class Turn:
    """One screening: its seconds, its answer, and what ran meanwhile."""

    def __init__(
        self,
        seconds: float,
        answer: Mapping[str, Any],
        ran: Sequence[Ran] = (),
        core_seconds: Mapping[str, float] | None = None,
    ) -> None:
        self.seconds = seconds
        self.answer = answer
        self.ran = list(ran)
        self.core_seconds = dict(core_seconds or {})

    @property
    def idle_seconds(self) -> float:
        """Wall time during which no network executed."""
        return self.seconds - covered_seconds(self.ran)


async def _screen(
    client: GatewayClient,
    home: Path,
    study: str,
    checks: tuple[str, ...] | None,
    clock: NetworkClock,
) -> Turn:
    """Screen a study, from the order to the findings."""
    asked: dict[str, Any] = {"study_instance_uid": study}
    if checks is not None:
        asked["checks"] = list(checks)
    with measured_costs(home) as costs:
        begun = time.monotonic()
        created = await client.create_screening(asked)
        answer = await client.wait(created["screening_id"])
        ended = time.monotonic()
    return Turn(ended - begun, answer, clock.read(begun, ended), costs.core_seconds)


def against_app(ours: Sequence[Turn], peer: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare anatomy and liver with the App SDK application."""
    mine = statistics.median(turn.seconds for turn in ours)
    theirs = statistics.median(answer["seconds"] for answer in peer)
    [liver] = [one for one in ours[0].answer["checks"] if one["check"] == "liver"]
    return {
        "name": "study",
        "ratio": theirs / mine,
        "goal": GOAL,
        "ours": mine,
        "peer": theirs,
        "unit": "s",
        **_split(ours),
        "liver_hu": {"ours": liver["measures"].get("liver_hu"), "peer": peer[0]["liver_hu"]},
    }


def against_service(every: Sequence[Turn], peer: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compare all checks with the LitServe service.

    `scores` shows that both looked at the same places with the same networks. They are alike where
    a score is the network's own (aorta, pancreas, stomach), and not where ours is a rule's or only
    of wanted kinds.
    """
    mine = statistics.median(turn.seconds for turn in every)
    theirs = statistics.median(answer["seconds"] for answer in peer)
    return {
        "name": "study-litserve",
        "ratio": theirs / mine,
        "goal": None,
        "ours": mine,
        "peer": theirs,
        "unit": "s",
        "scores": {
            one["check"]: {"ours": one.get("score"), "peer": peer[0]["scores"].get(one["check"])}
            for one in every[0].answer["checks"]
        },
        "peer_stages": medians([answer["stages"] for answer in peer]),
    }


def nothing_runs(every: Sequence[Turn]) -> dict[str, Any]:
    """Tell how long no network executed, and where the time of a study went."""
    idle = statistics.median(turn.idle_seconds for turn in every)
    return {
        "name": "nothing-runs",
        "ratio": GOAL_NOTHING_RUNS_SECONDS / idle,
        "goal": 1.0,
        "ours": idle,
        "peer": None,
        "unit": "s",
        "whole": statistics.median(turn.seconds for turn in every),
        **_split(every),
        "networks": by_network(every[0].ran),
    }


def _split(turns: Sequence[Turn]) -> dict[str, Any]:
    """Give wall and core seconds by stage of the worker, and core-seconds of every part."""
    return {
        "states": {one["check"]: one["state"] for one in turns[0].answer["checks"]},
        "stages": medians([turn.answer["timings"] for turn in turns]),
        "core_seconds": medians([turn.core_seconds for turn in turns]),
    }


def medians(timings: Sequence[Any]) -> Any:
    """Take the median of each number of equally shaped timings."""
    first = timings[0]
    if isinstance(first, Mapping):
        return {key: medians([item[key] for item in timings]) for key in first}
    if isinstance(first, (int, float)):
        return statistics.median(timings)
    return first
