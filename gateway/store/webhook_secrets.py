"""What signs a tenant's webhooks: rows of secrets, never the secrets.

A secret is derived from the deployment's webhook key, the tenant and the row's identifier
(`gateway.webhooks.signature`); the row keeps its digest, so that a changed key is noticed
instead of signing what no receiver can verify.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gateway.store.database import Connection

Row = dict[str, Any]
"""A row of ``webhook_secrets`` or ``webhooks``."""


async def add_secret(
    connection: Connection,
    tenant: str,
    *,
    secret_id: UUID,
    digest: bytes,
    overlap_seconds: float,
) -> Row:
    """Keep a new secret; those before it sign beside it for as long as they overlap."""
    await connection.execute(
        """
        UPDATE webhook_secrets SET expires_at = now() + make_interval(secs => %(overlap)s)
        WHERE tenant = %(tenant)s
            AND (expires_at IS NULL OR expires_at > now() + make_interval(secs => %(overlap)s))
        """,
        {"tenant": tenant, "overlap": overlap_seconds},
    )
    cursor = await connection.execute(
        "INSERT INTO webhook_secrets (secret_id, tenant, secret_digest) VALUES (%s, %s, %s)"
        " RETURNING *",
        (secret_id, tenant, digest),
    )
    row = await cursor.fetchone()
    assert row is not None
    return row


async def valid_secrets(connection: Connection, tenant: str) -> list[Row]:
    """List the secrets that sign now, newest first."""
    cursor = await connection.execute(
        "SELECT * FROM webhook_secrets WHERE tenant = %s"
        " AND (expires_at IS NULL OR expires_at > now()) ORDER BY created_at DESC, secret_id",
        (tenant,),
    )
    return await cursor.fetchall()


async def find_webhook(connection: Connection, tenant: str) -> Row:
    """Give where a tenant is called when an order names no address, and with which body."""
    cursor = await connection.execute(
        "SELECT callback_url, body, signed FROM webhooks WHERE tenant = %s", (tenant,)
    )
    unset = {"callback_url": None, "body": "reference", "signed": False}
    return await cursor.fetchone() or unset


async def set_webhook(
    connection: Connection, tenant: str, *, callback_url: str | None, body: str, signed: bool
) -> None:
    """Set it, for screenings that end, and with ``signed`` final reports, from now on."""
    await connection.execute(
        """
        INSERT INTO webhooks (tenant, callback_url, body, signed) VALUES (%s, %s, %s, %s)
        ON CONFLICT (tenant) DO UPDATE SET callback_url = excluded.callback_url,
            body = excluded.body, signed = excluded.signed, updated_at = now()
        """,
        (tenant, callback_url, body, signed),
    )
