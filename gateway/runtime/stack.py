"""The whole server in one process tree: PostgreSQL, Triton, api, worker, and DIMSE if asked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from gateway.exceptions import OneScanError, RuntimeFailure
from gateway.runtime import janitor
from gateway.runtime.home import Home
from gateway.runtime.ports import answers, free_port, listens, refuse_taken_port
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.runtime.supervisor import PROBE_SECONDS, Child, Supervisor
from gateway.runtime.triton import EmbeddedTriton
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.sessions import make_link
from gateway.triton.client import TritonClient
from gateway.triton.readiness import MODEL, Readiness

log = logging.getLogger("onescan.runtime")

API_START_SECONDS = 30.0
"""Python, its imports and a database pool, on a busy laptop."""

WORKER_START_SECONDS = 60.0
"""The same, and a first probe of Triton."""

CLOSE_SECONDS = 5.0
"""A drained process closes its connections."""


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server."""

    url: str
    """``http://host:port`` of the api; ``https`` where it has a certificate."""

    key: str = dataclasses.field(repr=False)
    """API key of the default tenant."""

    settings: Settings = dataclasses.field(repr=False)
    """What its api and worker were given: addresses filled in."""

    supervisor: Supervisor = dataclasses.field(repr=False)
    """Its children, for tests that kill them."""


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator[Server]:
    """Run the whole server around a block of code.

    An external PostgreSQL (``DATABASE_URL``) or Triton (``ONESCAN_TRITON__URL``) is used
    instead of an embedded one. SIGTERM cancels the block and ends the process with 143.

    Raises
    ------
    RuntimeFailure
        When another server runs on this home, or a part does not start.
    """
    home = Home(settings.home)
    with home.lock(), _terminable():
        janitor.clean(home)
        supervisor = Supervisor(home)
        try:
            yield await _start(settings, home, supervisor)
        finally:
            await asyncio.shield(supervisor.stop())
            janitor.clean(home)


