"""The api with tenants and keys of a test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from gateway.api.app import make_app
from gateway.api.keys import DATABASE
from gateway.principal import ROLES, Quotas
from gateway.settings import ApiSettings, OidcSettings, Settings, StoreSettings, TritonSettings
from gateway.store.database import Database
from gateway.store.keys import create_key
from gateway.store.tenants import create_tenant
from tests.rule_check import write_rule_repository

STORE_TYPE = 'multipart/related; type="application/dicom"; boundary=X'


def body_of(paths: list[Path]) -> bytes:
    """Give Part 10 files as the body of a store request."""
    parts = b"".join(
        b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
        for path in paths
    )
    return parts + b"--X--\r\n"


class Api:
    """A running api and its clients."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client

    @property
    def database(self) -> Database:
        """Its pool."""
        assert self.client.app is not None
        return self.client.app[DATABASE]

    async def tenant(self, name: str, quotas: Quotas | None = None) -> dict[str, str]:
        """Make a tenant and give the header of a key with every role."""
        async with self.database.connection() as connection:
            await create_tenant(connection, name, quotas or Quotas(), actor="test")
            made = await create_key(connection, name, "all", ROLES, actor="test")
        return {"Authorization": f"Bearer {made.secret}"}

    async def store(self, paths: list[Path], headers: dict[str, str], at: str = "") -> Any:
        """Send files by STOW-RS."""
        return await self.client.post(
            f"/dicomweb/studies{at}",
            data=body_of(paths),
            headers={**headers, "Content-Type": STORE_TYPE},
        )


@asynccontextmanager
async def serving(
    database_url: str,
    folder: Path,
    *,
    api: ApiSettings | None = None,
    oidc: OidcSettings | None = None,
) -> AsyncIterator[Api]:
    """Serve until the block ends, a rule for liver its only check."""
    repository = folder / "model_repository"
    if not repository.exists():
        write_rule_repository(repository)
    settings = Settings(
        home=folder,
        api=replace(api or ApiSettings(), key="key-of-the-test"),
        store=StoreSettings(database_url=database_url, pool_size=4),
        triton=TritonSettings(model_repository=str(repository)),
        oidc=oidc or OidcSettings(),
    )
    async with TestClient(TestServer(make_app(settings, reaper=False))) as client:
        yield Api(client)
