"""What every attempt of a fetcher shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.intake.partners import Partners
from gateway.settings import WorkerSettings
from gateway.store.database import Database
from gateway.store.default_order import DefaultChecks
from gateway.store.objects import ObjectStore

if TYPE_CHECKING:
    from gateway.dimse.scu import ArchiveClient


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """How much is fetched, and how patiently."""

    max_instance_bytes: int = 2 * 1024**3
    max_study_bytes: int = 16 * 1024**3
    """A study of 1,200 slices of 1024² is 2.5 GB; only an endless body is longer than this."""

    silence_seconds: float = 60.0
    """A source that sends nothing for so long is away."""

    tries: int = 5
    """Requests of one attempt to a source that is away or busy."""

    first_delay_seconds: float = 1.0
    """Pause after the first of them; it doubles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchKit:
    """What every attempt of a fetcher shares."""

    name: str
    database: Database
    objects: ObjectStore
    partners: Partners
    default_checks: DefaultChecks
    worker: WorkerSettings
    limits: FetchLimits = FetchLimits()
    archives: Mapping[str, ArchiveClient] = field(default_factory=dict)
    """One client each for the life of the fetcher: it keeps the archive's pace."""


def archive_clients(partners: Partners) -> dict[str, ArchiveClient]:
    """Make a client of each archive; pynetdicom is loaded only where there is one.

    Raises
    ------
    PartnersError
        When the table of an archive breaks its form.
    """
    if not partners.archives:
        return {}
    from gateway.dimse.archive import read_archive
    from gateway.dimse.scu import ArchiveClient

    return {name: ArchiveClient(read_archive(item)) for name, item in partners.archives.items()}
