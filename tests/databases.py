"""A real PostgreSQL for a test session, and a fresh migrated database for each test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from gateway.runtime.home import Home, discard
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.store.migrate import migrate

TEMPLATE = "onescan_template"


@contextmanager
def running_postgres() -> Iterator[str]:
    """Run an embedded PostgreSQL; gives the URL of its server."""
    path = Path(tempfile.mkdtemp(prefix="os-pg-", dir="/tmp"))
    home = Home(path)
    with asyncio.Runner() as runner, home.lock():
        server = EmbeddedPostgres(home)
        url = runner.run(server.start())
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {TEMPLATE}")
            migrate(named(url, TEMPLATE))
            yield url
        finally:
            runner.run(server.stop())
    discard(path)
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def fresh_database(server_url: str, template: str = TEMPLATE) -> Iterator[str]:
    """Make a migrated database and drop it afterwards; gives its URL.

    With PostgreSQL's own template, ``template1``, it is empty.
    """
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield named(server_url, name)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def named(url: str, database: str) -> str:
    """Give the URL of another database of the same server."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{database}"))
