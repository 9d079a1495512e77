"""A real PostgreSQL for the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.databases import fresh_database, running_postgres
from tests.s3_server import CREDENTIALS, S3Server, running_s3


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The server of this test session."""
    with running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """The S3 server of this test session."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """An S3 server with one empty bucket, and its credentials in the environment."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    s3_server.empty()
    return s3_server


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh database with this release's schema."""
    with fresh_database(postgres_url) as url:
        yield url
