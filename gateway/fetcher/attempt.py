"""One attempt at fetching a study: claim, fetch, pass on to the lane, or give up in good order."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from gateway.exceptions import (
    OneScanError,
    SeveralStudiesError,
    SourceError,
    SourceNotFoundError,
    SourceOutsideHoursError,
    SourceRefusedError,
    SourceTooLargeError,
    SourceUnreachableError,
    SourceUnsupportedError,
    StaleAttemptError,
)
from gateway.fetcher.dicomweb import fetch_dicomweb
from gateway.fetcher.kit import FetchKit
from gateway.fetcher.s3 import fetch_s3
from gateway.instance import Instance
from gateway.intake.receiver import Received
from gateway.intake.remotes import DicomwebSource, S3Source
from gateway.intake.resend import same_pixels
from gateway.log import get_logger
from gateway.metrics import FETCHES
from gateway.store import screenings
from gateway.store.attempt_span import attempt_span
from gateway.store.database import Connection
from gateway.store.default_order import checks_of_study
from gateway.store.index import Outcome, add_instances
from gateway.store.retry import persist
from gateway.store.screenings import Claim

MISSES_UNTIL_LOST = 2
"""As `gateway.worker.heart`: a claim that was given up misses all beats."""

HOPELESS = (
    SourceNotFoundError,
    SourceRefusedError,
    SourceTooLargeError,
    SeveralStudiesError,
    SourceUnsupportedError,
)
"""Asking again would get the same answer."""

SHORTEST_WAIT_SECONDS = 1.0
"""Before an archive is asked again whose hours have just begun or ended."""

log = get_logger("onescan.fetcher")


async def run_attempt(kit: FetchKit, screening_id: UUID, attempt: int) -> None:
    """Take an attempt and see it through; returns in every case but cancellation."""
    token = f"{kit.name}/{uuid4().hex[:12]}"
    claim = await persist(kit.database, lambda c: screenings.claim(c, screening_id, attempt, token))
    if claim is None:
        return
    with attempt_span("fetch", claim) as span:
        outcome = await _carry(kit, claim)
        span.set({"onescan.outcome": outcome})
        if outcome not in ("fetched", "waits"):
            span.fail(outcome)


async def _carry(kit: FetchKit, claim: Claim) -> str:
    """Hold the claim while it is seen through; give the attempt's outcome in one word."""
    screening_id = claim.screening_id
    work = asyncio.create_task(_see_through(kit, claim), name=f"fetch {screening_id}")
    beating = asyncio.create_task(_beat(kit, claim, work), name=f"beat {screening_id}")
    try:
        outcome = await asyncio.shield(work)
    except asyncio.CancelledError:
        if work.cancelled():
            outcome = "lost"  # somebody else has it now
        else:
            work.cancel()
            await asyncio.wait({work})
            await asyncio.shield(_hand_back(kit, claim))
            raise
    finally:
        beating.cancel()
    FETCHES.labels(outcome).inc()
    log.info("onescan.fetch.ended", screening=str(screening_id), outcome=outcome)
    return outcome


async def _see_through(kit: FetchKit, claim: Claim) -> str:
    try:
        await persist(kit.database, lambda c: screenings.enter_stage(c, claim, "fetching"))
        study = await _patiently(kit, claim)
        await persist(kit.database, lambda c: _pass_on(kit, c, claim, study))
    except StaleAttemptError:
        return "stale"
    except SourceOutsideHoursError as error:
        return await _put_back(kit, claim, error)
    except Exception as error:
        return await _give_up(kit, claim, error)
    return "fetched"


async def _pass_on(kit: FetchKit, connection: Connection, claim: Claim, study: str) -> None:
    checks = claim.order.checks or await checks_of_study(
        connection, claim.tenant, study, kit.default_checks
    )
    await screenings.fetched(connection, claim, study, checks)


async def _patiently(kit: FetchKit, claim: Claim) -> str:
    """Ask a source that is away or busy a few times before the attempt is lost."""
    delay = kit.limits.first_delay_seconds
    for _ in range(kit.limits.tries - 1):
        try:
            return await _fetch(kit, claim)
        except SourceUnreachableError:
            await asyncio.sleep(delay)
            delay *= 2
    return await _fetch(kit, claim)


