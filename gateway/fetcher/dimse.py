"""Fetch a study from an archive by DIMSE: C-GET, or C-MOVE to our own listener."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from gateway.dimse.depot import Depot
from gateway.dimse.scu import ArchiveClient, retrieve_study
from gateway.dimse.sender import Label, Sender
from gateway.exceptions import (
    InstanceError,
    OneScanError,
    PacsClosedError,
    PacsError,
    PacsIncompleteError,
    PacsNotFoundError,
    SourceError,
    SourceNotFoundError,
    SourceOutsideHoursError,
    SourceTooLargeError,
    SourceUnreachableError,
)
from gateway.fetcher.kit import FetchLimits
from gateway.intake.partners import DEFAULT_PARTNER, Partner
from gateway.log import get_logger
from gateway.store.database import Connection, Database
from gateway.store.objects import ObjectStore
from gateway.store.retry import persist

PATIENCE_SECONDS = 20.0
"""An archive's association waits so long for PostgreSQL to come back."""

THREADS = 2
"""Of one fetch, as for one association of the listener."""

Store = Callable[[Label, bytes], Awaitable[object]]

log = get_logger("onescan.fetcher")


async def fetch_dimse(
    archive: ArchiveClient,
    tenant: str,
    study_instance_uid: str,
    *,
    database: Database,
    objects: ObjectStore,
    limits: FetchLimits,
) -> str:
    """Fetch a study and give its UID; every instance is durable and indexed by itself.

    What came before a failure stays, and the next attempt finds it there. An instance that is
    refused here is left out, as it is by the other ways.

    Raises
    ------
    SourceError
        And its leaves.
    StorageFullError, StoreUnavailableError
        When the fault is ours.
    """
    profile = archive.profile
    sender = Sender(
        partner=Partner(name=DEFAULT_PARTNER, tenant=tenant),  # what is asked for is not quiet
        calling=profile.ae_title,
        called=profile.calling,
        address=profile.host,
    )
    with ThreadPoolExecutor(THREADS, "fetch") as executor:
        depot = Depot(
            database,
            objects,
            executor,
            max_instance_bytes=limits.max_instance_bytes,
            patience_seconds=PATIENCE_SECONDS,
        )
        async with depot.storing(sender) as store:
            keeper = _Keeper(store, limits.max_study_bytes)
            try:
                done = await retrieve_study(archive, study_instance_uid, keeper.keep, strict=False)
            except PacsError as error:
                raise keeper.failure or _as_source_error(error, archive) from error
    if keeper.failure is not None:
        raise keeper.failure
    if done.refused:
        log.warning(
            "onescan.fetch.refused",
            kept=done.completed,
            refused=len(done.refused),
            codes=sorted(set(done.refused)),
        )
    if not await persist(database, lambda c: _is_here(c, tenant, study_instance_uid)):
        raise SourceError(_absent(archive))
    return study_instance_uid


class _Keeper:
    """Stores what comes, and remembers what was not the instance's own fault."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self.failure: OneScanError | None = None
        self._store = store
        self._left = max_bytes

    async def keep(self, label: Label, data: bytes) -> object:
        """Store one instance; after a failure refuse the rest, which the next attempt gets."""
        if self.failure is not None:
            raise self.failure
        self._left -= len(data)
        try:
            if self._left < 0:
                raise SourceTooLargeError
            return await self._store(label, data)
        except InstanceError:
            raise
        except OneScanError as error:
            self.failure = error
            raise


def _as_source_error(error: PacsError, archive: ArchiveClient) -> SourceError:
    text = str(error)
    if isinstance(error, PacsClosedError):
        hours = archive.profile.hours
        wait = 0.0 if hours is None else hours.seconds_until(datetime.now(UTC))
        return SourceOutsideHoursError(text, retry_after_seconds=wait)
    if isinstance(error, PacsNotFoundError):
        return SourceNotFoundError(text)
    if isinstance(error, PacsIncompleteError):
        return SourceError(text)
    return SourceUnreachableError(text)


async def _is_here(connection: Connection, tenant: str, study_instance_uid: str) -> bool:
    cursor = await connection.execute(
        "SELECT 1 FROM studies WHERE tenant = %s AND study_instance_uid = %s",
        (tenant, study_instance_uid),
    )
    return await cursor.fetchone() is not None


def _absent(archive: ArchiveClient) -> str:
    name = archive.profile.name
    if archive.profile.method == "move":
        return (
            f"{name} says that it sent the study, but nothing of it came to this tenant; its AE"
            " title must be a partner of the tenant, and the destination our own listener."
        )
    return f"{name} sent something else than the study."
