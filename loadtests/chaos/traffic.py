"""A constant load: studies by STOW and C-STORE, screenings routine and stat, and polling.

Open arrivals: a study comes when its time has come, however the server is. A sender that has no
answer asks again, with the same bytes and the same idempotency key, until it has one.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import aiohttp

from loadtests.chaos.checks import FINAL
from loadtests.chaos.ledger import ACKNOWLEDGED, REFUSED, SENDING, UNANSWERED, Sent
from loadtests.chaos.modality import send_by_dimse
from loadtests.chaos.models import CHECK
from loadtests.chaos.studies import fresh
from loadtests.fresh import CONTENT_TYPE, Template

BUSY = (429, 503, 507)
"""Refusals: the server asks to come again."""

STOW_EVERY_SECONDS = 3.5

DIMSE_EVERY_SECONDS = 9.0

STAT_SHARE = 0.3

MOST_OPEN = 12
"""Studies on their way; beyond it nobody sends, as no sender has endless patience."""

PATIENCE_SECONDS = 120.0
"""A sender without an answer gives up."""

AGAIN_SECONDS = 0.5

POLL_SECONDS = 0.5

FETCHES = 5
"""Attempts at retrieving a study."""


@dataclass
class Traffic:
    """Senders against one server, through its proxies.

    Attributes
    ----------
    url : str
    dimse_port : int
    templates : mapping
        Of what is sent at random: all but poison.
    """

    url: str
    dimse_port: int
    key: str
    templates: Mapping[str, Template]
    random: Random
    entries: list[Sent] = field(default_factory=list)
    paused: bool = False
    _session: aiohttp.ClientSession | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[Traffic]:
        """Send while a block of code runs; what is on its way then is given up."""
        headers = {"Authorization": f"Bearer {self.key}"}
        timeout = aiohttp.ClientTimeout(total=60, sock_connect=10)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            self._session = session
            try:
                for every, send in (
                    (STOW_EVERY_SECONDS, self._some_stow),
                    (DIMSE_EVERY_SECONDS, self._some_dimse),
                ):
                    self._start(self._arrivals(every, send))
                self._start(self._poll())
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def open(self) -> list[Sent]:
        """List what is still on its way."""
        return [entry for entry in self.entries if SENDING in (entry.stored, entry.ordered)]

    def send_now(self) -> None:
        """Send one study by either way beside those that come by themselves."""
        self._start(self._some_stow())
        self._start(self._some_dimse())

    async def stow(self, template: Template, lane: str) -> Sent:
        """Store a study and order its screening."""
        seed = self.random.getrandbits(63)
        study, body = fresh(template, seed)
        entry = Sent(study, template.name, "stow", lane, template.instances, seed=seed)
        self.entries.append(entry)
        answer = await self._ask(
            entry,
            "/dicomweb/studies",
            body=body,
            headers={"Content-Type": CONTENT_TYPE, "X-OneScan-Lane": lane},
        )
        kept = (answer or {}).get("00081199", {}).get("Value", ())
        if answer is not None and "refused" not in answer and len(kept) != template.instances:
            entry.trouble.append(f"{len(kept)} of {template.instances} instances were taken")
        entry.stored = _outcome(answer)
        if entry.stored != ACKNOWLEDGED:
            return entry
        entry.ordered = SENDING
        order = {"study_instance_uid": study, "lane": lane, "checks": [CHECK]}
        key = {"Idempotency-Key": str(uuid.UUID(int=self.random.getrandbits(128)))}
        answer = await self._ask(entry, "/v1/screenings", json=order, headers=key)
        entry.ordered = _outcome(answer)
        if answer is not None and entry.ordered == ACKNOWLEDGED:
            entry.screening_id = answer["screening_id"]
        return entry

    async def dimse(self, template: Template) -> Sent:
        """Send a study by C-STORE; its partner's profile has it screened."""
        seed = self.random.getrandbits(63)
        study, body = fresh(template, seed)
        entry = Sent(study, template.name, "dimse", "routine", template.instances, seed=seed)
        self.entries.append(entry)
        entry.stored = await asyncio.to_thread(
            send_by_dimse, self.dimse_port, body, PATIENCE_SECONDS
        )
        entry.ordered = entry.stored if entry.stored == ACKNOWLEDGED else ""
        return entry

    async def shown(self, entry: Sent) -> dict[str, Any] | None:
        """Ask how the newest screening of a study is; None when nobody answers."""
        assert self._session is not None
        where = f"{self.url}/v1/screenings?study_instance_uid={entry.study}"
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError, KeyError):
            async with self._session.get(where) as answer:
                if answer.status != 200:
                    return None
                found = (await answer.json())["screenings"]
                return max(found, key=lambda one: one["version"]) if found else {}
        return None

    async def look(self, entry: Sent) -> None:
        """Note the state of a screening when it has ended."""
        shown = await self.shown(entry)
        if shown and shown["state"] in FINAL:
            entry.screening_id, entry.state = shown["screening_id"], shown["state"]

    async def ended(self, entry: Sent, timeout_seconds: float) -> float:
        """Wait until a screening has ended; gives the seconds, which are more when it has not."""
        begun = time.monotonic()
        while (took := time.monotonic() - begun) <= timeout_seconds and not entry.state:
            await self.look(entry)
            await asyncio.sleep(0.1)
        return took

    async def fetched(self, study: str) -> bytes:
        """Retrieve a study as it is kept; empty when that does not work however often."""
        assert self._session is not None
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        where = f"{self.url}/dicomweb/studies/{study}"
        for _ in range(FETCHES):
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._session.get(where, headers={"Accept": accept}) as answer:
                    if answer.status == 200:
                        return await answer.read()
            await asyncio.sleep(AGAIN_SECONDS)
        return b""

    async def _ask(
        self, entry: Sent, path: str, *, body: bytes | None = None, **given: Any
    ) -> dict[str, Any] | None:
        """Post until there is an answer; None after all patience, ``refused`` for a refusal."""
        assert self._session is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            data = None if body is None else io.BytesIO(body)  # is closed when it was sent
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._session.post(self.url + path, data=data, **given) as answer:
                    if answer.status in BUSY:
                        return {"refused": answer.status}
                    if answer.status in (200, 202):
                        told: dict[str, Any] = await answer.json(content_type=None)
                        return told
                    text = (await answer.text())[:200]
                    entry.trouble.append(f"{path}: {answer.status} {text}")
                    if len(entry.trouble) > 20:
                        return None
            await asyncio.sleep(AGAIN_SECONDS)
        return None

    async def _arrivals(self, every_seconds: float, send: Any) -> None:
        while True:
            if not self.paused and len(self.open()) < MOST_OPEN:
                self._start(send())
            await asyncio.sleep(every_seconds * self.random.uniform(0.6, 1.4))

    async def _some_stow(self) -> None:
        lane = "stat" if self.random.random() < STAT_SHARE else "routine"
        await self.stow(self._some(), lane)

    async def _some_dimse(self) -> None:
        await self.dimse(self._some())

    def _some(self) -> Template:
        return self.templates[self.random.choice(sorted(self.templates))]

    async def _poll(self) -> None:
        """Look at what was ordered, as partners do."""
        while True:
            waiting = [e for e in self.entries if e.ordered == ACKNOWLEDGED and not e.state]
            for entry in waiting:
                if entry.via == "stow":  # of the others only the database knows which is the last
                    await self.look(entry)
            await asyncio.sleep(POLL_SECONDS)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _outcome(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return UNANSWERED
    return REFUSED if "refused" in answer else ACKNOWLEDGED
