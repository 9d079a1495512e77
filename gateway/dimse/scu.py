"""What we ask of an archive: C-ECHO, C-FIND, C-GET, C-MOVE (study root)."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_STORE

from gateway.dimse import status
from gateway.dimse.archive import ArchiveProfile
from gateway.dimse.pace import Pace
from gateway.dimse.requestor import Requestor
from gateway.dimse.retrieved_classes import retrieval_contexts
from gateway.dimse.sender import Label
from gateway.dimse.syntaxes import (
    EXPLICIT,
    IMPLICIT,
    PLAIN_SYNTAXES,
    VERIFICATION,
)
from gateway.exceptions import (
    OneScanError,
    PacsError,
    PacsIncompleteError,
    PacsNotFoundError,
    UsageError,
)
from gateway.intake.header import is_uid

FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
"""Study Root Query/Retrieve Information Model."""

LEVELS = {
    "STUDY": ("StudyInstanceUID",),
    "SERIES": ("StudyInstanceUID", "SeriesInstanceUID"),
    "IMAGE": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}
"""Query/Retrieve Level → its unique keys; all but the last must be given."""

PENDING = (0xFF00, 0xFF01)
STORED = (status.SUCCESS, 0xB000, 0xB006, 0xB007, 0x0111)
"""Of a C-STORE: kept, with or without a warning (PS3.4, B.2.3), or kept before: what we send has
the same bytes under a UID each time, and the first answer may have been lost."""

NO_CONTEXT = 0xA801
"""A C-MOVE's destination is unknown."""

MAX_MATCHES = 10_000
"""Of one query; one that gives more is asked wrongly."""

Store = Callable[[Label, bytes], Awaitable[object]]
"""Makes one instance durable and indexed, or raises the error that it is refused with."""


@dataclass(slots=True)
class Retrieved:
    """What became of a retrieval."""

    completed: int = 0
    failed: int = 0
    warning: int = 0
    refused: list[str] = field(default_factory=list)
    """Codes of the errors with which instances were refused here."""


