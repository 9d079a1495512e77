"""An archive that we ask: one table ``[archives.NAME]`` of the partners file, read strictly."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.exceptions import PartnersError
from gateway.intake.remotes import Archive

MAX_AE_CHARACTERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When an archive may be asked; over midnight where the end is before the start."""

    start: time
    end: time
    zone: ZoneInfo

    def contain(self, moment: datetime) -> bool:
        """Tell whether an aware moment lies within."""
        local = moment.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def seconds_until(self, moment: datetime) -> float:
        """Give the seconds from an aware moment to the next start; 0 within the hours."""
        if self.contain(moment):
            return 0.0
        local = moment.astimezone(self.zone)
        day = local.date() + timedelta(days=local.time() >= self.start)
        start = datetime.combine(day, self.start, self.zone)
        return (start.astimezone(UTC) - moment.astimezone(UTC)).total_seconds()

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.zone.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveProfile:
    """How an archive is asked."""

    name: str
    tenants: tuple[str, ...]
    host: str
    port: int
    ae_title: str
    """Its own."""

    calling: str = "ONESCAN"
    """Ours, as it knows us."""

    method: str = "get"
    """``get`` needs no listener; ``move`` sends to `move_to` at our own listener."""

    move_to: str = ""
    """AE title that the archive knows our listener by; empty means `calling`."""

    max_associations: int = 2
    requests_per_minute: float = 60.0
    hours: Hours | None = None
    """None means always."""

    tls: bool = False
    ca: str = ""
    """File of CAs that its certificate may be of; empty takes the system's."""

    certificate: str = ""
    """File of ours, with `key`, where it asks for one."""

    key: str = ""
    timeout_seconds: float = 30.0
    """Of connecting, negotiating and waiting for each message."""


def read_archive(archive: Archive) -> ArchiveProfile:
    """Read the table of an archive.

    Raises
    ------
    PartnersError
        Naming table and key.
    """
    where = f"[archives.{archive.name}]"
    values = dict(archive.raw)
    zone = values.pop("timezone", "UTC")
    hours = values.pop("hours", None)
    known = {item.name: item for item in fields(ArchiveProfile)}
    for name, value in values.items():
        if name not in known or name in ("name", "tenants", "hours"):
            raise PartnersError(f"{where}: {name} is unknown.")
        kind = str(known[name].type)
        values[name] = float(value) if kind == "float" and type(value) is int else value
        if type(values[name]).__name__ != kind:
            raise PartnersError(f"{where}: {name} is not of type {kind}.")
    for name in ("host", "port", "ae_title"):
        if not values.get(name):
            raise PartnersError(f"{where}: {name} is missing.")
    made = ArchiveProfile(
        name=archive.name,
        tenants=archive.tenants,
        hours=None if hours is None else _hours(where, hours, zone),
        **values,
    )
    _check(where, made)
    return made


def _check(where: str, made: ArchiveProfile) -> None:
    for name in ("ae_title", "calling", "move_to"):
        title = getattr(made, name)
        if not title.isascii() or "\\" in title or len(title.strip()) > MAX_AE_CHARACTERS:
            raise PartnersError(f"{where}: {name} is no AE title.")
    if not made.calling.strip():
        raise PartnersError(f"{where}: calling is empty.")
    if made.method not in ("get", "move"):
        raise PartnersError(f"{where}: method is neither get nor move.")
    if not 0 < made.port < 65536:
        raise PartnersError(f"{where}: port is none.")
    if made.max_associations < 1 or made.requests_per_minute <= 0 or made.timeout_seconds <= 0:
        raise PartnersError(f"{where}: a limit is not positive.")
    if (made.ca or made.certificate or made.key) and not made.tls:
        raise PartnersError(f"{where}: ca, certificate and key say nothing without tls = true.")


def _hours(where: str, text: Any, zone: Any) -> Hours:
    try:
        start, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
        made = Hours(start=start, end=end, zone=ZoneInfo(zone))
    except Exception as error:  # of whatever kind: ValueError, KeyError, a missing zone file
        raise PartnersError(
            f'{where}: hours is not of the form "22:00-06:00", or timezone is none.'
        ) from error
    if start == end or start.tzinfo or end.tzinfo:
        raise PartnersError(f"{where}: hours never begin or carry an offset; use timezone.")
    return made
