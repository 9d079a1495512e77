"""The completer: screens studies that have been quiet for as long as their partner says.

It runs in the api beside the reaper. Several may run: rows that one looks at are skipped by the
others, and the screening is made in the transaction that takes the study off the list, so one
quiet time gives one screening whatever dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import psycopg

from gateway.intake.partners import Partner, Partners
from gateway.metrics import COMPLETED
from gateway.store import screenings
from gateway.store.arrivals import try_lock_study
from gateway.store.database import Connection, Database
from gateway.store.default_order import DefaultChecks, checks_of_study
from gateway.store.screenings import Order

BATCH = 50
"""Studies taken up in one transaction."""

ROUNDS = 10
"""Transactions of one look; what is left then waits for the next one, behind nobody's back."""

LOOK_SECONDS = 1.0
"""How often it looks; a quiet time is longer than a few of them."""

LOOK_AGAIN_SECONDS = 15.0
"""Pause after the database went away."""

log = logging.getLogger("onescan.completer")


async def complete(
    connection: Connection, partners: Partners, default_checks: DefaultChecks
) -> int:
    """Look once, in the caller's transaction; give the number of studies looked at.

    A study that is being added to at this moment is left alone: what its transaction notes
    will put it off.
    """
    due = await connection.execute(
        """
        SELECT a.tenant, a.study_instance_uid, a.partner, a.stat
        FROM arrivals a JOIN studies s USING (tenant, study_instance_uid)
        WHERE a.due_at <= now() ORDER BY a.due_at LIMIT %s
        FOR NO KEY UPDATE OF s, a SKIP LOCKED
        """,
        (BATCH,),
    )
    rows = await due.fetchall()
    for row in rows:
        if not await try_lock_study(connection, row["tenant"], row["study_instance_uid"]):
            continue
        partner = partners.named(row["tenant"], row["partner"])
        await screenings.create(
            connection, row["tenant"], await _order(connection, row, partner, default_checks)
        )
        COMPLETED.inc()
    return len(rows)


async def _order(
    connection: Connection,
    row: Mapping[str, str],
    partner: Partner,
    default_checks: DefaultChecks,
) -> Order:
    study = row["study_instance_uid"]
    checks = partner.checks or await checks_of_study(
        connection, row["tenant"], study, default_checks
    )
    return Order(
        study_instance_uid=study,
        checks=checks,
        lane="stat" if row["stat"] else partner.lane,
        exam_context=partner.exam_context,
        clinical={},
        results=partner.results,
        send_results_to=partner.send_results_to,
    )


async def run_completer(
    database: Database, partners: Partners, default_checks: DefaultChecks
) -> None:
    """Look every `LOOK_SECONDS` until cancelled."""
    while True:
        try:
            for _ in range(ROUNDS):
                async with database.connection() as connection:
                    found = await complete(connection, partners, default_checks)
                if found < BATCH:
                    break
        except psycopg.Error as error:
            log.warning("onescan.completer.database_away error=%s", type(error).__name__)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        await asyncio.sleep(LOOK_SECONDS)
