"""Keys, tenants, sessions and counters on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
import pytest_asyncio

from gateway.exceptions import ConflictError, NotFoundError, UsageError
from gateway.principal import ROLES, Quotas
from gateway.store import keys, sessions, tenants, usage
from gateway.store.database import Connection, Database

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=4) as opened:
        async with opened.connection() as connection:
            for tenant in ("clinic", "other"):
                await tenants.create_tenant(connection, tenant, Quotas(), actor="test")
        yield opened


@pytest_asyncio.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as lent:
        yield lent


async def test_a_key_is_made_found_and_revoked(connection: Connection) -> None:
    """With its tenant and roles; its secret is in no row."""
    made = await keys.create_key(connection, "clinic", "pacs", ["read", "send"], actor="test")
    assert made.secret.startswith("osk_")
    assert len(made.secret) == 47
    found = await keys.lookup(connection, made.secret)
    assert found is not None
    assert (found.tenant, found.name, found.key_id) == ("clinic", "pacs", made.key_id)
    assert found.roles == {"send", "read"}
    cursor = await connection.execute("SELECT api_keys::text AS row FROM api_keys")
    [row] = await cursor.fetchall()
    assert made.secret not in row["row"]
    assert await keys.revoke_key(connection, "clinic", "pacs", actor="test") == 1
    assert await keys.lookup(connection, made.secret) is None
    with pytest.raises(NotFoundError):
        await keys.revoke_key(connection, "clinic", "pacs", actor="test")


@pytest.mark.parametrize(
    ("tenant", "name", "roles", "error"),
    [
        ("nobody", "k", ["read"], NotFoundError),
        ("clinic", "a:b", ["read"], UsageError),
        ("clinic", "", ["read"], UsageError),
        ("clinic", "k", [], UsageError),
        ("clinic", "k", ["root"], UsageError),
        ("clinic", "taken", ["read"], ConflictError),
    ],
)
async def test_a_key_that_cannot_be_made(
    connection: Connection, tenant: str, name: str, roles: list[str], error: type[Exception]
) -> None:
    """Each is refused by its own error, and no row is made."""
    await keys.create_key(connection, "clinic", "taken", ["read"], actor="test")
    with pytest.raises(error):
        await keys.create_key(connection, tenant, name, roles, actor="test")
    assert len(await keys.list_keys(connection)) == 1


async def test_the_database_refuses_a_key_without_a_known_role(connection: Connection) -> None:
    """Whoever writes the row: no list of roles means all of them."""
    for roles in ("{}", "{root}"):
        with pytest.raises(psycopg.errors.CheckViolation):
            async with connection.transaction():
                await connection.execute(
                    "INSERT INTO api_keys (tenant, name, key_hash, scopes)"
                    " VALUES ('clinic', 'k', sha256('k'), %s::text[])",
                    (roles,),
                )


async def test_rotation_keeps_the_old_secret_for_its_grace(connection: Connection) -> None:
    """Both work, then the old one ends; a second rotation does not lengthen the first grace."""
    old = await keys.create_key(
        connection, "clinic", "pacs", ["send"], actor="test", expires_days=30
    )
    new = await keys.rotate_key(connection, "clinic", "pacs", actor="test", grace_hours=1)
    for secret in (old.secret, new.secret):
        found = await keys.lookup(connection, secret)
        assert found is not None
        assert found.roles == {"send"}
    newest = await keys.rotate_key(connection, "clinic", "pacs", actor="test", grace_hours=48)
    rows = {row["key_id"]: row for row in await keys.list_keys(connection, "clinic")}
    assert [rows[k.key_id]["state"] for k in (old, new, newest)] == ["in grace"] * 2 + ["valid"]
    assert rows[old.key_id]["expires_at"] < rows[new.key_id]["expires_at"]
    assert rows[new.key_id]["expires_at"] < rows[newest.key_id]["expires_at"]
    await connection.execute(
        "UPDATE api_keys SET expires_at = now() WHERE key_id = %s", (old.key_id,)
    )
    assert await keys.lookup(connection, old.secret) is None
    assert await keys.revoke_key(connection, "clinic", "pacs", actor="test") == 2
    assert await keys.lookup(connection, newest.secret) is None


async def test_use_is_written_once_in_five_minutes(connection: Connection) -> None:
    """Not with every request."""
    made = await keys.create_key(connection, "clinic", "pacs", ["send"], actor="test")

    async def used() -> object:
        await keys.lookup(connection, made.secret)
        await connection.commit()
        [row] = await keys.list_keys(connection, "clinic")
        await connection.commit()
        return row["last_used_at"]

    first = await used()
    assert first is not None
    assert await used() == first
    await connection.execute("UPDATE api_keys SET last_used_at = now() - interval '6 minutes'")
    await connection.commit()
    assert await used() > first  # type: ignore[operator]


async def test_keys_of_one_name_are_made_once(database: Database) -> None:
    """By two at the same moment."""

    async def make() -> bool:
        async with database.connection() as connection:
            try:
                await keys.create_key(connection, "clinic", "pacs", ["send"], actor="test")
            except ConflictError:
                return False
            return True

    assert sorted(await asyncio.gather(*(make() for _ in range(4)))) == [False] * 3 + [True]


async def test_quotas_of_a_tenant(connection: Connection) -> None:
    """Made, changed one by one, lifted, and found with the key."""
    await tenants.create_tenant(connection, "small", Quotas(studies_per_day=5), actor="test")
    with pytest.raises(ConflictError):
        await tenants.create_tenant(connection, "small", Quotas(), actor="test")
    await tenants.change_quotas(connection, "small", {"bytes_per_day": 10}, actor="test")
    made = await keys.create_key(connection, "small", "k", ["read"], actor="test")
    found = await keys.lookup(connection, made.secret)
    assert found is not None
    assert found.quotas == Quotas(studies_per_day=5, bytes_per_day=10)
    await tenants.change_quotas(connection, "small", {"studies_per_day": None}, actor="test")
    assert await tenants.find_quotas(connection, "small") == Quotas(bytes_per_day=10)
    for bad in (0, -1, 2**63):
        with pytest.raises(UsageError):
            await tenants.change_quotas(connection, "small", {"bytes_per_day": bad}, actor="test")
    with pytest.raises(NotFoundError):
        await tenants.change_quotas(connection, "nobody", {"bytes_per_day": 1}, actor="test")
    named = {row["tenant"]: row["keys"] for row in await tenants.list_tenants(connection)}
    assert named == {"clinic": 0, "other": 0, "small": 1}


async def test_every_change_leaves_a_line(connection: Connection) -> None:
    """Who, what, when; never a secret."""
    made = await keys.create_key(connection, "clinic", "pacs", ["send"], actor="cli:ann")
    new = await keys.rotate_key(connection, "clinic", "pacs", actor="cli:ann")
    await keys.revoke_key(connection, "clinic", "pacs", actor="cli:bob")
    cursor = await connection.execute(
        "SELECT actor, action, audit::text AS line FROM audit WHERE tenant = 'clinic'"
        " ORDER BY audit_id"
    )
    rows = await cursor.fetchall()
    assert [(row["actor"], row["action"]) for row in rows] == [
        ("test", "tenant.created"),
        ("cli:ann", "key.created"),
        ("cli:ann", "key.rotated"),
        ("cli:bob", "key.revoked"),
        ("cli:bob", "key.revoked"),
    ]
    lines = " ".join(row["line"] for row in rows)
    assert made.secret not in lines
    assert new.secret not in lines


async def test_sessions_begin_and_end(connection: Connection) -> None:
    """Found by their secret alone, until they expire or are closed."""
    secret = await sessions.open_session(connection, "clinic", "oidc:7", ["read"], seconds=60)
    found = await sessions.find_session(connection, secret)
    assert found is not None
    assert (found.principal.tenant, found.principal.name) == ("clinic", "oidc:7")
    assert found.principal.roles == {"read"}
    assert await sessions.find_session(connection, secret + "x") is None
    cursor = await connection.execute("SELECT sessions::text AS row FROM sessions")
    [row] = await cursor.fetchall()
    assert secret not in row["row"]
    await sessions.close_session(connection, secret)
    assert await sessions.find_session(connection, secret) is None
    late = await sessions.open_session(connection, "clinic", "oidc:7", ["read"], seconds=-1)
    assert await sessions.find_session(connection, late) is None


async def test_a_link_works_once(database: Database) -> None:
    """Of two who use it at the same moment one gets in; a late one never does."""
    async with database.connection() as connection:
        token = await sessions.make_link(connection, "clinic")
        late = await sessions.make_link(connection, "clinic", seconds=-1)

    async def use(text: str) -> object:
        async with database.connection() as connection:
            return await sessions.use_link(connection, text)

    used = await asyncio.gather(*(use(token) for _ in range(3)))
    assert [found for found in used if found is not None] == [("clinic", list(ROLES))]
    assert await use(late) is None


async def test_requests_of_a_minute_are_leased_to_all_processes(database: Database) -> None:
    """However many ask at once, no more than the limit is given."""

    async def lease() -> int:
        async with usage.counting(database) as connection:
            return (await usage.lease_requests(connection, "clinic", 100, 7)).granted

    granted = await asyncio.gather(*(lease() for _ in range(30)))
    assert sum(granted) in (100, 200)  # 200 when the minute turned meanwhile
    async with usage.counting(database) as connection:
        other = await usage.lease_requests(connection, "other", 5, 7)
    assert (other.granted, other.used) == (5, 5)
    assert 0 < other.reset_seconds <= 60


async def test_a_limit_that_is_lowered_holds_from_then_on(connection: Connection) -> None:
    """Nothing more is given, and what was used stays counted."""
    assert (await usage.lease_requests(connection, "clinic", 100, 50)).granted == 50
    lowered = await usage.lease_requests(connection, "clinic", 10, 5)
    assert (lowered.granted, lowered.used) == (0, 50)


async def test_bytes_are_reserved_and_settled(connection: Connection) -> None:
    """A body fits or is refused whole; one of unknown size comes in while anything is left."""
    first = await usage.reserve_bytes(connection, "clinic", 100, 60)
    assert (first.granted, first.used) == (1, 60)
    refused = await usage.reserve_bytes(connection, "clinic", 100, 41)
    assert (refused.granted, refused.used) == (0, 60)
    assert (await usage.reserve_bytes(connection, "clinic", 100, 40)).granted == 1
    assert (await usage.reserve_bytes(connection, "clinic", 100, 0)).granted == 0
    await usage.settle_bytes(connection, "clinic", first.period, -60)
    assert (await usage.reserve_bytes(connection, "clinic", 100, 0)).granted == 1
    assert (await usage.use_of(connection, "clinic"))["bytes_per_day"] == 40
    assert (await usage.reserve_bytes(connection, "other", 100, 101)).granted == 0
    assert (await usage.use_of(connection, "other"))["bytes_per_day"] == 0
