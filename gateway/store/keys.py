"""API keys of partners: only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from gateway.exceptions import ConflictError, NotFoundError, UsageError
from gateway.principal import QUOTAS, ROLES, Principal, Quotas
from gateway.store import audit
from gateway.store.database import Connection

PREFIX = "osk_"
"""Begins every key that we make, so that scanners for leaked secrets know it."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""Of a key or a tenant; the colon is kept for those who are no key."""

USED_AFTER = timedelta(minutes=5)
"""``last_used_at`` is as exact as that: one write a key in five minutes, not one a request."""

_LIVE = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; the only moment at which its secret is known."""

    key_id: UUID
    secret: str


def digest(key: str) -> bytes:
    """Give the digest under which a key is kept.

    Keys are long random strings, not passwords, so a fast hash is enough.
    """
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def check_name(kind: str, name: str) -> None:
    """Refuse a name of a key or a tenant that is not one; raises UsageError."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"{name[:64]!r} is no name of a {kind}: letters, digits, '.', '_' and '-', at most 63."
        )


async def ensure_tenant(connection: Connection, tenant: str) -> None:
    """Make a tenant unless it exists."""
    await connection.execute(
        "INSERT INTO tenants (tenant) VALUES (%s) ON CONFLICT DO NOTHING", (tenant,)
    )


async def ensure_default_key(connection: Connection, tenant: str, key: str) -> None:
    """Make the tenant and its ``default`` key; revoke an earlier default key of another value."""
    await ensure_tenant(connection, tenant)
    revoked = await connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE tenant = %s AND name = 'default'"
        " AND revoked_at IS NULL AND key_hash <> %s RETURNING key_id",
        (tenant, digest(key)),
    )
    for row in await revoked.fetchall():
        await audit.record(connection, tenant, "api", "key.revoked", str(row["key_id"]))
    made = await connection.execute(
        "INSERT INTO api_keys (tenant, name, key_hash, scopes) VALUES (%s, 'default', %s, %s)"
        " ON CONFLICT (key_hash) DO UPDATE SET revoked_at = NULL"
        " WHERE api_keys.tenant = %s AND api_keys.revoked_at IS NOT NULL RETURNING key_id",
        (tenant, digest(key), list(ROLES), tenant),
    )
    if (new := await made.fetchone()) is not None:
        detail = {"name": "default", "roles": list(ROLES)}
        await audit.record(connection, tenant, "api", "key.created", str(new["key_id"]), detail)


async def create_key(
    connection: Connection,
    tenant: str,
    name: str,
    roles: Sequence[str],
    *,
    actor: str,
    expires_days: float | None = None,
) -> NewKey:
    """Make a key.

    Raises
    ------
    UsageError
        For a name or a role that is not one.
    NotFoundError
        When there is no such tenant.
    ConflictError
        When the tenant has a living key of that name.
    """
    check_name("key", name)
    if unknown := sorted(set(roles) - set(ROLES)):
        raise UsageError(f"No role {unknown[0][:40]!r} is known; known are {', '.join(ROLES)}.")
    if not roles:
        raise UsageError(f"A key needs a role: {', '.join(ROLES)}.")
    await _hold_tenant(connection, tenant)
    living = await connection.execute(
        f"SELECT 1 FROM api_keys WHERE tenant = %s AND name = %s AND {_LIVE}", (tenant, name)
    )
    if await living.fetchone() is not None:
        raise ConflictError(f"{tenant} has a key {name!r}; rotate or revoke it.")
    ordered = [role for role in ROLES if role in roles]
    made = await _insert(connection, tenant, name, ordered, expires_days)
    detail = {"name": name, "roles": ordered, "expires_days": expires_days}
    await audit.record(connection, tenant, actor, "key.created", str(made.key_id), detail)
    return made