class ArchiveClient:
    """Asks one archive, never more and never at other hours than it allows.

    Make one of each archive for the life of a process: it keeps the pace.

    Parameters
    ----------
    profile : ArchiveProfile
        Whom to ask, and how.
    pace : Pace, optional
        Its limits, for tests.
    """

    def __init__(self, profile: ArchiveProfile, *, pace: Pace | None = None) -> None:
        self.profile = profile
        self._pace = pace or Pace(profile)

    async def echo(self) -> None:
        """Verify that the archive answers (C-ECHO).

        Raises
        ------
        PacsError
            And its leaves: closed, unreachable, or what it said.
        """

        def work(requestor: Requestor) -> None:
            with requestor.association([(VERIFICATION, (EXPLICIT, IMPLICIT))]) as association:
                self._check(association.send_c_echo(), "C-ECHO")

        async with self._pace.request():
            await Requestor(self.profile).run(work)

    async def find(self, level: str, keys: Mapping[str, Any]) -> list[Dataset]:
        """Query (C-FIND).

        Parameters
        ----------
        level : str
            ``STUDY``, ``SERIES`` or ``IMAGE``.
        keys : mapping
            DICOM keyword → value to match; an empty one is only asked for.

        Raises
        ------
        UsageError
            When a unique key above the level is missing.
        PacsError
            And its leaves.
        """
        if level not in LEVELS:
            raise UsageError(f"A query's level is one of {', '.join(LEVELS)}, not {level!r}.")
        for unique in LEVELS[level][:-1]:
            if not is_uid(str(keys.get(unique, ""))):
                raise UsageError(f"A query of level {level} needs one {unique}.")
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in ({LEVELS[level][-1]: ""} | dict(keys)).items():
            setattr(query, keyword, value)

        def work(requestor: Requestor) -> list[Dataset]:
            found: list[Dataset] = []
            with requestor.association([(FIND, PLAIN_SYNTAXES)]) as association:
                for answer, match in association.send_c_find(query, FIND):
                    if answer and answer.Status in PENDING:
                        if match is not None:
                            found.append(match)
                        if len(found) > MAX_MATCHES:
                            association.abort()
                            raise PacsError(f"The query has more than {MAX_MATCHES} matches.")
                        continue
                    self._check(answer, "C-FIND")
            return found

        async with self._pace.request():
            return await Requestor(self.profile).run(work)

    async def retrieve(
        self, keys: Mapping[str, str], store: Store, *, strict: bool = True
    ) -> Retrieved:
        """Fetch a study, series or instance, by C-GET or, where the profile says so, C-MOVE.

        When it returns everything is durable and indexed: with C-GET by `store`, with C-MOVE
        because our own listener acknowledges no earlier.

        Parameters
        ----------
        keys : mapping
            Unique keys from ``StudyInstanceUID`` down to the level that is meant.
        store : callable
            Awaited for each instance of a C-GET, one after the other; `Depot.storing` makes one.
        strict : bool
            Whether an instance that `store` refused makes the retrieval incomplete; otherwise it
            is told in what is given back, unless nothing else came.

        Raises
        ------
        PacsNotFoundError
            When the archive has nothing of it.
        PacsIncompleteError
            When some instances failed; those that came are kept.
        PacsError
            And its other leaves.
        """
        level = next((name for name, unique in LEVELS.items() if set(unique) == set(keys)), None)
        if level is None or not all(map(is_uid, keys.values())):
            raise UsageError("A retrieval needs the unique keys of one level.")
        query = Dataset()
        query.QueryRetrieveLevel = level
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        loop = asyncio.get_running_loop()

        def work(requestor: Requestor) -> Retrieved:
            if self.profile.method == "move":
                return self._move(requestor, query)
            return self._get(requestor, query, store, loop)

        try:
            async with self._pace.request():
                done = await Requestor(self.profile).run(work)
        except PacsError as error:
            await self._tell_missing(level, keys, error)
            raise
        name = self.profile.name
        nothing = not done.completed + done.warning
        if done.failed > len(done.refused) or (done.refused and (strict or nothing)):
            why = f" ({', '.join(sorted(set(done.refused)))})" if done.refused else ""
            raise PacsIncompleteError(
                f"{done.failed or len(done.refused)} instances did not come from {name}{why};"
                f" {done.completed} did."
            )
        if nothing:
            raise PacsNotFoundError(f"{name} has nothing of it.")
        return done

    async def store(self, files: Sequence[bytes]) -> None:
        """Send Part 10 files (C-STORE), one after the other on one association.

        Parameters
        ----------
        files : sequence of bytes
            In Explicit VR Little Endian; other syntaxes are not transcoded.

        Raises
        ------
        PacsError
            And its leaves; those sent before may have been kept, and may be sent again.
        """
        instances = [pydicom.dcmread(io.BytesIO(data)) for data in files]
        classes = sorted({str(instance.SOPClassUID) for instance in instances})

        def work(requestor: Requestor) -> None:
            contexts = [(uid, (EXPLICIT,)) for uid in classes]
            with requestor.association(contexts) as association:
                for instance in instances:
                    try:
                        answer = association.send_c_store(instance)
                    except ValueError as error:  # no context was accepted for it
                        raise PacsError(
                            f"{self.profile.name} takes no {instance.SOPClassUID.name}."
                        ) from error
                    if not answer or answer.Status not in STORED:
                        self._check(answer, "C-STORE")

        async with self._pace.request():
            await Requestor(self.profile).run(work)

    async def _tell_missing(self, level: str, keys: Mapping[str, str], error: PacsError) -> None:
        """Say "not found" where an archive says "failed" of what it does not have."""
        if type(error) is not PacsError:
            return
        try:
            found = await self.find(level, keys)
        except PacsError:
            return
        if not found:
            raise PacsNotFoundError(f"{self.profile.name} has nothing of it.") from error

    def _move(self, requestor: Requestor, query: Dataset) -> Retrieved:
        to = self.profile.move_to or self.profile.calling
        with requestor.association([(MOVE, PLAIN_SYNTAXES)]) as association:
            return self._follow(association.send_c_move(query, to, MOVE), "C-MOVE", Retrieved())

    def _get(
        self,
        requestor: Requestor,
        query: Dataset,
        store: Store,
        loop: asyncio.AbstractEventLoop,
    ) -> Retrieved:
        done = Retrieved()

        def keep(event: evt.Event) -> Dataset | int:
            request = event.request
            assert isinstance(request, C_STORE)
            label = Label(
                sop_class_uid=str(request.AffectedSOPClassUID),
                sop_instance_uid=str(request.AffectedSOPInstanceUID),
                transfer_syntax_uid=str(event.context.transfer_syntax),
            )
            data = request.DataSet.getvalue() if request.DataSet is not None else b""
            waiting = asyncio.run_coroutine_threadsafe(_await(store(label, data)), loop)
            try:
                waiting.result()
            except OneScanError as error:
                done.refused.append(error.code)
                return status.status_of(error)
            return status.SUCCESS

        storage = retrieval_contexts()
        with requestor.association(
            [(GET, PLAIN_SYNTAXES), *storage],
            roles=sorted({uid for uid, _ in storage}),
            handlers=[(evt.EVT_C_STORE, keep)],
        ) as association:
            return self._follow(association.send_c_get(query, GET), "C-GET", done)

    def _follow(self, answers: Any, what: str, done: Retrieved) -> Retrieved:
        """Count the sub-operations to the final response."""
        for answer, _ in answers:
            if answer:
                done.completed = answer.get("NumberOfCompletedSuboperations") or done.completed
                done.failed = answer.get("NumberOfFailedSuboperations") or done.failed
                done.warning = answer.get("NumberOfWarningSuboperations") or done.warning
                if answer.Status in PENDING:
                    continue
                if answer.Status == 0xB000 and done.failed:
                    continue  # told with the numbers
            self._check(answer, what)
        return done

    def _check(self, answer: Dataset, what: str) -> None:
        name = self.profile.name
        if not answer:
            raise PacsError(f"{name} broke off the {what} or did not answer in time.")
        if answer.Status != status.SUCCESS:
            comment = str(answer.get("ErrorComment") or "").strip()
            hint = "; it does not know the destination" if answer.Status == NO_CONTEXT else ""
            raise PacsError(
                f"{name} answers the {what} with status {answer.Status:04X}{hint}."
                + (f" It says: {comment}" if comment else "")
            )


async def retrieve_study(
    archive: ArchiveClient, study_instance_uid: str, store: Store, *, strict: bool = True
) -> Retrieved:
    """Fetch a whole study from an archive; see `ArchiveClient.retrieve`."""
    return await archive.retrieve({"StudyInstanceUID": study_instance_uid}, store, strict=strict)


async def _await(awaitable: Awaitable[object]) -> object:
    return await awaitable
