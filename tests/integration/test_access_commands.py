"""``onescan keys``, ``tenants`` and ``audit`` as an operator types them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from gateway import cli
from gateway.runtime.home import Home
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.store.keys import digest

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Done:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[[str], Done]


@pytest.fixture
def run(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))

    def command(line: str) -> Done:
        capsys.readouterr()
        code = cli.main(line.split())
        return Done(code, *capsys.readouterr())

    return command


def test_a_partner_is_set_up(run: Run, database_url: str) -> None:
    """Tenant, key, rotation, revocation; the secret alone on stdout, and only once."""
    assert (
        run("tenants create clinic --requests-per-minute 600 --studies-per-day 50").returncode == 0
    )
    made = run("keys create pacs --tenant clinic --roles send,read --expires-days 30")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("osk_")
    assert secret not in made.stderr
    new = run("keys rotate pacs --tenant clinic --grace-hours 1").stdout.strip()
    listed = run("keys list --json")
    assert secret not in listed.stdout
    assert new not in listed.stdout
    rows = json.loads(listed.stdout)["keys"]
    assert [(row["name"], row["state"], row["roles"]) for row in rows] == [
        ("pacs", "in grace", ["send", "read"]),
        ("pacs", "valid", ["send", "read"]),
    ]
    shown = json.loads(run("tenants show clinic --json").stdout)
    assert shown["quotas"]["requests_per_minute"] == {"used": 0, "limit": 600}
    assert run("tenants change clinic --studies-per-day none").returncode == 0
    assert "no limit" in run("tenants show clinic").stdout
    assert run("keys revoke pacs --tenant clinic").returncode == 0
    with psycopg.connect(database_url) as connection:
        [(left,)] = connection.execute(
            "SELECT count(*) FROM api_keys WHERE revoked_at IS NULL AND key_hash = ANY(%s)",
            ([digest(secret), digest(new)],),
        ).fetchall()
    assert left == 0
    verified = run("audit verify")
    assert verified.returncode == 0, verified.stderr
    assert "6 lines, whole." in verified.stdout


MISTAKES = (
    ("keys create pacs --tenant nobody --roles read", "request.not_found"),
    ("keys create pacs --roles root", "usage"),
    ("keys create pacs --roles ,", "usage"),
    ("keys create a:b --roles read", "usage"),
    ("keys create pacs --roles read --expires-days -1", "usage"),
    ("keys rotate pacs", "request.not_found"),
    ("keys revoke pacs", "request.not_found"),
    ("tenants show nobody", "request.not_found"),
    ("tenants change nobody --bytes-per-day 5", "request.not_found"),
    ("tenants create clinic --bytes-per-day 0", "usage"),
    ("audit verify --head x", "usage"),
)


def test_mistakes_are_told_in_one_line(run: Run) -> None:
    """With their code and exit 2, and nothing on stdout."""
    for line, code in MISTAKES:
        done = run(line)
        assert (done.returncode, done.stdout) == (2, ""), line
        assert done.stderr.strip().endswith(f"[{code}]"), line
        assert len(done.stderr.strip().splitlines()) == 1, line


def test_a_database_that_cannot_be_used_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    """Away, or of another release."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    assert "onescan migrate" in run("keys list").stderr
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/none")
    assert run("keys list").returncode == 1


def test_a_log_that_was_changed_fails(run: Run, database_url: str) -> None:
    """Exit 1, and which line."""
    run("tenants create clinic")
    head = json.loads(run("audit verify --json").stdout)["head"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE audit SET actor = 'nobody'")
    done = run("audit verify")
    assert done.returncode == 1
    assert "the entry of line 1 was changed" in done.stderr
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_chain")
    assert run("audit verify").returncode == 0
    assert run(f"audit verify --head {head}").returncode == 1


def test_the_embedded_database_is_reached_down_and_up(
    short_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Started for the command where no server runs on the home; asked where one does."""
    monkeypatch.setenv("ONESCAN_HOME", str(short_home))
    assert cli.main(["keys", "create", "pacs", "--roles", "read"]) == 0
    assert capsys.readouterr().out.startswith("osk_")
    home = Home(short_home)
    with asyncio.Runner() as runner, home.lock():
        server = EmbeddedPostgres(home)
        runner.run(server.start())
        try:
            assert cli.main(["keys", "list", "--json"]) == 0
        finally:
            runner.run(server.stop())
    [row] = json.loads(capsys.readouterr().out)["keys"]
    assert (row["tenant"], row["name"]) == ("default", "pacs")
