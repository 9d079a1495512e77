"""Bring a database to the schema of this release: our tables by alembic, and procrastinate's."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager

MIGRATIONS = Path(__file__).parent / "migrations"
"""Alembic's script location, in the checkout and in the wheel alike."""

LOCK = 0x6F6E_6573_6361_6E
"""Advisory lock held while migrating, so that two processes may start at once ("onescan")."""


def migrate(url: str) -> None:
    """Migrate a database to the newest schema, in one transaction; blocks.

    Does nothing on a database that is up to date, or of a newer release, beside whose pods this
    one's may still run. Safe to call from several processes at once.

    Parameters
    ----------
    url : str
        Connection string of libpq, a Unix-socket folder as ``?host=/folder`` included.

    Raises
    ------
    psycopg.Error
        When the database cannot be reached or a statement fails; nothing is changed then.
    """
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url),
        poolclass=sqlalchemy.pool.NullPool,
    )
    try:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(f"SELECT pg_advisory_xact_lock({LOCK})"))
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.set_main_option("path_separator", "os")
            if _is_newer(connection, config):
                return
            command.upgrade(config, "head")
            _migrate_queue(connection.connection.driver_connection)
    except sqlalchemy.exc.DBAPIError as error:
        raise error.orig or error from None


def _is_newer(connection: sqlalchemy.Connection, config: Config) -> bool:
    if not sqlalchemy.inspect(connection).has_table("alembic_version"):
        return False
    found = connection.scalar(sqlalchemy.text("SELECT version_num FROM alembic_version"))
    head = ScriptDirectory.from_config(config).get_current_head()
    return found is not None and head is not None and found > head


def _migrate_queue(connection: Any) -> None:
    """Apply procrastinate's schema, or those of its migrations that came with a newer release."""
    files = {
        entry.name: entry
        for entry in resources.files("procrastinate.sql.migrations").iterdir()
        if entry.name.endswith(".sql")
    }
    connection.execute(
        "CREATE TABLE IF NOT EXISTS queue_migrations ("
        " name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied = {name for (name,) in connection.execute("SELECT name FROM queue_migrations")}
    if not applied:
        connection.execute(SchemaManager.get_schema())
    else:
        for name in sorted(files.keys() - applied):
            connection.execute(files[name].read_text(encoding="utf-8"))
    connection.cursor().executemany(
        "INSERT INTO queue_migrations (name) VALUES (%s)",
        [(name,) for name in sorted(files.keys() - applied)],
    )
