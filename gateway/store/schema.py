"""Whether a database has the schema of this release."""

from __future__ import annotations

from functools import cache

import psycopg
from alembic.script import ScriptDirectory

from gateway.store.database import Connection
from gateway.store.migrate import MIGRATIONS


@cache
def head() -> str:
    """Give the newest revision that came with this release."""
    revision = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert revision is not None
    return revision


async def is_current(connection: Connection) -> bool:
    """Compare the database's revision with `head`; a newer database is current too."""
    try:
        cursor = await connection.execute("SELECT version_num FROM alembic_version")
    except psycopg.errors.UndefinedTable:
        return False
    row = await cursor.fetchone()
    return row is not None and row["version_num"] >= head()
