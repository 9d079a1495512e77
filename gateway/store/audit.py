"""The audit log: lines that are only ever added, each chained to the one before.

The database chains a line when its transaction commits. `verify` reads lines and chain back and
computes the digests anew, in Python, so it believes no function of the database.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg.types.json import Jsonb

from gateway.store.database import Connection

GENESIS = hashlib.sha256(b"onescan audit").digest()
"""Before the first line."""

PAGE = 5000
"""Lines that `verify` holds at once."""

PROBLEMS_TOLD = 20
"""Of a log that was rewritten every line is wrong; the first ones are enough."""


@dataclass(frozen=True, slots=True)
class Head:
    """The newest line of the chain; kept elsewhere, it shows that the end was cut off."""

    line: int = 0
    hash: bytes = GENESIS

    def __str__(self) -> str:
        return f"{self.line}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what `str` gave; raises ValueError."""
        line, _, digest = text.strip().partition(":")
        head = cls(int(line), bytes.fromhex(digest))
        if head.line < 0 or len(head.hash) != len(GENESIS):
            raise ValueError("a head is LINE:SHA256")
        return head


@dataclass(slots=True)
class Verified:
    """What `verify` found."""

    head: Head = Head()
    problems: list[str] = field(default_factory=list)
    """Sentences; empty for a whole log."""


async def record(
    connection: Connection,
    tenant: str,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a line in the caller's transaction: it is there if and only if that commits.

    Parameters
    ----------
    tenant : str
        Whose data it is about.
    actor : str
        Who did it: ``key:<name>``, ``oidc:<subject>``, ``cli:<user>`` or a part of the server.
    action : str
        ``<noun>.<verb in the past>``.
    subject : str
        What it was done to.
    detail : mapping, optional
        Plain values; never a secret, never a patient's name.
    """
    await connection.execute(
        "INSERT INTO audit (tenant, actor, action, subject, detail) VALUES (%s, %s, %s, %s, %s)",
        (tenant, actor, action, subject, Jsonb(dict(detail or {}))),
    )


async def head(connection: Connection) -> Head:
    """Give the newest line."""
    cursor = await connection.execute(
        "SELECT line, hash FROM audit_chain ORDER BY line DESC LIMIT 1"
    )
    row = await cursor.fetchone()
    return Head(row["line"], bytes(row["hash"])) if row else Head()


def digest(prev: bytes, fields: Sequence[str]) -> bytes:
    """Chain a line: every field with its length before it, so that none runs into the next."""
    text = ",".join(f"{len(value.encode())}:{value}" for value in fields)
    return hashlib.sha256(prev + text.encode()).digest()


async def verify(connection: Connection, known: Head | None = None) -> Verified:
    """Find lines that were changed, removed or inserted, in one snapshot.

    Parameters
    ----------
    connection : Connection
        Outside of a transaction.
    known : Head, optional
        A head that was noted earlier; without it nobody can tell that the newest lines were
        removed together with their chain.
    """
    await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    found = Verified()
    line, prev = 0, GENESIS
    while rows := await _page(connection, line):
        for row in rows:
            for problem in _problems(row, line + 1, prev):
                if len(found.problems) < PROBLEMS_TOLD:
                    found.problems.append(problem)
            line, prev = row["line"], bytes(row["hash"])
            if known is not None and known.line == line and known.hash != prev:
                found.problems.append(f"line {line} is not the one that was noted")
    found.head = Head(line, prev)
    if known is not None and known.line > line:
        found.problems.append(f"the log ends at line {line}; line {known.line} was noted")
    cursor = await connection.execute(
        "SELECT audit_id FROM audit WHERE NOT EXISTS"
        " (SELECT 1 FROM audit_chain c WHERE c.audit_id = audit.audit_id)"
        " ORDER BY audit_id LIMIT %s",
        (PROBLEMS_TOLD,),
    )
    for row in await cursor.fetchall():
        found.problems.append(f"entry {row['audit_id']} was inserted past the chain")
    return found


async def _page(connection: Connection, after: int) -> list[dict[str, Any]]:
    cursor = await connection.execute(
        """
        SELECT c.line, c.audit_id AS chained_id, c.prev_hash, c.hash, a.audit_id, a.tenant,
            to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') AS at,
            a.actor, a.action, a.subject, a.detail::text AS detail
        FROM audit_chain c LEFT JOIN audit a USING (audit_id)
        WHERE c.line > %s ORDER BY c.line LIMIT %s
        """,
        (after, PAGE),
    )
    return await cursor.fetchall()


def _problems(row: Mapping[str, Any], line: int, prev: bytes) -> list[str]:
    found = []
    if row["line"] != line:
        missing = "" if row["line"] == line + 1 else f" to {row['line'] - 1}"
        found.append(f"line {line}{missing} was removed")
    elif bytes(row["prev_hash"]) != prev:
        found.append(f"line {line} does not follow the one before it")
    if row["audit_id"] is None:
        found.append(f"the entry of line {row['line']} was removed")
        return found
    fields = (
        str(row["audit_id"]),
        *(row[name] for name in ("tenant", "at", "actor", "action", "subject", "detail")),
    )
    if digest(bytes(row["prev_hash"]), fields) != bytes(row["hash"]):
        found.append(f"the entry of line {row['line']} was changed")
    return found
