"""Critical results and the reading list's order, kept by the database with the results."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gateway.exceptions import NotFoundError
from gateway.store import critical, worklist
from gateway.store.critical import Care
from tests.partner_api import (
    Client,
    add_study,
    api_settings,
    claimed,
    database,
    finish,
    order,
    release,
    running,
)

pytestmark = pytest.mark.postgres

TWO = {"default": Care(ask=("first", "second"), minutes=10)}


async def screened(client: Client, study: str, *results: dict[str, Any]) -> dict[str, Any]:
    """Screen a study with these results."""
    made = await order(client, study)
    claim = await claimed(client, made)
    for result in results:
        await release(client, claim, **result)
    await finish(client, claim)
    return made


async def test_a_result_asks_one_after_another_until_it_is_acknowledged(
    database_url: str, tmp_path: Path
) -> None:
    """The last one answers for nobody; the first acknowledgement stands, each step is audited."""
    async with running(api_settings(database_url, tmp_path)) as client:
        made = await order(client)
        claim = await claimed(client, made)
        await release(client, claim, "liver", state="positive", urgency="critical")
        async with database(client).connection() as connection:
            # The api's own loop may have asked first, with its own names.
            await connection.execute(
                "UPDATE critical_results SET asked = '', level = 0, due_at = now()"
            )
            await connection.execute("SELECT 1 FROM critical_results FOR UPDATE")
            seen = []
            for _ in range(3):
                assert await critical.escalate(connection, TWO) == 1
                [row] = await critical.open_results(connection, "default")
                seen.append((row["asked"], row["level"], row["due_at"] is None))
                await connection.execute(
                    "UPDATE critical_results SET due_at = now() WHERE due_at IS NOT NULL"
                )
            assert seen == [("first", 0, False), ("second", 1, False), ("second", 2, True)]
            assert await critical.escalate(connection, TWO) == 0
            with pytest.raises(NotFoundError):
                await critical.acknowledge(connection, "other", row["critical_id"], "x")
            for name in ("ann", "ben"):
                row = await critical.acknowledge(connection, "default", row["critical_id"], name)
                assert row["acknowledged_by"] == "ann"
            assert await critical.open_results(connection, "default") == []
            with pytest.raises(NotFoundError):
                await critical.acknowledge(connection, "default", uuid4(), "ann")
            cursor = await connection.execute(
                "SELECT actor FROM audit WHERE action = 'critical.acknowledged'"
            )
            assert [line["actor"] for line in await cursor.fetchall()] == ["ann"]


async def test_the_list_goes_by_urgency_then_by_age(database_url: str, tmp_path: Path) -> None:
    """What shows nothing comes last; a version that runs does not hide the one before."""
    studies = [f"1.2.826.0.1.3680043.8.498.9{n}" for n in range(4)]
    async with running(api_settings(database_url, tmp_path), *studies) as client:
        await screened(client, studies[0], {"check": "liver", "state": "negative"})
        marked = {"thresholds": {"marked_by": ["x"], "flagged_by": []}, "urgency": "note"}
        shown = {"state": "indeterminate", "reason": "weights_not_accepted", **marked}
        await screened(client, studies[1], {"check": "liver", **shown})
        await screened(
            client, studies[2], {"check": "liver", "state": "positive", "urgency": "urgent"}
        )
        await screened(
            client, studies[3], {"check": "liver", "state": "positive", "urgency": "urgent"}
        )
        await order(client, studies[2])
        await add_study(client, studies[2], tenant="other")
        async with database(client).connection() as connection:
            rows = await worklist.rows(connection, "default", worklist.Asked())
            assert [row["study_instance_uid"] for row in rows] == [
                studies[2], studies[3], studies[1], studies[0],
            ]  # fmt: skip
            assert [row["urgency"] for row in rows] == [1, 1, 3, 4]
            assert [row["newer_state"] for row in rows] == ["accepted", None, None, None]
            assert [row["version"] for row in rows] == [1, 1, 1, 1]
            assert await worklist.rows(connection, "other", worklist.Asked()) == []
            newest = await worklist.newest(connection, "default", studies[2])
            assert newest["screening_id"] == rows[0]["screening_id"]
            with pytest.raises(NotFoundError):
                await worklist.newest(connection, "other", studies[2])