async def run_stack(
    settings: Settings,
    *,
    say: Callable[[str], None] | None = None,
    ready: Callable[[Server], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run the whole server until SIGTERM, SIGINT or the event.

    Parameters
    ----------
    settings : Settings
        Of all its parts.
    say : callable, optional
        Takes sentences for the person at the terminal.
    ready : callable, optional
        Called once everything serves.
    stop : asyncio.Event, optional
        Ends the run.

    Raises
    ------
    RuntimeFailure
        When another server runs on this home, or a part does not start.
    """
    tell = say or (lambda sentence: None)
    ended = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    tell(f"Starting PostgreSQL, Triton, api and worker on {settings.home} ...")
    async with embedded(settings) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        tell(f"Ready at {server.url}; the API key is in {settings.home / 'key'}.")
        if not settings.oidc.client_id:
            tell(f"For a browser, once and within ten minutes: {await sign_in_link(server)}")
        if ready is not None:
            ready(server)
        await ended.wait()
        tell("Stopping ...")
    tell("Stopped.")


async def sign_in_link(server: Server, tenant: str = "default") -> str:
    """Give a link that begins one session in a browser, and then no other."""
    async with Database(server.settings.store.database_url, size=1) as database:
        async with database.connection() as connection:
            token = await make_link(connection, tenant)
    return f"{server.url}/auth/link?token={token}&next=/ui"


def stored_key(settings: Settings) -> str:
    """Give the API key of the embedded server on this home; empty when there is none."""
    path = settings.home / "key"
    return path.read_text().strip() if path.is_file() else ""


async def running_url(settings: Settings) -> str:
    """Give the address of the server that runs on this home; empty when none answers."""
    path = settings.home / "run" / "url"
    address = urlsplit(path.read_text().strip() if path.is_file() else "")
    host, port = address.hostname, address.port
    tls = address.scheme == "https"
    there = host and port and await answers(host, port, "/livez", tls=tls)
    return address.geturl() if there else ""


async def _start(settings: Settings, home: Home, supervisor: Supervisor) -> Server:
    port = settings.api.port or free_port(settings.api.host)
    refuse_taken_port(settings.api.host, port)
    dimse = settings.dimse
    if dimse.port:
        refuse_taken_port(dimse.host, dimse.port)
    database = asyncio.create_task(_database(settings, home, supervisor))
    models = asyncio.create_task(_models(settings, home, supervisor))
    try:
        database_url, triton_url = await asyncio.gather(database, models)
    except BaseException:
        for task in (database, models):
            task.cancel()
        await asyncio.gather(database, models, return_exceptions=True)
        raise
    key = settings.api.key or home.api_key()
    settings = dataclasses.replace(
        settings,
        api=dataclasses.replace(settings.api, port=port, key=key),
        store=dataclasses.replace(settings.store, database_url=database_url),
        triton=dataclasses.replace(settings.triton, url=triton_url),
    )
    host, drain_seconds = settings.api.host, settings.worker.drain_seconds
    tls = bool(settings.api.certificate)
    await supervisor.start(  # first, since both take a second to begin and this one is not awaited
        _service(settings, "worker", "worker", _at_once, drain_seconds=drain_seconds)
    )
    await supervisor.start(
        _service(
            settings,
            "api",
            "serve",
            lambda: answers(host, port, "/livez", tls=tls),
            drain_seconds=settings.api.drain_seconds,
        )
    )
    if dimse.port:
        await supervisor.start(
            _service(
                settings,
                "dimse",
                "dimse",
                lambda: listens(dimse.host, dimse.port),
                drain_seconds=dimse.drain_seconds,
            )
        )
    await _until_serving(host, port, supervisor, tls=tls)
    url = f"{'https' if tls else 'http'}://{settings.api.host}:{port}"
    home.url.write_text(url)
    return Server(url, key, settings, supervisor)


async def _database(settings: Settings, home: Home, supervisor: Supervisor) -> str:
    from gateway.store.migrate import migrate

    url = settings.store.database_url
    if not url:
        url = await EmbeddedPostgres(home, supervisor).start()
    await asyncio.to_thread(migrate, url)
    return url


async def _models(settings: Settings, home: Home, supervisor: Supervisor) -> str:
    if settings.triton.url:
        return settings.triton.url
    triton = EmbeddedTriton(home, settings.triton, settings.model_repository, supervisor)
    url = await triton.start()
    recipe = anatomy_recipe(settings.model_repository)
    if recipe is not None:
        async with TritonClient(url, models=[MODEL]) as client:
            try:
                await Readiness(client, home=home.path, recipe=recipe).check(
                    timeout_seconds=settings.triton.call_timeout_seconds
                )
            except OneScanError as error:
                raise RuntimeFailure(f"Triton fails its self-test: {error}") from error
    return url


def anatomy_recipe(model_repository: Path) -> str | None:
    """Give the recipe of the anatomy manifest as JSON; None when the repository has none."""
    manifest = model_repository / MODEL / "pipeline.toml"
    if not manifest.is_file():
        return None
    return json.dumps(tomllib.loads(manifest.read_text(encoding="utf-8"))["recipe"])


def _service(
    settings: Settings,
    name: str,
    command: str,
    ready: Callable[[], Awaitable[bool]],
    *,
    drain_seconds: float = 5.0,
) -> Child:
    kept = {"HOME", "LANG", "LC_ALL", "TMPDIR", "TZ"}
    kept |= {key for key in os.environ if key.startswith("AWS_")}  # of an object store
    return Child(
        name=name,
        command=[sys.executable, "-m", "gateway.cli", command],
        environ={
            **{key: os.environ[key] for key in kept if key in os.environ},
            "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), "/usr/bin", "/bin"]),
            "PYTHONUNBUFFERED": "1",
            **settings.to_environ(),
        },
        ready=ready,
        start_timeout_seconds=API_START_SECONDS,
        stop_timeout_seconds=drain_seconds + CLOSE_SECONDS,
    )


async def _at_once() -> bool:
    """Let a worker that is started again take its time: jobs wait in the database."""
    return True


async def _until_serving(host: str, port: int, supervisor: Supervisor, *, tls: bool) -> None:
    """Wait until the api says that a study sent now would be screened."""
    deadline = time.monotonic() + WORKER_START_SECONDS
    while not await answers(host, port, "/readyz", tls=tls):
        if supervisor.restarts["worker"]:
            raise RuntimeFailure(f"worker did not start: {supervisor.last_words('worker')}")
        if time.monotonic() > deadline:
            raise RuntimeFailure(
                f"The worker was not ready within {WORKER_START_SECONDS:.0f} s; "
                f"see {supervisor.home.logs}."
            )
        await asyncio.sleep(PROBE_SECONDS)


@contextmanager
def _terminable() -> Iterator[None]:
    """Turn SIGTERM into the cancellation of the present task, so that everything is stopped."""
    loop, task, terminated = asyncio.get_running_loop(), asyncio.current_task(), False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        if task is not None:
            task.cancel()

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may take signals
        return
    loop.add_signal_handler(signal.SIGTERM, terminate)
    try:
        yield
    except asyncio.CancelledError:
        if terminated:
            raise SystemExit(128 + signal.SIGTERM) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
