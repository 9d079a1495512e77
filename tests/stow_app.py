"""The store handler alone, on a real database and a real folder; also as a process of its own."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import uuid
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api import dicomweb
from gateway.api.keys import DATABASE, OBJECTS, PARTNERS, PRINCIPAL, SETTINGS
from gateway.api.middlewares import tell_errors
from gateway.api.slots import SLOTS, Slots
from gateway.intake.partners import Partners
from gateway.settings import ApiSettings, Settings
from gateway.store.database import Database
from gateway.store.keys import Principal, ensure_tenant
from gateway.store.objects import FolderObjects, ObjectStore
from gateway.store.open_objects import open_objects
from gateway.store.s3_client import SCHEME

CONTENT_TYPE = 'multipart/related; type="application/dicom"; boundary=BB'

TENANTS = ("default", "other")


@web.middleware
async def _as_tenant(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Take the caller's word for its tenant; authentication has tests of its own."""
    tenant = request.headers.get("X-Tenant", TENANTS[0])
    request[PRINCIPAL] = Principal(tenant=tenant, key_id=uuid.uuid4(), name="test")
    return await handler(request)


async def stow_app(
    database: Database,
    objects: ObjectStore,
    *,
    max_instance_bytes: int = 2**31,
    api: ApiSettings | None = None,
    partners: Partners | None = None,
) -> web.Application:
    """Make the application; the tenants are there."""
    async with database.connection() as connection:
        for tenant in TENANTS:
            await ensure_tenant(connection, tenant)
    settings = Settings(home=Path("/nowhere"))
    app = web.Application(middlewares=[tell_errors, _as_tenant])
    app[DATABASE], app[OBJECTS] = database, objects
    app[PARTNERS] = partners or Partners()
    app[SETTINGS] = replace(
        settings, api=replace(api or settings.api, max_instance_bytes=max_instance_bytes)
    )
    app[SLOTS] = Slots(2, 16)
    app.add_routes(dicomweb.routes)
    return app


def _objects(name: str) -> ObjectStore:
    """Open a folder, or a bucket that the environment tells more of."""
    if not name.startswith(SCHEME):
        return FolderObjects(Path(name), reserve_bytes=0)
    return open_objects(Settings.from_environ({**os.environ, "ONESCAN_STORE__OBJECTS": name}))


async def _serve(database_url: str, folder: str, socket: str) -> None:
    async with Database(database_url, size=2) as database:
        app = await stow_app(database, _objects(folder))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, socket).start()
        await asyncio.Event().wait()


def _may_be_traced() -> None:
    """Let a test's strace attach, which a hardened kernel allows to parents only."""
    pr_set_ptracer, anybody = 0x59616D61, ctypes.c_ulong(-1)
    ctypes.CDLL(None).prctl(pr_set_ptracer, anybody)


if __name__ == "__main__":
    _may_be_traced()
    asyncio.run(_serve(*sys.argv[1:4]))
