"""One attempt at one screening: claim, screen, release, finish, or give up in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4

from gateway import traces
from gateway.exceptions import (
    OneScanError,
    StaleAttemptError,
    StorageFullError,
    StubDiedError,
    TritonDiedError,
)
from gateway.log import get_logger
from gateway.metrics import ATTEMPTS, ATTEMPTS_STARTED, CHECKS, STAGE_SECONDS, TRITON_RESTARTS
from gateway.screening.clinical import REPORT, numbers
from gateway.screening.findings import CheckResult
from gateway.screening.infers import Infers
from gateway.screening.manifest import Manifest
from gateway.screening.mask import KeptMask, Mask
from gateway.screening.plan import Plan
from gateway.screening.reasons import reason_of_error
from gateway.screening.screener import Request, StudyResult, screen_study
from gateway.screening.site_thresholds import SiteThresholds
from gateway.settings import Settings
from gateway.store import screenings
from gateway.store.attempt_span import attempt_span
from gateway.store.database import Connection, Database
from gateway.store.index import study_instances
from gateway.store.masks import Pointer, write_mask
from gateway.store.objects import ObjectStore
from gateway.store.retry import persist
from gateway.store.screenings import Claim
from gateway.triton.restart import restart_triton
from gateway.worker.heart import Heart
from gateway.worker.pool import Pool
from gateway.worker.slots import MemoryBudget, Room

RESTARTS_PER_ATTEMPT = 2
"""A third dead stub in one attempt is the study's own doing."""

NO_ROOM_SECONDS = 15.0
"""Pause after an attempt for which a disk or /dev/shm had no room, the double after the second:
tried at once, three attempts are over before anybody can make room."""

log = get_logger("onescan.worker")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Workshop:
    """What every attempt of a worker shares."""

    settings: Settings
    name: str
    database: Database
    objects: ObjectStore
    manifests: Mapping[str, Manifest]
    pool: Pool
    site: SiteThresholds
    triton: Infers
    heart: Heart
    room: Room
    memory: MemoryBudget

    async def persist(self, operation: Callable[[Connection], Awaitable[T]]) -> T:
        """Write, patiently."""
        return await persist(self.database, operation)


async def run_attempt(workshop: Workshop, screening_id: UUID, attempt: int) -> None:
    """Take an attempt and see it through; returns in every case but cancellation.

    Cancellation (the worker is told to stop and the drain time is over) hands the screening
    back, the attempt uncounted, and is raised on.
    """
    token = f"{workshop.name}/{uuid4().hex[:12]}"
    claim = await workshop.persist(lambda c: screenings.claim(c, screening_id, attempt, token))
    if claim is None:
        log.info("onescan.attempt.not_to_be_had", screening=str(screening_id), attempt=attempt)
        return
    with attempt_span("attempt", claim) as span:
        outcome = await _carry(workshop, claim)
        span.set({"onescan.outcome": outcome})
        if outcome != "done":
            span.fail(outcome)


async def _carry(workshop: Workshop, claim: Claim) -> str:
    """Hold the claim while it is seen through; give the attempt's outcome in one word."""
    screening_id, attempt = claim.screening_id, claim.attempt
    work = asyncio.create_task(_see_through(workshop, claim), name=f"attempt {screening_id}")
    workshop.heart.hold(claim, work.cancel)
    said = log.bind(screening=str(screening_id), attempt=attempt)
    said.info("onescan.attempt.started", lane=claim.lane)
    ATTEMPTS_STARTED.inc()
    try:
        outcome = await asyncio.shield(work)
    except asyncio.CancelledError:
        if work.cancelled():
            outcome = "lost"  # by the heart: somebody else has it now
        else:
            work.cancel()
            await asyncio.wait({work})
            await _hand_back(workshop, claim)
            ATTEMPTS.labels("handed_back").inc()
            said.info("onescan.attempt.handed_back")
            raise
    finally:
        workshop.heart.drop(claim)
    ATTEMPTS.labels(outcome).inc()
    said.info("onescan.attempt.ended", outcome=outcome)
    return outcome


async def _see_through(workshop: Workshop, claim: Claim) -> str:
    """Screen and finish; give the attempt's outcome in one word."""
    last = claim.attempt >= workshop.settings.worker.max_attempts
    try:
        release = _Releases(workshop, claim)
        async with workshop.room.enter(alone=last):
            result = await _screen(workshop, claim, release)
        with traces.child("write", {"onescan.what": "screening"}):
            organs = release.organ_masks(result)
            await workshop.persist(
                lambda c: screenings.finish(c, claim, result.to_json(), masks=organs)
            )
    except StaleAttemptError:
        return "stale"
    except Exception as error:
        return await _give_up(workshop, claim, error)
    return "done"


