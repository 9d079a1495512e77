"""The worker's heart: a thread with its own connection that says what is alive.

It shares neither event loop nor connection pool with the work, so a busy worker is never
taken for a dead one.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from gateway import __version__
from gateway.cluster.deletion_cost import InHand
from gateway.log import get_logger
from gateway.settings import Settings
from gateway.store.drains import is_drained
from gateway.store.screenings import Claim
from gateway.store.workers import Report, beat, leave
from gateway.worker.cordon import Cordon
from gateway.worker.pool import Pool

CONNECT_TIMEOUT_SECONDS = 5
"""Then it tries again; a restarted PostgreSQL answers within a second."""

MISSES_UNTIL_LOST = 2
"""A claim that is ending may miss one beat; one that was given up misses all."""

log = get_logger("onescan.worker.heart")


@dataclass
class _Held:
    claim: Claim
    on_lost: Callable[[], object]
    misses: int = 0
    since: float = field(default_factory=time.monotonic)


class Heart:
    """Beats for a worker and the claims that it holds.

    Parameters
    ----------
    settings : Settings
        Database address and interval.
    worker : str
        Name of this worker.
    pool : Pool
        What it runs.
    """

    def __init__(self, settings: Settings, worker: str, pool: Pool) -> None:
        self.triton_ready = False
        self.draining = False
        self.cordon = Cordon()
        self._settings = settings
        self._worker = worker
        self._pool = pool
        self._pod = settings.worker.pod_name or socket.gethostname()
        self._beaten = 0.0
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    async def stop(self) -> None:
        """Say good-bye and end the thread."""
        self._stopping.set()
        self._wake.set()
        await asyncio.to_thread(self._thread.join, 2 * CONNECT_TIMEOUT_SECONDS)

    def hold(self, claim: Claim, on_lost: Callable[[], object]) -> None:
        """Beat for a claim; `on_lost` is called on the event loop when it was given up."""
        with self._lock:
            self._held[claim.worker] = _Held(claim, on_lost)

    def drop(self, claim: Claim) -> None:
        """Beat for a claim no more."""
        with self._lock:
            self._held.pop(claim.worker, None)

    def beat_now(self) -> None:
        """Do not wait for the next beat, since something has changed."""
        self._wake.set()

    @property
    def silent_seconds(self) -> float:
        """Time since the database took a beat."""
        return time.monotonic() - self._beaten

    @property
    def in_flight(self) -> int:
        """Claims held."""
        with self._lock:
            return len(self._held)

    def in_hand(self) -> dict[str, InHand]:
        """Give what is held, by claim."""
        with self._lock:
            return {name: InHand(i.claim.lane, i.since) for name, i in self._held.items()}

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[object, ...]] | None = None
        while not self._stopping.is_set():
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(
                        self._settings.store.database_url,
                        autocommit=True,
                        connect_timeout=CONNECT_TIMEOUT_SECONDS,
                    )
                self._beat(connection)
            except psycopg.Error as error:
                log.warning("onescan.heart.database_away", error=type(error).__name__)
                if connection is not None:
                    connection.close()
                connection = None
            self._wake.wait(self._settings.worker.heartbeat_seconds)
            self._wake.clear()
        if connection is not None:
            with contextlib.suppress(psycopg.Error):  # then the row is forgotten in an hour
                leave(connection, self._worker)
            connection.close()

    def _beat(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        with self._lock:
            held = dict(self._held)
        report = Report(
            worker=self._worker,
            version=__version__,
            checks=self._pool.checks,
            pool=self._pool.name,
            lanes=self._pool.lanes,
            slots=self._settings.worker.concurrency,
            in_flight=len(held),
            triton_ready=self.triton_ready,
            draining=self.draining or self.cordon.drawn,
            pod=self._pod,
            drained=self.cordon.drained,
        )
        alive = beat(connection, report, list(held))
        self._beaten = time.monotonic()
        drained = is_drained(connection, self._pod, self._pool.name)
        if not self._stopping.is_set():
            self._loop.call_soon_threadsafe(self.cordon.tell, drained)
        for item in held.values():
            item.misses = 0 if item.claim.screening_id in alive else item.misses + 1
            if item.misses == MISSES_UNTIL_LOST and not self._stopping.is_set():
                self._loop.call_soon_threadsafe(item.on_lost)
