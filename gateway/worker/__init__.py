"""The worker: takes screenings from the queue and sees them through."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import procrastinate
import psycopg
from procrastinate import exceptions as queue_errors
from procrastinate.worker import Worker

from gateway import traces
from gateway.cluster.deletion_cost import kept_deletion_cost
from gateway.exceptions import OneScanError, StubDiedError, UsageError
from gateway.log import configure_logging, deployment_key, get_logger
from gateway.metrics import TRITON_RESTARTS, begin_checks
from gateway.screening.infers import Infers
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.rules import check_rules
from gateway.screening.site_thresholds import load_site, warn_of_stale
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.open_objects import open_objects
from gateway.store.queue import TASK, make_pool_queues
from gateway.triton.client import TritonClient
from gateway.triton.readiness import Readiness
from gateway.triton.restart import restart_triton
from gateway.triton.shared_memory import sweep
from gateway.worker.attempt import Workshop, run_attempt
from gateway.worker.heart import Heart
from gateway.worker.pool import Pool
from gateway.worker.probes import probes
from gateway.worker.slots import MemoryBudget, Room, shares

POLL_SECONDS = 2.0
"""New jobs are notified; polling is for a notification that was lost."""

RESTART_SECONDS = 0.5
"""Pause before the queue is joined again after PostgreSQL went away."""

PROBE_SECONDS = 5.0
"""Triton is probed so often while it is ready and nothing is in hand."""

PROBE_AGAIN_SECONDS = 0.5
"""And so often while it is not."""

Probe = Callable[[], Awaitable[None]]

log = get_logger("onescan.worker")


async def run_worker(
    settings: Settings,
    *,
    triton: Infers | None = None,
    probe: Probe | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Work until SIGTERM, SIGINT or the event; then finish what is in hand or hand it back.

    Parameters
    ----------
    settings : Settings
        With the addresses of database and Triton.
    triton : Infers, optional
        Used instead of the Triton of the settings.
    probe : callable, optional
        Raises when `triton` is not ready; belongs to it.
    stop : asyncio.Event, optional
        Ends the worker, instead of signals.

    Raises
    ------
    UsageError
        When database or Triton have no address.
    ManifestError
        When the model repository's manifests break their contract.
    ThresholdSetError
        When the site's thresholds cannot be read.
    """
    if not settings.store.database_url or not (triton or settings.triton.url):
        raise UsageError("A worker needs DATABASE_URL and ONESCAN_TRITON__URL.")
    manifests = load_manifests(settings.model_repository)
    check_rules(manifests)
    pool = Pool.of(settings.worker, manifests)
    site = load_site(settings.home, settings.screening.site)
    warn_of_stale(site, manifests)
    if stop is None:
        key = deployment_key(settings.home, settings.log.key)
        configure_logging("worker", key)
        traces.start(settings.traces, "worker", key)
        stop = _stop_on_signal()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, traces.stop)
        database = await stack.enter_async_context(
            Database(settings.store.database_url, size=settings.store.pool_size)
        )
        if swept := await asyncio.to_thread(sweep, settings.home):
            log.warning("onescan.worker.regions_swept", count=swept)  # of a worker that was killed
        if triton is None:
            ours = [m for m in manifests.values() if not m.is_check or m.name in pool.checks]
            ensembles = [m.ensemble for m in ours if m.ensemble]
            client = TritonClient(settings.triton.url, models=ensembles)
            triton = await stack.enter_async_context(client)
            recipe = manifests["anatomy"].recipe_json or ""
            probe = Readiness(client, home=settings.home, recipe=recipe).check
        name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        heart = Heart(settings, name, pool)
        begin_checks(pool.checks)
        heart.start()
        stack.push_async_callback(heart.stop)
        if settings.worker.metrics_port:
            stack.enter_context(probes(settings.worker, heart))
        stack.enter_context(kept_deletion_cost(settings, heart.in_hand))
        workshop = Workshop(
            settings=settings,
            name=name,
            database=database,
            objects=await asyncio.to_thread(open_objects, settings),
            manifests=manifests,
            pool=pool,
            site=site,
            triton=triton,
            heart=heart,
            room=Room(),
            memory=MemoryBudget(settings.worker.shm_bytes),
        )
        watch = asyncio.create_task(_watch_triton(settings, heart, probe), name="watch triton")
        stack.callback(watch.cancel)
        log.info("onescan.worker.started", worker=name, pool=pool.name, checks=list(pool.checks))
        await _take_jobs(workshop, stop)
        log.info("onescan.worker.stopped", worker=name)