async def _screen(workshop: Workshop, claim: Claim, release: _Releases) -> StudyResult:
    """Screen the study; a Triton with a dead stub is restarted and the study begun again."""
    restarts = 0
    while True:
        try:
            async with asyncio.timeout(workshop.settings.worker.study_timeout_seconds):
                return await _screen_once(workshop, claim, release)
        except TritonDiedError:
            raise  # it is on its way back already, and goes on with other studies
        except StubDiedError as error:
            restarts += 1
            embedded = await asyncio.to_thread(restart_triton, workshop.settings, error)
            if not embedded or restarts > RESTARTS_PER_ATTEMPT:
                raise
            TRITON_RESTARTS.inc()
            log.warning("onescan.attempt.triton_restarted", screening=str(claim.screening_id))
        except TimeoutError as error:
            await release.rest("failed", reason_of_error(error))
            return StudyResult()


async def _screen_once(workshop: Workshop, claim: Claim, release: _Releases) -> StudyResult:
    order = claim.order
    instances = await workshop.persist(
        lambda c: study_instances(c, claim.tenant, order.study_instance_uid)
    )

    async def on_stage(stage: str) -> None:
        await workshop.persist(lambda c: screenings.enter_stage(c, claim, stage))

    async def on_plan(plan: Plan) -> None:
        await workshop.persist(lambda c: screenings.save_plan(c, claim, plan.to_json()))

    result = await screen_study(
        instances,
        workshop.objects,
        Request(
            checks=order.checks,
            lane=order.lane,
            exam_context=order.exam_context,
            clinical=numbers(order.clinical),
            report=order.clinical.get(REPORT),
        ),
        manifests=workshop.manifests,
        triton=workshop.triton,
        settings=workshop.settings,
        known=release.out,
        site=workshop.site,
        memory=workshop.memory.hold,
        keep_mask=release.keep_mask,
        on_stage=on_stage,
        on_plan=on_plan,
        on_result=release,
    )
    for stage, seconds in result.timings.items():
        STAGE_SECONDS.labels(stage).observe(seconds["wall_seconds"])
    return result


class _Releases:
    """Releases results one by one and knows which are out."""

    def __init__(self, workshop: Workshop, claim: Claim) -> None:
        self._workshop = workshop
        self._claim = claim
        self.out: dict[str, CheckResult] = {}
        self._masks: dict[str, Pointer] = {}

    async def __call__(self, result: CheckResult) -> None:
        with traces.child("write", {"onescan.what": "result"}):
            await self._workshop.persist(
                lambda c: screenings.release(
                    c,
                    self._claim,
                    check=result.check,
                    state=result.state,
                    reason=result.reason,
                    result=result.to_json(),
                    mask=self._masks.get(result.check) if result.mask else None,
                )
            )
        if result.check not in self.out:
            CHECKS.labels(result.check, result.state).inc()
            self.out[result.check] = result

    async def keep_mask(self, check: str, mask: Mask) -> KeptMask:
        """Write a mask durably; the release of its result will point at it."""
        with traces.child("write", {"onescan.what": "mask"}):
            encoded = await asyncio.to_thread(mask.encode)
            self._masks[check] = await asyncio.to_thread(
                write_mask, self._workshop.objects, encoded
            )
        return KeptMask.of(mask, encoded)

    def organ_masks(self, result: StudyResult) -> dict[str, Pointer]:
        """Give the masks that the study's anatomy speaks of, by name."""
        names = [seen["mask"]["name"] for seen in result.anatomy.values() if seen.get("mask")]
        return {name: self._masks[name] for name in names}

    async def rest(self, state: str, reason: str) -> None:
        """Release what is not out yet, all for one reason."""
        for check in self._claim.order.checks:
            if check not in self.out:
                manifest = self._workshop.manifests.get(check)
                await self(CheckResult.without_answer(check, state, reason, manifest=manifest))


async def _give_up(workshop: Workshop, claim: Claim, error: Exception) -> str:
    """Count the attempt as lost, loudly."""
    log.error(
        "onescan.attempt.crashed",
        screening=str(claim.screening_id),
        attempt=claim.attempt,
        error=type(error).__name__,
        exc_info=error,
    )
    code = error.code if isinstance(error, OneScanError) else "internal"
    no_room = NO_ROOM_SECONDS if isinstance(error, StorageFullError) else 0.0
    try:
        again = await workshop.persist(
            lambda c: screenings.give_up_attempt(
                c,
                claim.row,
                max_attempts=workshop.settings.worker.max_attempts,
                code=code,
                message=str(error) if isinstance(error, OneScanError) else type(error).__name__,
                reason=reason_of_error(error),
                after_seconds=no_room * claim.attempt,
            )
        )
    except StaleAttemptError:
        return "stale"
    except OneScanError:
        return "abandoned"  # the database is away; the reaper will see the silence
    return "retried" if again else "failed"


async def _hand_back(workshop: Workshop, claim: Claim) -> None:
    """Return the screening to the queue, however impatient the caller is."""
    try:
        await asyncio.shield(workshop.persist(lambda c: screenings.hand_back(c, claim)))
    except (StaleAttemptError, OneScanError) as error:
        log.warning("onescan.attempt.not_handed_back", code=error.code)