async def rotate_key(
    connection: Connection, tenant: str, name: str, *, actor: str, grace_hours: float = 24.0
) -> NewKey:
    """Give a key a new secret; the old one stays valid for a grace period.

    Whatever was left of the old key's life, the new one keeps its expiry, so that rotating
    never makes a key live longer than it was meant to.

    Raises
    ------
    NotFoundError
        When the tenant has no living key of that name.
    """
    await _hold_tenant(connection, tenant)
    cursor = await connection.execute(
        f"SELECT key_id, scopes, expires_at FROM api_keys WHERE tenant = %s AND name = %s"
        f" AND replaced_by IS NULL AND {_LIVE}",
        (tenant, name),
    )
    old = await cursor.fetchone()
    if old is None:
        raise NotFoundError(f"{tenant} has no living key {name!r}.")
    made = await _insert(connection, tenant, name, old["scopes"], None)
    await connection.execute(
        "UPDATE api_keys SET expires_at = %s WHERE key_id = %s", (old["expires_at"], made.key_id)
    )
    await connection.execute(  # of several older ones none outlives the grace
        "UPDATE api_keys SET replaced_by = coalesce(replaced_by, %(new)s),"
        " expires_at = least(expires_at, now() + make_interval(secs => %(grace)s))"
        f" WHERE tenant = %(tenant)s AND name = %(name)s AND key_id <> %(new)s AND {_LIVE}",
        {"new": made.key_id, "grace": grace_hours * 3600, "tenant": tenant, "name": name},
    )
    detail = {"name": name, "replaces": str(old["key_id"]), "grace_hours": grace_hours}
    await audit.record(connection, tenant, actor, "key.rotated", str(made.key_id), detail)
    return made


async def revoke_key(connection: Connection, tenant: str, name: str, *, actor: str) -> int:
    """Revoke every living key of that name, one in its grace period too; gives how many.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    cursor = await connection.execute(
        "UPDATE api_keys SET revoked_at = now() WHERE tenant = %s AND name = %s"
        f" AND {_LIVE} RETURNING key_id",
        (tenant, name),
    )
    rows = await cursor.fetchall()
    if not rows:
        raise NotFoundError(f"{tenant} has no living key {name!r}.")
    for row in rows:
        key_id = str(row["key_id"])
        await audit.record(connection, tenant, actor, "key.revoked", key_id, {"name": name})
    return len(rows)


async def list_keys(connection: Connection, tenant: str | None = None) -> list[dict[str, Any]]:
    """List keys of one tenant or of all, without anything of their secrets."""
    cursor = await connection.execute(
        "SELECT tenant, name, key_id, scopes AS roles, created_at, expires_at, last_used_at,"
        " CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired'"
        " WHEN replaced_by IS NOT NULL THEN 'in grace' ELSE 'valid' END AS state"
        " FROM api_keys WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s"
        " ORDER BY tenant, name, created_at",
        {"tenant": tenant},
    )
    return await cursor.fetchall()


async def lookup(connection: Connection, key: str) -> Principal | None:
    """Find who a key belongs to; None for an unknown, expired or revoked one."""
    cursor = await connection.execute(
        f"SELECT key_id, k.tenant, name, scopes, {', '.join(QUOTAS)},"
        " coalesce(last_used_at < now() - %s, true) AS unused_lately"
        f" FROM api_keys k JOIN tenants USING (tenant) WHERE key_hash = %s AND {_LIVE}",
        (USED_AFTER, digest(key)),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    if row["unused_lately"]:
        await connection.execute(
            "UPDATE api_keys SET last_used_at = now() WHERE key_id = ("
            " SELECT key_id FROM api_keys WHERE key_id = %s FOR UPDATE SKIP LOCKED)",
            (row["key_id"],),
        )
    return Principal(
        tenant=row["tenant"],
        key_id=row["key_id"],
        name=row["name"],
        roles=frozenset(row["scopes"]),
        quotas=Quotas(**{name: row[name] for name in QUOTAS}),
    )


async def _insert(
    connection: Connection,
    tenant: str,
    name: str,
    roles: Sequence[str],
    expires_days: float | None,
) -> NewKey:
    secret = PREFIX + secrets.token_urlsafe(32)
    cursor = await connection.execute(
        "INSERT INTO api_keys (tenant, name, key_hash, scopes, expires_at)"
        " VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING key_id",
        (
            tenant,
            name,
            digest(secret),
            list(roles),
            None if expires_days is None else expires_days * 86400,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    return NewKey(row["key_id"], secret)


async def _hold_tenant(connection: Connection, tenant: str) -> None:
    """Keep others from making a key of the same name meanwhile."""
    cursor = await connection.execute(
        "SELECT 1 FROM tenants WHERE tenant = %s FOR NO KEY UPDATE", (tenant,)
    )
    if await cursor.fetchone() is None:
        raise NotFoundError(f"There is no tenant {tenant[:64]!r}.")
