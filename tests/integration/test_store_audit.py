"""The audit log is append-only, and its chain shows what was done to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest
import pytest_asyncio
import sqlalchemy
from alembic import command
from alembic.config import Config

from gateway.store import audit
from gateway.store.database import Database
from gateway.store.migrate import MIGRATIONS
from gateway.store.migrations.versions import r0008_access

pytestmark = pytest.mark.postgres

TEXTS = ("plain", "with:colon,comma", "中文 é", "", 'a"b\\c\n')


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=6) as opened:
        yield opened


async def write(database: Database, subjects: Sequence[str] = TEXTS) -> None:
    for subject in subjects:
        async with database.connection() as connection:
            await audit.record(
                connection, "clinic", "test", "thing.done", subject, {"b": 1.50, "a": [subject]}
            )


async def tamper(database: Database, *statements: str) -> None:
    """Do what only somebody can who switches the database's triggers off."""
    async with database.connection() as connection:
        await connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)  # type: ignore[arg-type]


async def verified(database: Database, known: audit.Head | None = None) -> audit.Verified:
    async with database.connection() as connection:
        return await audit.verify(connection, known)


async def test_a_whole_log_verifies(database: Database) -> None:
    """Whatever its fields hold; the digests in Python are those of the database."""
    assert (await verified(database)).head == audit.Head()
    await write(database)
    found = await verified(database)
    assert found.problems == []
    assert found.head.line == len(TEXTS)
    async with database.connection() as connection:
        assert await audit.head(connection) == found.head
    assert audit.Head.parse(str(found.head)) == found.head


CHANGES = (
    "UPDATE audit SET actor = 'other'",
    "UPDATE audit SET actor = 'other' WHERE false",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "UPDATE audit_chain SET hash = prev_hash",
    "DELETE FROM audit_chain",
    "TRUNCATE audit_chain",
)


async def test_the_log_is_append_only(database: Database) -> None:
    """Even for the owner of the tables."""
    await write(database, ["x"])
    for statement in CHANGES:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
            async with database.connection() as connection:
                await connection.execute(statement)  # type: ignore[arg-type]
    assert (await verified(database)).problems == []


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["UPDATE audit SET actor = 'other' WHERE audit_id = 2"], "entry of line 2 was changed"),
        (["UPDATE audit SET at = at + '1us' WHERE audit_id = 3"], "entry of line 3 was changed"),
        (["UPDATE audit SET detail = '{}' WHERE audit_id = 1"], "entry of line 1 was changed"),
        (["DELETE FROM audit WHERE audit_id = 4"], "entry of line 4 was removed"),
        (
            [
                "DELETE FROM audit WHERE audit_id IN (2, 3)",
                "DELETE FROM audit_chain WHERE line IN (2, 3)",
            ],
            "line 2 to 3 was removed",
        ),
        (
            ["INSERT INTO audit (tenant, actor, action, subject) VALUES ('c', 'x', 'y', 'z')"],
            "entry 6 was inserted past the chain",
        ),
        (  # rewritten with a digest that fits, which the next line's does not
            [
                "UPDATE audit SET actor = 'other' WHERE audit_id = 2",
                "UPDATE audit_chain c SET hash = audit_digest(prev_hash, a) FROM audit a"
                " WHERE a.audit_id = 2 AND c.audit_id = 2",
            ],
            "line 3 does not follow the one before it",
        ),
        (  # a function that calls every line whole convinces nobody
            [
                "CREATE OR REPLACE FUNCTION audit_digest(prev bytea, entry audit) RETURNS bytea"
                " LANGUAGE sql STABLE AS $$ SELECT hash FROM audit_chain c"
                " WHERE c.audit_id = entry.audit_id $$",
                "UPDATE audit SET actor = 'other' WHERE audit_id = 5",
            ],
            "entry of line 5 was changed",
        ),
    ],
)
async def test_what_was_done_to_it_is_found(
    database: Database, statements: list[str], problem: str
) -> None:
    """Changed, removed and inserted lines, by whoever can switch triggers off."""
    await write(database)
    await tamper(database, *statements)
    found = await verified(database)
    assert problem in " / ".join(found.problems)


async def test_a_head_noted_earlier_shows_that_the_end_was_cut_off(database: Database) -> None:
    """And that the whole log was rewritten; a later log still holds it."""
    await write(database)
    noted = (await verified(database)).head
    await write(database, ["later"])
    assert (await verified(database, noted)).problems == []
    await tamper(
        database,
        "DELETE FROM audit WHERE audit_id >= 4",
        "DELETE FROM audit_chain WHERE line >= 4",
    )
    assert (await verified(database)).problems == []
    assert "line 5 was noted" in (await verified(database, noted)).problems[0]
    await write(database, ["x", "y", "z"])
    assert "not the one that was noted" in (await verified(database, noted)).problems[0]


async def test_lines_of_many_transactions_make_one_chain(database: Database) -> None:
    """Committed in any order; one that is rolled back leaves no gap."""

    async def one(number: int) -> None:
        async with database.connection() as connection:
            await audit.record(connection, "clinic", "test", "thing.done", str(number))
            await asyncio.sleep(0.001 * (number % 5))
            if number % 7 == 0:
                raise psycopg.Rollback

    async def tried(number: int) -> None:
        try:
            await one(number)
        except psycopg.Rollback:
            assert number % 7 == 0

    await asyncio.gather(*(tried(number) for number in range(35)))
    found = await verified(database)
    assert found.problems == []
    assert found.head.line == 30


async def test_the_lock_is_held_for_the_commit_alone(database: Database) -> None:
    """A long transaction that has written its line holds back nobody else's."""
    async with database.connection() as slow:
        await audit.record(slow, "clinic", "test", "thing.done", "slow")
        async with asyncio.timeout(5):
            await write(database, ["quick"])
    assert (await verified(database)).head.line == 2


def test_lines_of_an_older_release_are_chained_by_the_migration(database_url: str) -> None:
    """In the order in which they were written."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP TABLE audit_chain")
        connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        for text in TEXTS:
            connection.execute(
                "INSERT INTO audit (tenant, actor, action, subject) VALUES ('c', 'x', 'y', %s)",
                (text,),
            )
        connection.execute("DROP FUNCTION audit_seal CASCADE")
        connection.execute("DROP FUNCTION audit_refuse CASCADE")
        connection.execute("DROP FUNCTION audit_digest CASCADE")
        for sql in (r0008_access.CHAIN, r0008_access.FILL, r0008_access.GUARD):
            connection.execute(sql)  # type: ignore[arg-type]

    async def check() -> audit.Verified:
        async with Database(database_url, size=1) as database:
            return await verified(database)

    found = asyncio.run(check())
    assert found.problems == []
    assert found.head.line == len(TEXTS)


def test_the_migration_goes_back_and_forth(database_url: str) -> None:
    """Keys without a list of roles had all of them, and keep them."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(database_url)
    )
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        command.downgrade(config, r0008_access.down_revision)
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO tenants VALUES ('t'); INSERT INTO api_keys (tenant, name, key_hash)"
                " VALUES ('t', 'k', sha256('k'))"
            )
        )
        command.upgrade(config, "head")
        found = connection.execute(sqlalchemy.text("SELECT scopes FROM api_keys"))
        assert found.scalar_one() == ["send", "read", "review", "operate", "admin"]
    engine.dispose()
