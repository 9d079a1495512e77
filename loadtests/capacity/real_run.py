"""The calibration's real side: an embedded server, studies in hand, then seeded arrivals.

Two sets of phantoms of different seeds: one to measure service times on, the other to arrive.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from gateway.client import GatewayClient
from gateway.intake.folders import collect

CHECKS = ("liver",)
"""With the anatomy; two small networks, a fraction of a second together."""

INCREMENTS_MM = (5.0, 3.0, 2.0)
MATRIX = 256
MEASURED_SEED, ARRIVING_SEED = 41, 71
GENERAL = 2
"""Slots of a worker of three that take any lane; the third is the stat lane's."""

STAT_SHARE = 0.15
ROUNDS = 4

ROWS = (
    "SELECT screening_id::text, lane, extract(epoch FROM created_at)::float,"
    " extract(epoch FROM started_at)::float, extract(epoch FROM finished_at)::float"
    " FROM screenings WHERE screening_id::text = ANY(%s) AND state = 'done'"
)


@dataclass(frozen=True, slots=True)
class Order:
    """A screening to be: seconds after the start, lane, and which study."""

    at: float
    lane: str
    study: int


@dataclass(frozen=True, slots=True)
class Screened:
    """What became of one: PostgreSQL's own times, seconds of the epoch."""

    lane: str
    slices: int
    created: float
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """Both parts of a run."""

    alone: list[Screened]
    """One after the other."""

    together: list[Screened]
    """Two, then three in hand all the time."""

    open_loop: list[Screened]
    """Arrivals, whoever is in hand."""

    rate: float
    """Of the arrivals, per second."""

    def as_json(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self)


def recorded(values: dict[str, Any]) -> Recorded:
    """Read what `Recorded.as_json` gave."""
    parts = {
        name: [Screened(**one) for one in values[name]]
        for name in ("alone", "together", "open_loop")
    }
    return Recorded(**parts, rate=values["rate"])


def poisson(rate: float, seconds: float, studies: int, seed: int) -> list[Order]:
    """Draw arrivals of a rate per second."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(rate * seconds)
    times = np.sort(rng.random(count)) * seconds
    stat = rng.random(count) < STAT_SHARE
    which = rng.integers(0, studies, count)
    return [
        Order(float(at), "stat" if urgent else "routine", int(study))
        for at, urgent, study in zip(times, stat, which, strict=True)
    ]


async def run_real(minutes: float, utilisation: float, seed: int, folder: Path) -> Recorded:
    """Start a server, measure and let studies arrive in turns, and read what happened.

    Parameters
    ----------
    minutes : float
        Of arrivals; measuring takes as long besides.
    utilisation : float
        Of what two studies in hand do in a second.
    folder : Path
        Phantoms are kept there.
    """
    from loadtests.own_server import own_server

    measured = _phantoms(folder, MEASURED_SEED)
    arriving = _phantoms(folder, ARRIVING_SEED)
    async with own_server() as server, GatewayClient(server.url, server.key) as client:
        studies: dict[Path, tuple[str, int]] = {}
        for path in (*measured, *arriving):
            with collect([path], settings=server.settings.intake) as found:
                failed = await client.store(found.instances)
                if failed:
                    raise SystemExit(f"The server refused an instance: {failed[0]}")
                studies[path] = (found.instances[0].study_instance_uid, len(found.instances))
        one, other = [studies[path] for path in measured], [studies[path] for path in arriving]
        url = server.settings.store.database_url
        for study in (*one, *other):
            await _screen(client, study[0], "routine")  # the first turn warms
        turn = max(minutes * 60 / (3 * ROUNDS), 5.0)
        alone: list[Screened] = []
        together: list[Screened] = []
        arrived: list[Screened] = []
        done, span = 0, 0.0
        for number in range(ROUNDS):  # in turns, so that a machine's moods go to all alike
            alone += await _closed(client, one, 1, turn, url)
            pair = await _closed(client, one, GENERAL, turn, url)
            together += [*pair, *await _closed(client, one, GENERAL + 1, turn, url)]
            done += len(pair)
            span += max(s.ended for s in pair) - min(s.created for s in pair)
            rate = utilisation * done / span
            orders = poisson(rate, minutes * 60 / ROUNDS, len(other), seed + number)
            arrived += await _open(client, other, orders, url)
    return Recorded(alone, together, arrived, rate)


def _phantoms(folder: Path, seed: int) -> list[Path]:
    from networks.phantoms.study import make_study

    made = []
    for number, increment in enumerate(INCREMENTS_MM):
        path = folder / f"phantom-{seed + number}"
        if not (path / "truth.json").exists():
            make_study(
                path, seed=seed + number, matrix=MATRIX, increment_mm=increment, series=("thin",)
            )
        made.append(path)
    return made


async def _order(client: GatewayClient, study: str, lane: str) -> str:
    body = {"study_instance_uid": study, "checks": list(CHECKS), "lane": lane}
    created = await client.create_screening(body)
    return str(created["screening_id"])


async def _screen(client: GatewayClient, study: str, lane: str) -> str:
    screening = await _order(client, study, lane)
    await client.wait(screening)
    return screening


async def _closed(
    client: GatewayClient,
    studies: Sequence[tuple[str, int]],
    in_hand: int,
    seconds: float,
    url: str,
) -> list[Screened]:
    """Keep so many in hand; the third takes the stat lane's slot."""
    until = time.monotonic() + seconds
    done: dict[str, int] = {}

    async def keep(number: int) -> None:
        turn = number
        lane = "routine" if number < GENERAL else "stat"
        while time.monotonic() < until:
            study, slices = studies[turn % len(studies)]
            done[await _screen(client, study, lane)] = slices
            turn += 1

    await asyncio.gather(*(keep(number) for number in range(in_hand)))
    return await _rows(url, done)


async def _open(
    client: GatewayClient,
    studies: Sequence[tuple[str, int]],
    orders: Sequence[Order],
    url: str,
) -> list[Screened]:
    """Send each order at its time, whatever waits; then wait for the last."""
    started = time.monotonic()
    ids: dict[str, int] = {}
    sends = []

    async def send(order: Order) -> None:
        study, slices = studies[order.study]
        ids[await _order(client, study, order.lane)] = slices

    for order in orders:
        await asyncio.sleep(max(started + order.at - time.monotonic(), 0))
        sends.append(asyncio.create_task(send(order)))
    await asyncio.gather(*sends)
    for screening in ids:
        await client.wait(screening)
    return await _rows(url, ids)


async def _rows(url: str, slices: dict[str, int]) -> list[Screened]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        rows = await (await connection.execute(ROWS, (list(slices),))).fetchall()
    found = [
        Screened(lane, slices[name], float(created), float(started), float(ended))
        for name, lane, created, started, ended in rows
    ]
    return sorted(found, key=lambda one: one.created)
