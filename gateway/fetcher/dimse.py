"""Fetch a study from an archive by DIMSE: C-GET, or C-MOVE to our own listener."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydicom.filereader import read_dataset
from pydicom.tag import Tag
from pydicom.uid import UID

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
    WrongStudyError,
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

STUDY = Tag(0x0020, 0x000D)
"""Study Instance UID."""

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
            keeper = Keeper(store, study_instance_uid, limits.max_study_bytes)
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


class Keeper:
    """Stores what comes of one study, and remembers what was not an instance's own fault."""

    def __init__(self, store: Store, study_instance_uid: str, max_bytes: int) -> None:
        self.failure: OneScanError | None = None
        self._store = store
        self._study = study_instance_uid
        self._left = max_bytes

    async def keep(self, label: Label, data: bytes) -> object:
        """Store one instance; after a failure refuse the rest, which the next attempt gets.

        Raises
        ------
        InstanceError
            When it is refused for what it is, such as one of another study.
        OneScanError
            The failure.
        """
        if self.failure is not None:
            raise self.failure
        self._left -= len(data)
        try:
            if self._left < 0:
                raise SourceTooLargeError("The archive sends more than a study may have.")
            if study_of(label, data) not in (self._study, ""):
                raise WrongStudyError
            return await self._store(label, data)
        except InstanceError:
            raise
        except OneScanError as error:
            self.failure = error
            raise


def study_of(label: Label, data: bytes) -> str:
    """Read the Study Instance UID of a data set; empty where only the store can tell."""
    syntax = UID(label.transfer_syntax_uid)
    if syntax.is_deflated:
        return ""
    try:
        found = read_dataset(
            io.BytesIO(data),
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, vr, length: tag > STUDY,
            specific_tags=[STUDY],
        )
        return str(found.StudyInstanceUID)
    except Exception:  # of whatever kind: the store reads it with care and says what is wrong
        return ""


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
