"""Results of storage commitment on associations of our own, to AEs that can be called."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import timedelta

import psycopg
from pydicom.dataset import Dataset

from gateway.dimse.archive import ArchiveProfile, read_archive
from gateway.dimse.commitment import result_of
from gateway.dimse.syntaxes import COMMITMENT, COMMITMENT_INSTANCE, PLAIN_SYNTAXES
from gateway.ending import end
from gateway.exceptions import OneScanError, PacsError
from gateway.intake.remotes import Archive
from gateway.log import get_logger
from gateway.settings import DimseSettings
from gateway.store.commitments import Commitment, delete_old, mark_told, take_due
from gateway.store.database import Database

LOOK_SECONDS = 2.0
"""Between two looks for results that are due."""

log = get_logger("onescan.dimse")


class Reporter:
    """Tells results to AEs that are also archives of the partners file, again until they take it.

    Raises
    ------
    PartnersError
        When the table of an archive makes no sense.
    """

    def __init__(
        self, settings: DimseSettings, database: Database, archives: Mapping[str, Archive]
    ) -> None:
        self._keep = timedelta(days=settings.commitment_days)
        self._database = database
        profiles = [read_archive(archive) for archive in archives.values()]
        self._profiles = {profile.ae_title: profile for profile in profiles}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for results that are due."""
        self._task = asyncio.create_task(self._run(), name="commitments")

    async def stop(self) -> None:
        """End; what is being told is told again later, should the answer be lost."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(psycopg.Error):  # away; next time
                async with self._database.connection() as connection:
                    await delete_old(connection, self._keep)
                    due = await take_due(connection, sorted(self._profiles), keep=self._keep)
                for commitment in due:
                    await self._tell(commitment)
            await asyncio.sleep(LOOK_SECONDS)

    async def _tell(self, commitment: Commitment) -> None:
        profile = self._profiles[commitment.calling]
        if commitment.tenant not in profile.tenants:
            return
        async with self._database.connection() as connection:
            event_type, result = await result_of(connection, commitment)
        try:
            await report(profile, event_type, result)
        except OneScanError as error:
            log.info("onescan.dimse.untold", attempts=commitment.attempts, error=str(error))
            return
        async with self._database.connection() as connection:
            await mark_told(connection, commitment.commitment_id)


async def report(profile: ArchiveProfile, event_type: int, result: Dataset) -> None:
    """Send an N-EVENT-REPORT on an association of our own.

    Raises
    ------
    PacsError
        When the peer cannot be reached or does not take it.
    """
    from gateway.dimse.requestor import Requestor

    def work(requestor: Requestor) -> None:
        contexts = [(COMMITMENT, PLAIN_SYNTAXES)]
        with requestor.association(contexts, roles=[COMMITMENT]) as association:
            answer, _ = association.send_n_event_report(
                result, event_type, COMMITMENT, COMMITMENT_INSTANCE
            )
            if not answer or answer.Status:
                raise PacsError(f"{profile.name} does not take the result.")

    await Requestor(profile).run(work)
