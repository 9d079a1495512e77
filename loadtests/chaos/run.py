"""A run: a server under load, one fault after another, and what has to hold after each."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from loadtests.chaos import bucket, facts, studies
from loadtests.chaos.cage import may_mount
from loadtests.chaos.checks import FINAL, RECOVERY_SECONDS, STAT_SECONDS, Answer, Case, judge
from loadtests.chaos.ledger import ACKNOWLEDGED, Sent, Sums, sums
from loadtests.chaos.plan import S3, Step
from loadtests.chaos.proxy import proxied
from loadtests.chaos.scene import Scene
from loadtests.chaos.server import chaos_server
from loadtests.chaos.studies import POISON
from loadtests.chaos.traffic import Traffic
from loadtests.fresh import Template

BEFORE_SECONDS = 2.0
"""Of load before a fault strikes; in a brief run half of it."""

SETTLE_SECONDS = 180.0
"""Within which everything that was sent has ended, once nothing more comes."""

UNHURRIED_SECONDS = 120.0


@dataclass
class Outcome:
    """What one fault did."""

    number: int
    fault: str
    store: str
    lasted_seconds: float = 0.0
    recovery_seconds: float = 0.0
    stat_seconds: float = 0.0
    seconds: float = 0.0
    sums: Sums = field(default_factory=Sums)
    wrong: dict[str, list[str]] = field(default_factory=dict)
    skipped: str = ""
    """Why this machine cannot bring it."""

    def to_json(self) -> dict[str, Any]:
        """Give a line of the ledger's file."""
        return asdict(self)

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Outcome:
        """Read such a line."""
        return cls(**{**line, "sums": Sums(**line["sums"])})


@dataclass
class _Stage:
    """A server between two faults."""

    scene: Scene
    expected: dict[str, dict[str, Answer]]
    regions: Mapping[str, int]
    judged: int = 0
    """Entries of the ledger that belong to earlier faults."""

    reported: set[str] = field(default_factory=set)
    """What was wrong already after an earlier fault."""


async def run(
    steps: Sequence[Step],
    *,
    seed: int,
    folder: Path,
    told: Callable[[Outcome], None] = lambda outcome: None,
    brief: bool = False,
) -> list[Outcome]:
    """Bring the faults; each outcome is told as soon as it is known.

    Parameters
    ----------
    folder : Path
        Where the phantoms are, or are made.
    brief : bool
        Let each fault last as short as it may, and take a recovery within the stat lane's own time
        for the proof that the lane is quick.
    """
    templates = await asyncio.to_thread(studies.templates, folder)
    outcomes = []
    for store in dict.fromkeys(step.store for step in steps):
        mine = [step for step in steps if step.store == store]
        async with _stage(store, templates, seed) as stage:
            for step in mine:
                outcome = await _bring(stage, step, seed, brief=brief)
                outcomes.append(outcome)
                told(outcome)
    return outcomes


@asynccontextmanager
async def _stage(store: str, templates: Mapping[str, Template], seed: int) -> AsyncIterator[_Stage]:
    """Start a server with its proxies and its load, and learn what is right."""
    async with AsyncExitStack() as stack:
        environ: Mapping[str, str] = {}
        objects = None
        if store == S3:
            s3 = await stack.enter_async_context(bucket.running())
            objects = await stack.enter_async_context(proxied("127.0.0.1", s3, seed=seed))
            environ = bucket.environ(objects.port)
        print(f"Starting a server, objects in: {store} ...", file=sys.stderr, flush=True)
        server = await stack.enter_async_context(chaos_server(environ))
        address = urlsplit(server.url)
        api = await stack.enter_async_context(
            proxied(address.hostname or "", address.port or 0, seed=seed)
        )
        dimse = await stack.enter_async_context(proxied("127.0.0.1", server.dimse_port, seed=seed))
        traffic = Traffic(
            f"http://127.0.0.1:{api.port}",
            dimse.port,
            server.key,
            {name: one for name, one in templates.items() if name != POISON},
            Random(seed),
            paused=True,
        )
        await stack.enter_async_context(traffic.flowing())
        scene = Scene(server, traffic, templates, Random(seed), api, dimse, objects)
        expected = {}
        for name, template in traffic.templates.items():
            expected[name] = await _unhurried(scene, template)
        _, regions = await asyncio.to_thread(facts.regions, server)
        yield _Stage(scene, expected, regions)


async def _unhurried(scene: Scene, template: Template) -> dict[str, Answer]:
    """Screen a phantom alone and give its answers."""
    entry = await scene.traffic.stow(template, "routine")
    await scene.traffic.ended(entry, UNHURRIED_SECONDS)
    rows = await asyncio.to_thread(facts.ask, scene.server, facts.SCREENINGS)
    [row] = [row for row in rows if row["study"] == entry.study]
    if entry.state != "done":
        raise RuntimeError(f"{template.name} cannot be screened: {row}")
    return {check: (told[0], told[1], told[2]) for check, told in row["answers"].items()}


