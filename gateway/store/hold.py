"""Nothing is deleted while a backup copies: deleters ask, and whoever copies holds a lock.

A backup's database is of one moment and its objects are copied after that moment, so an object
may have lost its last row meanwhile. The lock belongs to a session: it goes with its holder.
"""

from __future__ import annotations

from gateway.store.database import Connection

LOCK = 0x6261_636B_7570
"""Advisory lock that backups share and that deleters take alone ("backup")."""


async def may_delete(connection: Connection) -> bool:
    """Ask before objects or partitions are deleted, in the transaction that does it.

    False while a backup copies or another process deletes: whoever asks comes back later. Where
    it is true no backup begins before the transaction ends.
    """
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s) AS held", (LOCK,))
    row = await cursor.fetchone()
    return row is not None and bool(row["held"])


async def hold(connection: Connection) -> None:
    """Let nothing be deleted for as long as this connection lives; waits for a deleter's end."""
    await connection.execute("SELECT pg_advisory_lock_shared(%s)", (LOCK,))


async def holds(connection: Connection) -> bool:
    """Tell whether the connection still holds; raises psycopg.Error when it is gone."""
    cursor = await connection.execute(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        " AND granted AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = %s) AS held",
        (LOCK,),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row["held"])
