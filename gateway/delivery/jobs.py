"""The loop that makes and sends what is owed; every api process has one.

A job is done at least once: one that was taken by a process that died is taken again after its
lease. That is harmless, since the same screening gives the same objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from gateway.delivery.gathering import gather
from gateway.delivery.keeping import keep, read_kept
from gateway.delivery.maker import ResultMaker
from gateway.delivery.sending import send
from gateway.exceptions import NotFoundError, OneScanError, UnknownSourceError
from gateway.intake.partners import Partners
from gateway.log import get_logger
from gateway.metrics import RESULT_JOBS
from gateway.settings import ResultSettings
from gateway.store import result_jobs, screenings
from gateway.store.database import Database
from gateway.store.objects import ObjectStore
from gateway.store.result_jobs import Job
from gateway.webhooks.deliverer import pause

if TYPE_CHECKING:
    from gateway.dimse.scu import ArchiveClient

POLL_SECONDS = 2.0
AT_ONCE = 4
"""Jobs in hand: one is made, the others are sent."""

log = get_logger("onescan.results")


@dataclass(frozen=True, kw_only=True)
class ResultKit:
    """What every job needs."""

    database: Database
    objects: ObjectStore
    partners: Partners
    archives: Mapping[str, ArchiveClient]
    maker: ResultMaker
    settings: ResultSettings


async def run_result_jobs(kit: ResultKit) -> None:
    """Do what is owed until cancelled; what is in hand then is done by another process."""
    tasks: set[asyncio.Task[None]] = set()
    try:
        while True:
            taken: list[Job] = []
            if free := AT_ONCE - len(tasks):
                try:
                    async with kit.database.connection() as connection:
                        taken = await result_jobs.take_due(connection, free)
                except psycopg.Error as error:
                    log.warning("onescan.results.database_away", error=type(error).__name__)
            for job in taken:
                task = asyncio.create_task(_do(kit, job), name="result job")
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            if not taken:
                await asyncio.sleep(POLL_SECONDS)
            else:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _do(kit: ResultKit, job: Job) -> None:
    """See one attempt through, and write how it ended."""
    try:
        if job["state"] == "pending":
            await _make(kit, job)
            outcome = "made"
        else:
            await _send(kit, job)
            outcome = "sent"
    except psycopg.Error as error:
        log.warning("onescan.results.left", error=type(error).__name__)  # until its lease ends
        return
    except Exception as error:
        outcome = await _failed(kit, job, error)
    RESULT_JOBS.labels(outcome).inc()


async def _make(kit: ResultKit, job: Job) -> None:
    async with kit.database.connection() as connection:
        recipe = await gather(
            connection,
            job["tenant"],
            job["screening_id"],
            job["kinds"],
            review_id=job["review_id"],
        )
    made = await kit.maker.make(recipe)
    named = await keep(kit.database, kit.objects, job["tenant"], made) if made else []
    async with kit.database.connection() as connection:
        await result_jobs.made(connection, job, named)


async def _send(kit: ResultKit, job: Job) -> None:
    async with kit.database.connection() as connection:
        row, _, _ = await screenings.find(connection, job["tenant"], job["screening_id"])
    study = row["study_instance_uid"]
    files = await read_kept(kit.database, kit.objects, job["tenant"], study, job["objects"])
    if files:
        await send(
            files, job["send_to"], job["tenant"], partners=kit.partners, archives=kit.archives
        )
    async with kit.database.connection() as connection:
        await result_jobs.sent(connection, job)


async def _failed(kit: ResultKit, job: Job, error: Exception) -> str:
    """Try again later, or give up: after a day, or when nothing would change."""
    code = error.code if isinstance(error, OneScanError) else "internal"
    age = (job["last_attempt_at"] - job["due_since"]).total_seconds()
    over = age >= kit.settings.retry_seconds
    over = over or isinstance(error, (NotFoundError, UnknownSourceError))
    delay = None if over else pause(job["attempts"], kit.settings.first_delay_seconds)
    outcome = "failed" if over else "retried"
    log.warning(
        "onescan.results.not_done",
        job=str(job["job_id"]),
        screening=str(job["screening_id"]),
        attempt=job["attempts"],
        state=job["state"],
        outcome=outcome,
        code=code,
        error=type(error).__name__,
    )
    try:
        async with kit.database.connection() as connection:
            await result_jobs.failed(connection, job, code=code, delay_seconds=delay)
    except psycopg.Error as away:
        log.warning("onescan.results.left", error=type(away).__name__)
    return outcome
