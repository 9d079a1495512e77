"""The api: one aiohttp application, and the reaper beside it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import uuid4

from aiohttp import web

from gateway import traces
from gateway.api import (
    agreement,
    critical,
    deletion,
    diagnosis,
    dicomweb,
    docs,
    events,
    health,
    operate,
    reader_studies,
    reader_study_pages,
    results,
    reviews,
    screening_lists,
    screenings,
    sign_in,
    slices,
    studies,
    to_mark,
    ui,
    usage,
    webhooks,
)
from gateway.api.addresses import Failures, read_networks
from gateway.api.admission import ADMISSION, admit, admit_store, close_unread, make_admission
from gateway.api.auth import authenticate
from gateway.api.hiding import hide_findings
from gateway.api.hub import HUB, Hub
from gateway.api.keys import DATABASE, OBJECTS, PARTNERS, SETTINGS
from gateway.api.limits import limit, tell_limits
from gateway.api.measures import watch_objects
from gateway.api.middlewares import measure, tell_errors
from gateway.api.request_leases import RequestLeases
from gateway.api.slots import SLOTS, Slots
from gateway.api.spans import begin_span, end_span
from gateway.api.state import (
    ARCHIVES,
    FAILURES,
    LEASES,
    LIFECYCLE,
    MAKER,
    MANIFESTS,
    OIDC,
    TRUSTED_PROXIES,
    VIEWER,
    Lifecycle,
)
from gateway.api.watch import WATCH, Watch, run_watch
from gateway.delivery.jobs import ResultKit, run_result_jobs
from gateway.delivery.maker import ResultMaker
from gateway.ending import end
from gateway.exceptions import UsageError
from gateway.fetcher import run_fetcher
from gateway.fetcher.kit import FetchKit, FetchLimits, archive_clients
from gateway.intake.partners_reader import load_partners
from gateway.log import configure_logging, deployment_key, get_logger
from gateway.oidc.provider import Provider
from gateway.runtime.home import secret
from gateway.screening.default_checks import default_checks, refuse_unknown_checks
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import Settings
from gateway.store import audit
from gateway.store.completer import run_completer
from gateway.store.costs import save_costs
from gateway.store.critical import run_escalation
from gateway.store.database import Database
from gateway.store.keys import ensure_default_key
from gateway.store.open_objects import open_objects
from gateway.store.orphans import run_orphans
from gateway.store.reaper import run_reaper
from gateway.store.retention import run_retention
from gateway.store.schema import is_current
from gateway.study.viewed import Viewer
from gateway.tls import server_context

TENANT = "default"
"""Tenant of the generated key."""

CLOSE_SECONDS = 1.0
"""What connections get once requests in hand have ended, or their time has."""

log = get_logger("onescan.api")


def make_app(settings: Settings, *, reaper: bool = True) -> web.Application:
    """Make the application; its resources are opened when it starts.

    Parameters
    ----------
    settings : Settings
        With `store.database_url` and `api.key` filled in.
    reaper : bool
        Whether this application looks after stalled screenings.

    Raises
    ------
    UsageError
        When database or key are missing.
    ManifestError
        When the model repository's manifests break their contract.
    PartnersError
        When the partners file breaks its form or names a check that is not installed.
    """
    if not settings.store.database_url:
        raise UsageError("DATABASE_URL is not set.")
    if not settings.api.key:
        raise UsageError("ONESCAN_API__KEY is empty; the api never runs without a key.")
    app = web.Application(
        middlewares=[
            measure,
            end_span,
            tell_errors,
            admit,
            authenticate,
            begin_span,
            admit_store,
            limit,
            hide_findings,
        ],
        client_max_size=settings.api.max_json_bytes,  # STOW streams and has limits of its own
    )
    settings = webhooks.with_webhook_key(settings)
    app[SETTINGS] = settings
    app[HUB] = Hub(settings.store.database_url, per_tenant=settings.events.streams_per_tenant)
    app[MANIFESTS] = load_manifests(settings.model_repository)
    app[PARTNERS] = load_partners(settings)
    refuse_unknown_checks(app[PARTNERS], app[MANIFESTS])
    app[ARCHIVES] = archive_clients(app[PARTNERS])
    app[LIFECYCLE] = Lifecycle()
    app[VIEWER] = Viewer(settings.api.view_bytes)
    app[SLOTS] = Slots(settings.api.render_limit, settings.api.render_pending_limit)
    app[ADMISSION] = make_admission(app)
    app[WATCH] = Watch(settings.api.queue_limit)
    app[FAILURES] = Failures()
    app[TRUSTED_PROXIES] = read_networks(settings.api.trusted_proxies)
    app[LEASES] = RequestLeases()
    app[OIDC] = Provider(settings.oidc) if settings.oidc.issuer else None
    app.add_routes(health.routes)
    app.add_routes(sign_in.routes)
    app.add_routes(usage.routes)
    app.add_routes(screenings.routes)
    app.add_routes(results.routes)
    app.add_routes(screening_lists.routes)
    app.add_routes(studies.routes)
    app.add_routes(events.routes)
    app.add_routes(reviews.routes)
    app.add_routes(reader_studies.routes)
    app.add_routes(agreement.routes)
    app.add_routes(slices.routes)
    app.add_routes(critical.routes)
    app.add_routes(ui.routes)
    app.add_routes(reader_study_pages.routes)
    app.add_routes(to_mark.routes)
    app.add_routes(webhooks.routes)
    app.add_routes(diagnosis.routes)
    app.add_routes(operate.routes)
    app.add_routes(deletion.routes)
    app.add_routes(docs.routes)
    app.add_routes(dicomweb.routes)
    app.cleanup_ctx.append(_database)
    app.cleanup_ctx.append(_objects)
    app.cleanup_ctx.append(_maker)
    app.cleanup_ctx.append(_measures)
    app.cleanup_ctx.append(_hub)
    app.cleanup_ctx.append(_watch)
    if reaper:
        app.cleanup_ctx.append(_reaper)
        app.cleanup_ctx.append(_completer)
        app.cleanup_ctx.append(_escalation)
        if settings.store.orphan_seconds > 0:
            app.cleanup_ctx.append(_orphans)
        app.cleanup_ctx.append(_retention)
        if app[PARTNERS].sources or app[PARTNERS].archives:
            app.cleanup_ctx.append(_fetcher)
        app.cleanup_ctx.append(_result_jobs)
        app.cleanup_ctx.append(webhooks.deliver)
    if app[OIDC] is not None:
        app.cleanup_ctx.append(_identity_provider)
    app.on_response_prepare.append(tell_limits)
    app.on_response_prepare.append(close_unread)
    app.on_shutdown.append(_drain)
    return app


async def serve(settings: Settings) -> None:
    """Run the api until SIGTERM or SIGINT."""
    settings = with_key(settings)
    key = deployment_key(settings.home, settings.log.key)
    configure_logging("api", key)
    traces.start(settings.traces, "api", key)
    tls = _tls(settings)
    app = make_app(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.api.host, settings.api.port, ssl_context=tls)
        await site.start()
        log.info("onescan.api.started", host=settings.api.host, port=settings.api.port)
        await stopped.wait()
        app[LIFECYCLE].draining = True
        log.info("onescan.api.draining", in_hand=app[ADMISSION].requests)
        # Not left to aiohttp: from its shutdown on it drops the bytes of bodies in flight.
        await site.stop()
        app[HUB].close()
        done = await app[ADMISSION].idle(settings.api.drain_seconds)
        log.info("onescan.api.drained", in_hand=app[ADMISSION].requests, done=done)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(traces.stop)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    api = settings.api
    if api.certificate:
        return server_context("ONESCAN_API__", api.certificate, api.certificate_key, "")
    if api.certificate_key:
        raise UsageError("ONESCAN_API__CERTIFICATE_KEY needs ONESCAN_API__CERTIFICATE.")
    return None


def with_key(settings: Settings) -> Settings:
    """Fill in the key generated under the home where none is set."""
    if settings.api.key:
        return settings
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secret(settings.home / "key")
    return dataclasses.replace(settings, api=dataclasses.replace(settings.api, key=key))


async def _database(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    database = Database(settings.store.database_url, size=settings.store.pool_size)
    async with database:
        async with database.connection() as connection:
            await ensure_default_key(connection, TENANT, settings.api.key)
            if await is_current(connection):  # otherwise /readyz says so
                costs = {n: m.cost.get("gpu_seconds", 0.0) for n, m in app[MANIFESTS].items()}
                await save_costs(connection, costs)
            log.info("onescan.audit.head", head=str(await audit.head(connection)))
        app[DATABASE] = database
        yield


async def _identity_provider(app: web.Application) -> AsyncIterator[None]:
    provider = app[OIDC]
    assert provider is not None
    await provider.documents.open()
    yield
    await provider.documents.close()


async def _objects(app: web.Application) -> AsyncIterator[None]:
    objects = await asyncio.to_thread(open_objects, app[SETTINGS])
    if swept := await asyncio.to_thread(objects.sweep_temporary):
        log.info("onescan.api.swept", segments=swept)
    app[OBJECTS] = objects
    yield


@asynccontextmanager
async def _beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Run something as long as the api serves."""
    task = asyncio.create_task(work, name=name)
    yield
    await end(task)


