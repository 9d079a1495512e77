"""Tenants: partners whose data never meet, and what each may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gateway.exceptions import ConflictError, NotFoundError, UsageError
from gateway.principal import QUOTAS, Quotas
from gateway.store import audit
from gateway.store.database import Connection
from gateway.store.keys import check_name

LARGEST = 2**62
"""A quota fits a bigint with room to add to."""


async def create_tenant(connection: Connection, tenant: str, quotas: Quotas, *, actor: str) -> None:
    """Make a tenant.

    Raises
    ------
    UsageError
        For a name or a quota that is not one.
    ConflictError
        When there is one of that name.
    """
    check_name("tenant", tenant)
    values = {name: limit for name, limit in asdict(quotas).items() if limit is not None}
    _check(values)
    cursor = await connection.execute(
        f"INSERT INTO tenants (tenant, {', '.join(QUOTAS)}) VALUES (%s, %s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING RETURNING tenant",
        (tenant, *(values.get(name) for name in QUOTAS)),
    )
    if await cursor.fetchone() is None:
        raise ConflictError(f"There is a tenant {tenant!r}.")
    await audit.record(connection, tenant, actor, "tenant.created", tenant, values)


async def change_quotas(
    connection: Connection, tenant: str, changes: Mapping[str, int | None], *, actor: str
) -> None:
    """Change some quotas of a tenant; None lifts one, and what is not named stays.

    Raises
    ------
    UsageError
        For a quota that is not one.
    NotFoundError
        When there is no such tenant.
    """
    _check({name: limit for name, limit in changes.items() if limit is not None})
    if unknown := sorted(set(changes) - set(QUOTAS)):
        raise UsageError(f"No quota {unknown[0]!r} is known; known are {', '.join(QUOTAS)}.")
    columns = ", ".join(f"{name} = %({name})s" for name in changes) or "tenant = tenant"
    cursor = await connection.execute(
        f"UPDATE tenants SET {columns} WHERE tenant = %(tenant)s RETURNING tenant",
        {**changes, "tenant": tenant},
    )
    if await cursor.fetchone() is None:
        raise NotFoundError(f"There is no tenant {tenant[:64]!r}.")
    await audit.record(connection, tenant, actor, "tenant.changed", tenant, changes)


async def list_tenants(connection: Connection) -> list[dict[str, Any]]:
    """List tenants with their quotas and the number of their valid keys."""
    cursor = await connection.execute(
        f"SELECT tenant, created_at, {', '.join(QUOTAS)}, (SELECT count(*) FROM api_keys k"
        " WHERE k.tenant = tenants.tenant AND revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > now())) AS keys FROM tenants ORDER BY tenant"
    )
    return await cursor.fetchall()


async def find_quotas(connection: Connection, tenant: str) -> Quotas:
    """Give a tenant's quotas; raises NotFoundError."""
    cursor = await connection.execute(
        f"SELECT {', '.join(QUOTAS)} FROM tenants WHERE tenant = %s", (tenant,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError(f"There is no tenant {tenant[:64]!r}.")
    return Quotas(**row)


def _check(values: Mapping[str, int]) -> None:
    for name, limit in values.items():
        if not 0 < limit <= LARGEST:
            raise UsageError(f"{name} must be at least 1; leave it out for no limit.")