async def _fetch(kit: FetchKit, claim: Claim) -> str:
    """Fetch the study once and give its UID."""
    order = claim.order
    said = order.source or {}
    if "dimse" in said:
        return await _fetch_from_archive(kit, claim, str(said["dimse"]))
    name = str(said.get("dicomweb") or said.get("s3") or "")
    source = kit.partners.sources.get(name)

    def same(old: Instance, new: Instance) -> bool:
        return same_pixels(kit.objects, old, new)

    async def index(instances: list[Instance]) -> list[Outcome]:
        return await persist(
            kit.database, lambda c: add_instances(c, claim.tenant, instances, same_pixels=same)
        )

    if source is None or claim.tenant not in source.tenants:
        raise SourceUnsupportedError("The source is no longer in the partners file.")
    if isinstance(source, DicomwebSource):
        received = await fetch_dicomweb(
            source,
            order.study_instance_uid,
            objects=kit.objects,
            index=index,
            limits=kit.limits,
        )
        return _study_of(received)
    assert isinstance(source, S3Source)
    received = await fetch_s3(
        source,
        str(said.get("prefix", "")),
        order.study_instance_uid,
        objects=kit.objects,
        index=index,
        limits=kit.limits,
    )
    return _study_of(received)


async def _fetch_from_archive(kit: FetchKit, claim: Claim, name: str) -> str:
    from gateway.fetcher.dimse import fetch_dimse  # loads pynetdicom, which most have no use for

    archive = kit.archives.get(name)
    if archive is None or claim.tenant not in archive.profile.tenants:
        raise SourceUnsupportedError("The archive is no longer in the partners file.")
    return await fetch_dimse(
        archive,
        claim.tenant,
        claim.order.study_instance_uid,
        database=kit.database,
        objects=kit.objects,
        limits=kit.limits,
    )


def _study_of(received: list[Received]) -> str:
    """Give the study that came; what was refused is told, and a study of nothing is none."""
    kept = [item.instance for item in received if item.instance and item.error is None]
    refused = [item.error.code for item in received if item.error is not None]
    if refused:
        log.warning(
            "onescan.fetch.refused",
            kept=len(kept),
            refused=len(refused),
            codes=sorted(set(refused)),
        )
    if not kept:
        codes = ", ".join(sorted(set(refused)))
        raise SourceError(f"None of {len(refused)} objects could be taken: {codes}.")
    return kept[0].study_instance_uid


async def _beat(kit: FetchKit, claim: Claim, work: asyncio.Task[str]) -> None:
    misses = 0
    while misses < MISSES_UNTIL_LOST:
        await asyncio.sleep(kit.worker.heartbeat_seconds)
        alive = await persist(kit.database, lambda c: screenings.beat(c, claim))
        misses = 0 if alive else misses + 1
    work.cancel()


async def _give_up(kit: FetchKit, claim: Claim, error: Exception) -> str:
    known = isinstance(error, OneScanError)
    log.warning(
        "onescan.fetch.failed",
        screening=str(claim.screening_id),
        attempt=claim.attempt,
        code=error.code if isinstance(error, OneScanError) else type(error).__name__,
        exc_info=None if known else error,
    )
    try:
        again = await persist(
            kit.database,
            lambda c: screenings.give_up_attempt(
                c,
                claim.row,
                max_attempts=0 if isinstance(error, HOPELESS) else kit.worker.max_attempts,
                code=error.code if isinstance(error, OneScanError) else "internal",
                message=str(error) if known else type(error).__name__,
                reason="not_fetched",
            ),
        )
    except StaleAttemptError:
        return "stale"
    except OneScanError:
        return "abandoned"  # the database is away; the reaper will see the silence
    return "retried" if again else "failed"


async def _put_back(kit: FetchKit, claim: Claim, error: SourceOutsideHoursError) -> str:
    """Let a screening wait until its archive may be asked."""
    try:
        await persist(
            kit.database,
            lambda c: screenings.put_back(
                c,
                claim,
                after_seconds=max(SHORTEST_WAIT_SECONDS, error.retry_after_seconds),
                code=error.code,
                message=str(error),
            ),
        )
    except StaleAttemptError:
        return "stale"
    except OneScanError:
        return "abandoned"  # the database is away; the reaper will see the silence
    return "waits"


async def _hand_back(kit: FetchKit, claim: Claim) -> None:
    try:
        await persist(kit.database, lambda c: screenings.hand_back(c, claim))
    except OneScanError as error:
        log.warning("onescan.fetch.not_handed_back", code=error.code)
