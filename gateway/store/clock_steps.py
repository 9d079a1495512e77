"""A clock that ran ahead and was set right: what it has put off is brought back.

What is due when, and who was seen when, is told by the database's clock. A time that was written
while it was an hour ahead lies an hour in the future when it is right again, and the work behind
it would wait for that hour. No wait is longer than its own longest, so a time beyond that tells.
"""

from __future__ import annotations

from gateway.store.database import Connection
from gateway.store.queue import FETCH

SLACK_SECONDS = 60.0
"""Between clocks that are as good as right, and for a transaction that took its time."""

LONGEST_RETRY_SECONDS = 1.25 * 3600
"""Between two tries at a webhook, a result or a commitment: an hour and its jitter."""

LONGEST_PAUSE_SECONDS = 600.0
"""Before a screening is tried again."""

LONGEST_FETCH_PAUSE_SECONDS = 24 * 3600.0
"""Before a study is fetched again: a source may have hours."""

_AHEAD = "> now() + make_interval(secs => {longest} + %(slack)s)"

_TRIED_AHEAD = _AHEAD.format(longest="CASE WHEN attempts > 0 THEN %(retry)s ELSE 0 END")
"""What was not tried yet is due when it is made."""

_STATEMENTS = {
    "arrivals": "UPDATE arrivals SET due_at = now() + make_interval(secs => quiet_seconds),"
    f" last_at = least(last_at, now()) WHERE due_at {_AHEAD.format(longest='quiet_seconds')}",
    "screenings": "UPDATE screenings SET heartbeat_at = now()"
    f" WHERE state = 'running' AND heartbeat_at {_AHEAD.format(longest='0')}",
    "workers": f"UPDATE workers SET seen_at = now() WHERE seen_at {_AHEAD.format(longest='0')}",
    "jobs": "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'"
    " AND scheduled_at > now() + make_interval(secs => %(slack)s"
    " + CASE WHEN task_name = %(fetch)s THEN %(fetch_pause)s ELSE %(pause)s END)",
    "webhook_deliveries": "UPDATE webhook_deliveries SET next_at = now()"
    f" WHERE state = 'pending' AND next_at {_TRIED_AHEAD}",
    "result_jobs": "UPDATE result_jobs SET next_at = now()"
    f" WHERE state IN ('pending', 'made') AND next_at {_TRIED_AHEAD}",
    "commitments": "UPDATE commitments SET next_at = now()"
    f" WHERE told_at IS NULL AND next_at {_TRIED_AHEAD}",
}


async def bring_back(connection: Connection) -> dict[str, int]:
    """Look once, in the caller's transaction; give how many of each kind were brought back.

    A study's quiet time begins anew; a silent worker's heartbeat is that of now, so that it is
    missed from now on; everything else is due.
    """
    values = {
        "slack": SLACK_SECONDS,
        "retry": LONGEST_RETRY_SECONDS,
        "pause": LONGEST_PAUSE_SECONDS,
        "fetch": FETCH,
        "fetch_pause": LONGEST_FETCH_PAUSE_SECONDS,
    }
    found = {}
    for kind, statement in _STATEMENTS.items():
        count = (await connection.execute(statement, values)).rowcount
        if count:
            found[kind] = count
    return found