async def _bring(stage: _Stage, step: Step, seed: int, *, brief: bool) -> Outcome:
    """Let one fault strike and end, wait until all is calm, and judge."""
    scene, fault = stage.scene, step.fault
    outcome = Outcome(step.number, fault.name, step.store)
    if fault.needs == "cage" and not may_mount():
        outcome.skipped = "no mount namespace is allowed here"
        return outcome
    if fault.needs == "clock" and scene.server.clock.library is None:
        outcome.skipped = "libfaketime is not installed"
        return outcome
    begun = time.monotonic()
    scene.random = Random(f"{seed}/{step.number}/{fault.name}")
    scene.traffic.paused = False
    await asyncio.sleep(BEFORE_SECONDS / 2 if brief else BEFORE_SECONDS)
    struck = time.monotonic()
    await fault.strike(scene)
    scene.traffic.send_now()  # so that no fault strikes nobody
    try:
        shortest, longest = fault.seconds
        await asyncio.sleep(shortest if brief else scene.random.uniform(shortest, longest))
    finally:
        else_wrong = await fault.end(scene)
    ended = time.monotonic()
    outcome.lasted_seconds = ended - struck
    template = scene.templates["fatty"]
    outcome.recovery_seconds = await _stat(scene, template, RECOVERY_SECONDS)
    outcome.stat_seconds = outcome.recovery_seconds
    if not brief or outcome.recovery_seconds > STAT_SECONDS:
        outcome.stat_seconds = await _stat(scene, template, STAT_SECONDS)
    scene.traffic.paused = True
    await _settled(scene)
    case = await _case(stage, step, outcome)
    wrong = judge(case)
    if else_wrong:
        wrong[fault.name] = else_wrong
    outcome.wrong = {
        name: new
        for name, sentences in wrong.items()
        if (new := [one for one in sentences if one not in stage.reported])
    }
    stage.reported |= {one for sentences in wrong.values() for one in sentences}
    outcome.sums = sums(scene.traffic.entries[stage.judged :])
    stage.judged = len(scene.traffic.entries)
    outcome.seconds = time.monotonic() - begun
    return outcome


async def _stat(scene: Scene, template: Template, most_seconds: float) -> float:
    """Send a stat study until one is taken, and wait for its result; gives the seconds of all."""
    begun = time.monotonic()
    while (left := 2 * most_seconds - (time.monotonic() - begun)) > 0:
        entry = await scene.traffic.stow(template, "stat")
        if entry.ordered == ACKNOWLEDGED:
            await scene.traffic.ended(entry, left)
            if entry.state == "done":
                break
            continue
        await asyncio.sleep(0.5)
    return time.monotonic() - begun


async def _settled(scene: Scene) -> None:
    """Wait until every sender has its answer and nothing is open in the database."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        if not scene.traffic.open() and await asyncio.to_thread(facts.open_work, scene.server) == 0:
            return
        await asyncio.sleep(0.3)


async def _case(stage: _Stage, step: Step, outcome: Outcome) -> Case:
    scene = stage.scene
    entries = scene.traffic.entries
    found = await facts.gather(
        scene.server,
        before=stage.regions,
        damaged=await _damaged(scene, entries[stage.judged :]),
        stat_seconds=outcome.stat_seconds,
        recovery_seconds=outcome.recovery_seconds,
    )
    last = {one.study: one for one in sorted(found.screenings, key=lambda one: one.version)}
    for entry in entries[stage.judged :]:
        one = last.get(entry.study)
        if entry.ordered == ACKNOWLEDGED and one is not None and one.state in FINAL:
            entry.screening_id, entry.state = one.screening_id, one.state
            entry.without_answer = any(answer[0] == "failed" for answer in one.answers.values())
    # what a fault may do to a study it may do once; later faults judge it by its state
    return Case(entries, stage.expected, found, may_fail=frozenset({POISON}) | step.fault.may_fail)


async def _damaged(scene: Scene, entries: Sequence[Sent]) -> list[str]:
    """Fetch one of the studies that were acknowledged, and hold it to what was sent."""
    kept = [entry for entry in entries if entry.stored == ACKNOWLEDGED]
    if not kept:
        return []
    entry = scene.random.choice(kept)
    _, body = studies.fresh(scene.templates[entry.template], entry.seed)
    sent = studies.parts(body)
    if entry.via == "dimse":  # the file meta information is the listener's own
        sent = [studies.data_set(file)[1] for file in sent]
    there = await scene.traffic.fetched(entry.study)
    return [] if all(part in there for part in sent) else [entry.study]


def left(steps: Sequence[Step], done: Sequence[Outcome]) -> list[Step]:
    """Give the steps of a run that have no outcome yet."""
    known = {(one.number, one.fault, one.store) for one in done}
    return [one for one in steps if (one.number, one.fault.name, one.store) not in known]
