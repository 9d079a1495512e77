"""The real PostgreSQL from its wheel, as our child."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from gateway.exceptions import RuntimeFailure
from gateway.runtime.home import Home, discard
from gateway.runtime.pginstall import wheel_install
from gateway.runtime.postgres import EmbeddedPostgres
from gateway.runtime.processes import working_in
from gateway.runtime.supervisor import Supervisor

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(60)]


@pytest.fixture
def parent() -> Iterator[Path]:
    """A folder that nobody else can enter, as /root is."""
    path = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    yield path
    for home in path.iterdir():
        discard(home)
    shutil.rmtree(path)


@pytest.fixture
async def supervisor(parent: Path) -> AsyncIterator[Supervisor]:
    home = Home(parent / "home")
    with home.lock():
        made = Supervisor(home)
        yield made
        await made.stop()


async def test_it_keeps_data_over_restarts_and_leaves_nothing(parent: Path) -> None:
    """Stop ends every process and shared segment; the next start finds the rows."""
    home = Home(parent / "home")
    modes = [path.stat().st_mode for path in (parent, *parent.parents)]
    with home.lock():
        server = EmbeddedPostgres(home)
        url = await server.start()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS n")
        owners = {server.data.stat().st_uid}
        pids = [one.pid for one in working_in(server.data, owners)]
        shared = {path for pid in pids for path in shared_segments(pid)}
        await server.stop()
        assert pids
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert shared
        assert not any(Path(path).exists() for path in shared)

        again = EmbeddedPostgres(home)
        with psycopg.connect(await again.start()) as connection:
            assert connection.execute("SELECT n FROM t").fetchone() == (42,)
        await again.stop()
    assert [path.stat().st_mode for path in (parent, *parent.parents)] == modes


async def test_it_is_durable_and_reached_by_socket_and_password_only(
    supervisor: Supervisor,
) -> None:
    """Nothing listens on TCP; a wrong or no password is refused."""
    url = await EmbeddedPostgres(supervisor.home, supervisor).start()
    with psycopg.connect(url) as connection:
        shown = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("listen_addresses", "fsync", "full_page_writes", "password_encryption")
        ]
        assert shown == [("",), ("on",), ("on",), ("scram-sha-256",)]
        parameters = connection.info.get_parameters()
    assert psutil.Process(supervisor.pid("postgres")).net_connections("inet") == []
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(**(parameters | {"password": "wrong"}))
    assert Path(parameters["host"]).stat().st_mode & 0o077 == 0


async def test_it_comes_back_after_kill_nine(supervisor: Supervisor) -> None:
    """The supervisor starts a killed server again and committed rows are there."""
    url = await EmbeddedPostgres(supervisor.home, supervisor).start()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS n")
    os.kill(supervisor.pid("postgres"), signal.SIGKILL)
    for _ in range(200):
        await asyncio.sleep(0.05)
        try:
            with psycopg.connect(url) as connection:
                assert connection.execute("SELECT n FROM t").fetchone() == (42,)
        except psycopg.OperationalError:
            continue
        break
    assert supervisor.restarts["postgres"] == 1


async def test_another_major_version_is_refused(supervisor: Supervisor) -> None:
    """The sentence names both versions and how to dump and restore."""
    server = EmbeddedPostgres(supervisor.home, supervisor)
    await server.start()
    await supervisor.stop()
    (server.data / "PG_VERSION").write_text("16\n")
    with pytest.raises(RuntimeFailure, match=r"PostgreSQL 16 .* PostgreSQL 18.*pg_dumpall.*psql"):
        await EmbeddedPostgres(supervisor.home, Supervisor(supervisor.home)).start()


async def test_a_half_made_cluster_is_made_again(supervisor: Supervisor) -> None:
    """A kill in the middle of initdb does not spoil the home."""
    server = EmbeddedPostgres(supervisor.home, supervisor)
    server._locate()
    (server.data.parent / "data.new").mkdir()
    (server.data.parent / "data.new" / "PG_VERSION").write_text("18")
    with psycopg.connect(await server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's database lies outside the home")
async def test_a_copy_of_a_home_does_not_share_its_database(parent: Path) -> None:
    """A copied home is refused, a moved one goes on with its rows."""
    home = Home(parent / "home")
    server = EmbeddedPostgres(home)
    with psycopg.connect(await server.start()) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS n")
    await server.stop()
    shutil.copytree(home.path, parent / "copy", ignore=shutil.ignore_patterns("sockets"))
    with pytest.raises(RuntimeFailure, match="is a copy of"):
        await EmbeddedPostgres(Home(parent / "copy")).start()
    shutil.rmtree(home.path)
    moved = EmbeddedPostgres(Home(parent / "copy"))
    with psycopg.connect(await moved.start()) as connection:
        assert connection.execute("SELECT n FROM t").fetchone() == (42,)
    await moved.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
async def test_as_root_it_runs_as_somebody_else(supervisor: Supervisor) -> None:
    """PostgreSQL has neither root's identity nor a way into the home."""
    await EmbeddedPostgres(supervisor.home, supervisor).start()
    process = psutil.Process(supervisor.pid("postgres"))
    assert 0 not in process.uids()
    assert 0 not in process.gids()
    groups = Path(f"/proc/{process.pid}/status").read_text().split("Groups:")[1].split("\n")[0]
    assert groups.strip() == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user")
async def test_as_root_it_runs_from_a_wheel_that_nobody_else_can_reach(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    """The programs are copied to where PostgreSQL's user gets; the folder stays closed."""
    closed = tmp_path / "closed"
    wheel = wheel_install()
    shutil.copytree(wheel, closed / wheel.parent.name / wheel.name)
    libraries = f"{wheel.parent.name}.libs"
    shutil.copytree(wheel.parent.parent / libraries, closed / libraries)
    closed.chmod(0o700)
    install = closed / wheel.parent.name / wheel.name
    server = EmbeddedPostgres(supervisor.home, supervisor, install=install)
    with psycopg.connect(await server.start()) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    program = Path(f"/proc/{supervisor.pid('postgres')}/exe").readlink()
    assert closed not in program.parents
    assert closed.stat().st_mode & 0o777 == 0o700


def shared_segments(pid: int) -> set[str]:
    """Return what a process maps of /dev/shm; nothing of one that has just ended."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {line.split()[-1] for line in maps.splitlines() if "/dev/shm/" in line}
