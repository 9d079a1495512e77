"""The loop that sends what is owed; every api process has one, and none sends what another has.

A delivery is sent at least once: one that was taken by a process that died is taken again after
its lease, under the same ``webhook-id``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter

import psycopg

from gateway import traces
from gateway.exceptions import NotFoundError, OneScanError
from gateway.log import get_logger
from gateway.metrics import WEBHOOKS
from gateway.settings import WebhookSettings
from gateway.store import deliveries, reviews, screenings
from gateway.store.database import Database
from gateway.store.deliveries import Delivery
from gateway.store.webhook_secrets import valid_secrets
from gateway.webhooks.body import body
from gateway.webhooks.sender import Outcome, Sender
from gateway.webhooks.signature import derive, digest, headers

LAST_DELAY_SECONDS = 3600.0
"""The pause grows no further."""

POLL_SECONDS = 2.0
"""New deliveries are notified; polling is for retries and for what a notification missed."""

log = get_logger("onescan.webhooks")


class Deliverer:
    """Sends deliveries that are due, several at once.

    Parameters
    ----------
    database : Database
        Where they are.
    sender : Sender
        What sends them.
    settings : WebhookSettings
        Concurrency and pauses; the key filled in.
    wake : asyncio.Event
        Set by whoever knows of a new delivery.
    """

    def __init__(
        self,
        database: Database,
        sender: Sender,
        settings: WebhookSettings,
        wake: asyncio.Event,
    ) -> None:
        self._database = database
        self._sender = sender
        self._settings = settings
        self._wake = wake
        self._tasks: dict[asyncio.Task[None], str] = {}

    async def run(self) -> None:
        """Send until cancelled; what is in hand then is sent by another process."""
        try:
            while True:
                self._wake.clear()
                try:
                    taken = await self._take()
                except psycopg.Error as error:
                    log.warning("onescan.webhooks.database_away", error=type(error).__name__)
                    taken = []
                for delivery in taken:
                    task = asyncio.create_task(self._deliver(delivery), name="webhook")
                    self._tasks[task] = delivery["tenant"]
                    task.add_done_callback(self._ended)
                if not taken:
                    try:
                        async with asyncio.timeout(POLL_SECONDS):
                            await self._wake.wait()
                    except TimeoutError:
                        pass
        finally:
            for task in self._tasks:
                task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._wake.set()

    async def _take(self) -> list[Delivery]:
        free = self._settings.concurrency - len(self._tasks)
        if free <= 0:
            return []
        share = max(1, self._settings.concurrency // 4)
        in_hand = Counter(self._tasks.values())
        async with self._database.connection() as connection:
            return await deliveries.take_due(
                connection,
                limit=free,
                per_tenant=share - max((n for n in in_hand.values() if n < share), default=0),
                busy=[tenant for tenant, number in in_hand.items() if number >= share],
            )

    async def _deliver(self, taken: Delivery) -> None:
        try:
            outcome = await self._attempt(taken)
            state = self._state_after(taken, outcome)
            async with self._database.connection() as connection:
                await deliveries.record(
                    connection,
                    taken,
                    state=state,
                    status=outcome.status,
                    error=outcome.error,
                    delay_seconds=pause(taken["attempts"], self._settings.first_delay_seconds),
                )
            WEBHOOKS.labels("retried" if state == "pending" else state).inc()
            if state != "delivered":
                log.warning(
                    "onescan.webhooks.not_delivered",
                    delivery=str(taken["delivery_id"]),
                    attempt=taken["attempts"],
                    state=state,
                    status=outcome.status,
                    error=outcome.error,
                )
        except (psycopg.Error, OneScanError) as error:
            log.warning("onescan.webhooks.left", error=type(error).__name__)  # until its lease ends

    async def _attempt(self, taken: Delivery) -> Outcome:
        tenant = taken["tenant"]
        async with self._database.connection() as connection:
            try:
                row, released, _ = await screenings.find(connection, tenant, taken["screening_id"])
            except NotFoundError:
                return Outcome(error="no_screening")
            rows = await valid_secrets(connection, tenant)
            report = None
            if taken["event"] == deliveries.EVENTS["signed"]:
                report = await reviews.final_report(connection, tenant, taken["screening_id"])
        secrets = []
        for kept in rows:
            secret = derive(self._settings.key, tenant, kept["secret_id"])
            if digest(secret) == kept["secret_digest"]:
                secrets.append(secret)
        if not secrets:
            # Unsigned is never sent; with another key than the secret was shown with, neither.
            return Outcome(error="webhook_key" if rows else "no_secret")
        said = body(taken, row, released, report)
        signed = headers(secrets, str(taken["delivery_id"]), int(time.time()), said)
        attributes = {
            "onescan.delivery_id": str(taken["delivery_id"]),
            "onescan.attempt": taken["attempts"],
        }
        with traces.span("webhook", attributes, kind="client", parent=row["traceparent"]) as span:
            outcome = await self._sender.send(taken["url"], signed, said)
            if outcome.status is not None:
                span.set({"http.response.status_code": outcome.status})
            if outcome.error is not None:
                span.fail(outcome.error)
        return outcome

    def _state_after(self, taken: Delivery, outcome: Outcome) -> str:
        if outcome.error is None:
            return "delivered"
        age = (taken["last_attempt_at"] - taken["due_since"]).total_seconds()
        over = age >= self._settings.retry_seconds or outcome.for_ever
        return "failed" if over else "pending"


def pause(attempts: int, first_seconds: float) -> float:
    """Give the pause after so many attempts, in seconds, with jitter."""
    doubled = first_seconds * 2.0 ** min(attempts - 1, 30)
    return float(min(doubled, LAST_DELAY_SECONDS) * random.uniform(0.75, 1.25))
