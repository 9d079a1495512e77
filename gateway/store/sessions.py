"""Sessions of people, and one-time links that begin one; only SHA-256 of their secrets is kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway.principal import QUOTAS, ROLES, Principal, Quotas
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.keys import digest

LINK_SECONDS = 600.0
"""Time to carry a link from a terminal into a browser."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is valid now."""

    principal: Principal
    expires_at: datetime


async def open_session(
    connection: Connection, tenant: str, name: str, roles: Iterable[str], *, seconds: float
) -> str:
    """Make a session and give its secret; sessions that have ended are removed."""
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    secret = secrets.token_urlsafe(32)
    held = [role for role in ROLES if role in set(roles)]
    await connection.execute(
        "INSERT INTO sessions (session_hash, tenant, name, roles, expires_at)"
        " VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s))",
        (digest(secret), tenant, name, held, seconds),
    )
    await audit.record(connection, tenant, name, "session.opened", name, {"roles": held})
    return secret


async def find_session(connection: Connection, secret: str) -> Session | None:
    """Find a session by its secret; None for an unknown or ended one."""
    cursor = await connection.execute(
        f"SELECT s.tenant, name, roles, s.expires_at, {', '.join(QUOTAS)}"
        " FROM sessions s JOIN tenants USING (tenant)"
        " WHERE session_hash = %s AND s.expires_at > now()",
        (digest(secret),),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    principal = Principal(
        tenant=row["tenant"],
        name=row["name"],
        roles=frozenset(row["roles"]),
        quotas=Quotas(**{name: row[name] for name in QUOTAS}),
    )
    return Session(principal, row["expires_at"])


async def close_session(connection: Connection, secret: str) -> None:
    """End a session."""
    cursor = await connection.execute(
        "DELETE FROM sessions WHERE session_hash = %s RETURNING tenant, name", (digest(secret),)
    )
    if row := await cursor.fetchone():
        await audit.record(connection, row["tenant"], row["name"], "session.closed", row["name"])


async def make_link(
    connection: Connection,
    tenant: str,
    roles: Iterable[str] = ROLES,
    *,
    seconds: float = LINK_SECONDS,
) -> str:
    """Give the secret of a link that begins one session."""
    await connection.execute("DELETE FROM sign_in_links WHERE expires_at < now()")
    secret = secrets.token_urlsafe(32)
    await connection.execute(
        "INSERT INTO sign_in_links (link_hash, tenant, roles, expires_at)"
        " VALUES (%s, %s, %s, now() + make_interval(secs => %s))",
        (digest(secret), tenant, list(roles), seconds),
    )
    return secret


async def use_link(connection: Connection, secret: str) -> tuple[str, list[str]] | None:
    """Use a link up and give its tenant and roles; None for an unknown, used or late one."""
    cursor = await connection.execute(
        "DELETE FROM sign_in_links WHERE link_hash = %s RETURNING tenant, roles,"
        " expires_at > now() AS valid",
        (digest(secret),),
    )
    row = await cursor.fetchone()
    return (row["tenant"], row["roles"]) if row and row["valid"] else None
