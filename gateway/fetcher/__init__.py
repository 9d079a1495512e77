"""The fetcher: brings studies from remote sources, in the api's process, beside the reaper."""

from __future__ import annotations

import asyncio
from uuid import UUID

import psycopg
from procrastinate import exceptions as queue_errors
from procrastinate.worker import Worker

from gateway.fetcher.attempt import run_attempt
from gateway.fetcher.kit import FetchKit
from gateway.log import get_logger
from gateway.store.queue import FETCH, make_queue

CONCURRENCY = 2
"""Studies fetched at once by one api process; each writes to the disk that STOW writes to."""

POLL_SECONDS = 2.0
"""New jobs are notified; polling is for a notification that was lost."""

RESTART_SECONDS = 0.5
"""Pause before the queue is joined again after PostgreSQL went away."""

log = get_logger("onescan.fetcher")


async def run_fetcher(kit: FetchKit) -> None:
    """Fetch until cancelled; what is in hand then is handed back."""
    queue = make_queue(kit.database.url)

    @queue.task(name=FETCH)
    async def fetch(screening_id: str, attempt: int) -> None:
        await run_attempt(kit, UUID(screening_id), attempt)

    async with queue.open_async():
        while True:
            worker = Worker(
                queue,
                queues=[FETCH],
                name=kit.name,
                concurrency=CONCURRENCY,
                fetch_job_polling_interval=POLL_SECONDS,
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=kit.worker.heartbeat_seconds,
                stalled_worker_timeout=2 * kit.worker.stalled_seconds,
                shutdown_graceful_timeout=0.0,
            )
            try:
                await worker.run()  # type: ignore[no-untyped-call]
            except (psycopg.Error, queue_errors.ProcrastinateException) as error:
                log.warning("onescan.fetcher.queue_lost", error=type(error).__name__)
            await asyncio.sleep(RESTART_SECONDS)
