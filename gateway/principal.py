"""Who sends a request, for which tenant, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

ROLES = ("send", "read", "review", "operate", "admin")
"""None contains another: a key that sends and reads has both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What a tenant may use; None means no limit."""

    requests_per_minute: int | None = None
    """Requests of all its keys, sessions and tokens together."""

    studies_per_day: int | None = None
    """Studies that begin to arrive in one UTC day."""

    bytes_per_day: int | None = None
    """Bodies of store transactions in one UTC day."""

    screenings_in_flight: int | None = None
    """Screenings accepted or running."""


QUOTAS = tuple(Quotas.__dataclass_fields__)
"""Their names, which are the columns of ``tenants``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Whom authentication found."""

    tenant: str
    name: str
    """Of the key; ``oidc:<subject>`` or ``link`` for people. No key's name has a colon."""

    roles: frozenset[str] = frozenset()
    key_id: UUID | None = None
    """None when it is no key."""

    quotas: Quotas = Quotas()

    @property
    def actor(self) -> str:
        """Name who did it, for the audit log and as the reader of a review."""
        return self.name if ":" in self.name or self.key_id is None else f"key:{self.name}"
