"""What the checks cost, in the database for the autoscaler's query."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg
from psycopg import sql

from gateway.exceptions import UsageError
from gateway.store.database import Connection

SCALER_FUNCTIONS = ("onescan_pool_gpu_seconds", "onescan_pool_oldest_seconds")
"""What KEDA's own role may execute; nothing else is its to see."""


async def save_costs(connection: Connection, gpu_seconds: Mapping[str, float]) -> None:
    """Write what each check costs down; one that has gone keeps its cost."""
    for name, cost in sorted(gpu_seconds.items()):
        await connection.execute(
            "INSERT INTO check_costs (name, gpu_seconds) VALUES (%(name)s, %(cost)s)"
            " ON CONFLICT (name) DO UPDATE SET gpu_seconds = excluded.gpu_seconds"
            " WHERE check_costs.gpu_seconds <> excluded.gpu_seconds",
            {"name": name, "cost": cost},
        )


def grant_scaler(url: str, role: str) -> None:
    """Let a role read the demand of pools and nothing else; safe to repeat, blocks.

    Raises
    ------
    UsageError
        When there is no such role: who makes it gives it its password.
    """
    with psycopg.connect(url) as connection:
        there = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
        if there is None:
            raise UsageError(
                f"There is no role {role!r}; make it first: CREATE ROLE {role} LOGIN PASSWORD '…'."
            )
        (schema,) = connection.execute("SELECT current_schema()").fetchone() or ("public",)
        connection.execute(
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                sql.Identifier(schema), sql.Identifier(role)
            )
        )
        for function in SCALER_FUNCTIONS:
            connection.execute(
                sql.SQL("GRANT EXECUTE ON FUNCTION {}(text[], text[]) TO {}").format(
                    sql.Identifier(function), sql.Identifier(role)
                )
            )