async def _take_jobs(workshop: Workshop, stop: asyncio.Event) -> None:
    """Stay in the queue, whatever PostgreSQL does, until told to stop."""
    pool = workshop.pool
    shared = shares(workshop.settings.worker.concurrency, pool.lanes)
    queues = make_pool_queues(
        workshop.settings.store.database_url,
        [lanes for lanes, _ in shared],
        frozenset(pool.checks) if pool.restricted else None,
        workshop.heart.cordon.fetch,
    )

    async def screen(screening_id: str, attempt: int) -> None:
        try:
            await run_attempt(workshop, UUID(screening_id), attempt)
        finally:
            workshop.heart.cordon.ended()

    for queue in queues:
        queue.task(name=TASK)(screen)
    async with queues[0].open_async():
        while not stop.is_set():
            workshop.heart.cordon.begin()
            takers = [
                _taker(workshop, queue, slots)
                for queue, (_, slots) in zip(queues, shared, strict=True)
            ]
            running = asyncio.create_task(_run_takers(takers), name="queue")
            stopping = asyncio.create_task(stop.wait(), name="stop")
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if stop.is_set():
                log.info("onescan.worker.draining", in_flight=workshop.heart.in_flight)
                workshop.heart.draining = True
                workshop.heart.beat_now()
                # Only now: when PostgreSQL goes away procrastinate stops too, and then
                # the studies in hand have all the time that they need.
                for taker in takers:
                    taker.shutdown_graceful_timeout = workshop.settings.worker.drain_seconds
                    taker.stop()  # type: ignore[no-untyped-call]
            try:
                await running
            except (psycopg.Error, queue_errors.ProcrastinateException) as error:
                log.warning("onescan.worker.queue_lost", error=type(error).__name__)
            if not stop.is_set():
                await asyncio.sleep(RESTART_SECONDS)


def _taker(workshop: Workshop, queue: procrastinate.App, slots: int) -> Worker:
    settings = workshop.settings.worker
    return Worker(  # listens to all queues; its application says which jobs it takes
        queue,
        name=workshop.name,
        concurrency=slots,
        fetch_job_polling_interval=POLL_SECONDS,
        delete_jobs="always",
        install_signal_handlers=False,
        update_heartbeat_interval=settings.heartbeat_seconds,
        stalled_worker_timeout=2 * settings.stalled_seconds,
    )


async def _run_takers(takers: Sequence[Worker]) -> None:
    """Run them until all have stopped; when one fails, the others stop and their jobs end first."""
    tasks = [asyncio.create_task(taker.run()) for taker in takers]  # type: ignore[no-untyped-call]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for taker in takers:
        taker.stop()  # type: ignore[no-untyped-call]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _watch_triton(settings: Settings, heart: Heart, probe: Probe | None) -> None:
    """Keep `heart.triton_ready` true to the facts; restart a Triton whose stub died."""
    if probe is None:
        heart.triton_ready = True
        heart.beat_now()
        return
    while True:
        if heart.triton_ready and heart.in_flight:
            await asyncio.sleep(PROBE_SECONDS)  # the studies in hand say how Triton is
            continue
        ready = True
        try:
            await probe()
        except StubDiedError as error:
            ready = False
            if await asyncio.to_thread(restart_triton, settings, error):
                TRITON_RESTARTS.inc()
        except OneScanError:
            ready = False
        if ready != heart.triton_ready:
            log.info("onescan.worker.triton", ready=ready)
            heart.triton_ready = ready
            heart.beat_now()
        await asyncio.sleep(PROBE_SECONDS if ready else PROBE_AGAIN_SECONDS)


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
