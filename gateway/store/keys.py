"""API keys of partners: only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from gateway.store.database import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who sends a request, and for which tenant."""

    tenant: str
    key_id: UUID
    name: str
    scopes: tuple[str, ...] = ()
    """Empty means every scope."""


def digest(key: str) -> bytes:
    """Give the digest under which a key is kept.

    Keys are long random strings, not passwords, so a fast hash is enough.
    """
    return hashlib.sha256(key.encode()).digest()


async def ensure_tenant(connection: Connection, tenant: str) -> None:
    """Make a tenant unless it exists."""
    await connection.execute(
        "INSERT INTO tenants (tenant) VALUES (%s) ON CONFLICT DO NOTHING", (tenant,)
    )


async def ensure_default_key(connection: Connection, tenant: str, key: str) -> None:
    """Make the tenant and its ``default`` key; revoke an earlier default key of another value."""
    await ensure_tenant(connection, tenant)
    await connection.execute(
        "UPDATE api_keys SET revoked_at = now()"
        " WHERE tenant = %s AND name = 'default' AND revoked_at IS NULL AND key_hash <> %s",
        (tenant, digest(key)),
    )
    await connection.execute(
        "INSERT INTO api_keys (tenant, name, key_hash) VALUES (%s, 'default', %s)"
        " ON CONFLICT (key_hash) DO UPDATE SET revoked_at = NULL WHERE api_keys.tenant = %s",
        (tenant, digest(key), tenant),
    )


async def lookup(connection: Connection, key: str) -> Principal | None:
    """Find who a key belongs to; None for an unknown, expired or revoked one."""
    cursor = await connection.execute(
        "SELECT key_id, tenant, name, scopes FROM api_keys WHERE key_hash = %s"
        " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
        (digest(key),),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    return Principal(
        tenant=row["tenant"],
        key_id=row["key_id"],
        name=row["name"],
        scopes=tuple(row["scopes"]),
    )