async def _measures(app: web.Application) -> AsyncIterator[None]:
    async with _beside(watch_objects(app), "measures"):
        yield


async def _hub(app: web.Application) -> AsyncIterator[None]:
    async with _beside(app[HUB].run(), "hub"):
        yield


async def _watch(app: web.Application) -> AsyncIterator[None]:
    async with _beside(run_watch(app[WATCH], app[DATABASE]), "watch"):
        yield


async def _reaper(app: web.Application) -> AsyncIterator[None]:
    async with _beside(run_reaper(app[DATABASE], app[SETTINGS].worker), "reaper"):
        yield


async def _completer(app: web.Application) -> AsyncIterator[None]:
    checks = partial(default_checks, app[MANIFESTS])
    async with _beside(run_completer(app[DATABASE], app[PARTNERS], checks), "completer"):
        yield


async def _escalation(app: web.Application) -> AsyncIterator[None]:
    work = run_escalation(app[DATABASE], app[PARTNERS].critical)
    async with _beside(work, "escalation"):
        yield


async def _retention(app: web.Application) -> AsyncIterator[None]:
    work = run_retention(app[DATABASE], app[OBJECTS], app[PARTNERS], app[SETTINGS].retention)
    async with _beside(work, "retention"):
        yield


async def _orphans(app: web.Application) -> AsyncIterator[None]:
    work = run_orphans(app[DATABASE], app[OBJECTS], app[SETTINGS].store.orphan_seconds)
    async with _beside(work, "orphans"):
        yield


async def _fetcher(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    kit = FetchKit(
        name=f"fetch-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}",
        database=app[DATABASE],
        objects=app[OBJECTS],
        partners=app[PARTNERS],
        archives=app[ARCHIVES],
        default_checks=partial(default_checks, app[MANIFESTS]),
        worker=settings.worker,
        limits=FetchLimits(max_instance_bytes=settings.api.max_instance_bytes),
    )
    async with _beside(run_fetcher(kit), "fetcher"):
        yield


async def _maker(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    maker = ResultMaker(settings, timeout_seconds=settings.results.timeout_seconds)
    app[MAKER] = maker
    yield
    await maker.close()


async def _result_jobs(app: web.Application) -> AsyncIterator[None]:
    kit = ResultKit(
        database=app[DATABASE],
        objects=app[OBJECTS],
        partners=app[PARTNERS],
        archives=app[ARCHIVES],
        maker=app[MAKER],
        settings=app[SETTINGS].results,
    )
    async with _beside(run_result_jobs(kit), "results"):
        yield


async def _drain(app: web.Application) -> None:
    app[LIFECYCLE].draining = True
    app[HUB].close()
