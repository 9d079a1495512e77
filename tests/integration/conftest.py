"""A real PostgreSQL for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import fresh_database, running_postgres


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The server of this test session."""
    with running_postgres() as url:
        yield url


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh database with this release's schema."""
    with fresh_database(postgres_url) as url:
        yield url
