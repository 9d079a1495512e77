"""A real PostgreSQL for the chart's tests."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.databases import running_postgres

SCALER_ROLE = "onescan_scaler"
"""As `database.scaler.role`; whoever installs the chart makes it."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The server of this test session, with the role of KEDA."""
    with running_postgres() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {SCALER_ROLE} LOGIN")
        yield url
