"""One server with studies, and one Chromium, for all tests of the pages."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiohttp import web
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from gateway.api.app import make_app
from gateway.api.keys import DATABASE
from gateway.settings import ApiSettings, Settings, StoreSettings
from gateway.store.sessions import make_link
from tests.databases import fresh_database, running_postgres
from tests.ui.studies import Written, write_studies

T = TypeVar("T")

ARTEFACTS = Path(__file__).resolve().parents[2] / "test-artefacts" / "ui"

CHROMIUM = "/usr/bin/chromium"
"""Debian's; playwright brings only the driver."""

DESK = {"width": 1280, "height": 800}
TABLET = {"width": 820, "height": 1180}

PATIENCE_MILLISECONDS = 15_000
"""Of what has to happen at last, on a machine that does other things too."""

expect.set_options(timeout=PATIENCE_MILLISECONDS)


class Pages:
    """A running api, its loop in a thread of its own."""

    def __init__(self, settings: Settings) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._app = make_app(settings)
        self.settings = settings
        self.url = ""
        self.studies: dict[str, Written] = {}

    def __enter__(self) -> Pages:
        self._thread.start()
        self.run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the api's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    @property
    def app(self) -> web.Application:
        """The application."""
        return self._app

    def link(self, *roles: str, tenant: str = "default", onward: str = "/ui") -> str:
        """Give a one-time link, as `onescan up` prints it."""

        async def made() -> str:
            async with self._app[DATABASE].connection() as connection:
                return await make_link(connection, tenant, roles)

        return f"{self.url}/auth/link?token={self.run(made())}&next={onward}"

    async def _start(self) -> None:
        self._runner = web.AppRunner(self._app, shutdown_timeout=0.2, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"


@pytest.fixture(scope="module")
def pages(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pages]:
    """Begin with the studies that the module names as ``STUDIES``, or with those of any."""
    asked = getattr(request.module, "STUDIES", ())
    home = tmp_path_factory.mktemp("home")
    (home / "partners.toml").write_text(
        '[critical.default]\nask = ["Dr Li", "Dr Wang"]\nminutes = 10\n'
        '[partners.school]\nkeys = ["pupil"]\nreview = "teaching"\n'
    )
    with running_postgres() as server, fresh_database(server) as database_url:
        settings = Settings(
            home=home,
            api=ApiSettings(key="key-of-the-test"),
            store=StoreSettings(database_url=database_url, pool_size=6),
        )
        with Pages(settings) as made:
            made.studies = made.run(write_studies(made.app, made.url, home, asked))
            yield made


@pytest.fixture(scope="module")
def chromium(pages: Pages) -> Iterator[Browser]:
    """Begun after the server, which does not start under Playwright's own loop."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def reader(chromium: Browser, pages: Pages) -> Iterator[BrowserContext]:
    """A browser with the session of somebody who reads and reviews."""
    context = chromium.new_context(viewport=DESK, locale="en-GB")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    page = context.new_page()
    page.goto(pages.link("read", "review"))
    page.close()
    yield context
    context.close()


@pytest.fixture
def page(reader: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may go wrong."""
    with careful_page(reader) as made:
        yield made


@contextmanager
def careful_page(context: BrowserContext) -> Iterator[Page]:
    """Open a page that fails its test for a script error or a breach of the policy."""
    made = context.new_page()
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on(
        "console",
        lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None,
    )
    made.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
    yield made
    made.close()
    assert wrong == []


def keep(page: Page, name: str) -> None:
    """Keep a picture of a page beside the tests' other artefacts."""
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png")
