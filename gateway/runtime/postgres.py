"""The embedded PostgreSQL: the wheel's own binaries, run as our child.

Passwords by scram-sha-256, a Unix socket in a private folder, nothing on TCP. PostgreSQL refuses
to run as root; then it runs as an unprivileged system user (`gateway.runtime.pginstall`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg

from gateway.exceptions import RuntimeFailure
from gateway.runtime.home import Home, secret
from gateway.runtime.pginstall import (
    FOREIGN_ROOT,
    MAJOR_VERSION,
    copied_install,
    passable,
    reachable,
    unprivileged_account,
    wheel_install,
)
from gateway.runtime.processes import kill_and_wait, working_in
from gateway.runtime.supervisor import Child, Supervisor, program

OPTIONS = {
    "listen_addresses": "",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "shared_buffers": "128MB",
    "max_connections": "60",
    "password_encryption": "scram-sha-256",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    # Parameters of a failed statement may hold patient data.
    "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
"""Everything else is PostgreSQL's default."""

RECOVERY_SECONDS = 600.0
"""For crash recovery, which must not be killed for taking long: it would begin anew."""

USER = "onescan"
DATABASE = "onescan"
PORT = 5432
"""Only part of the socket's name."""


class EmbeddedPostgres:
    """One PostgreSQL server on one home.

    Parameters
    ----------
    home : Home
        Its lock must be held.
    supervisor : Supervisor, optional
        Keeps it up; one of its own otherwise.
    install : Path, optional
        PostgreSQL's ``bin``, ``lib`` and ``share``; the wheel's by default.
    """

    def __init__(
        self, home: Home, supervisor: Supervisor | None = None, *, install: Path | None = None
    ) -> None:
        self.home = home
        self._given_install = install
        self._own = Supervisor(home) if supervisor is None else None
        self._supervisor = supervisor or self._own
        self._install = Path()
        self._base = Path()
        self._sockets = Path()
        self._user = (-1, -1)

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self._base / "data"

    @property
    def url(self) -> str:
        """``postgresql://`` URL with the password in it."""
        return self._url(DATABASE)

    async def start(self) -> str:
        """Make the database cluster where there is none, start it, and give its URL.

        Raises
        ------
        RuntimeFailure
            When the data directory is of another major version, or the server does not start.
        """
        self._locate()
        if not self.data.exists():
            self._initdb()
        self._refuse_other_version()
        supervisor = self._supervisor
        assert supervisor is not None
        options = {**OPTIONS, "unix_socket_directories": str(self._sockets), "port": str(PORT)}
        await supervisor.start(
            Child(
                name="postgres",
                command=[
                    program(self._install / "bin" / "postgres"),
                    "-D",
                    str(self.data),
                    *(word for k, v in options.items() for word in ("-c", f"{k}={v}")),
                ],
                environ={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                ready=self._ready,
                start_timeout_seconds=RECOVERY_SECONDS,
                stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client
                stop_timeout_seconds=20.0,
                death_signal=signal.SIGQUIT,  # immediate shutdown, its children with it
                user=self._user,
                before_start=self._kill_leftovers,
            )
        )
        await self._create_database()
        return self.url

    async def running(self) -> str:
        """Give the URL of the server that another process runs on this home; empty without one."""
        self._locate()
        return self.url if await self._ready() else ""

    async def stop(self) -> None:
        """Stop the server when it has no supervisor but its own."""
        if self._own is not None:
            await self._own.stop()

    # --- where ------------------------------------------------------------------------

    def _locate(self) -> None:
        self._install = self._given_install or wheel_install()
        if os.geteuid() != 0:
            self._base, self._sockets = self.home.postgres, self.home.sockets
            return
        account = unprivileged_account()
        self._user = (account.pw_uid, account.pw_gid)
        if not reachable(self._install / "bin" / "postgres", *self._user):
            self._install = copied_install(self._install)
        self._base = self._foreign_base()
        self._sockets = self._base / "run"
        for folder in (self._base, self._sockets):
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, *self._user)
            folder.chmod(0o700)

    def _foreign_base(self) -> Path:
        """Give the folder under /var/lib/onescan that belongs to this home.

        The home holds a pointer to it and it names the home, so that a home may move,
        but a copy of a home does not share its original's database.
        """
        pointer = self.home.postgres / "at"
        if not pointer.exists():
            pointer.write_text(str(FOREIGN_ROOT / secrets.token_hex(8)))
        base = Path(pointer.read_text())
        passable(FOREIGN_ROOT)
        named = base.with_suffix(".home")
        if named.exists() and (other := Path(named.read_text())) != self.home.path:
            theirs = other / "postgres" / "at"
            if theirs.exists() and theirs.read_text() == str(base):
                raise RuntimeFailure(
                    f"{self.home.path} is a copy of {other} and its database is at {base}; "
                    f"remove {pointer} to begin with an empty database."
                )
        named.write_text(str(self.home.path))
        return base

    # --- first start ----------------------------------------------------------------------

    def _initdb(self) -> None:
        """Make the cluster beside its place, then move it there, so that none is half-made."""
        new = self._base / "data.new"
        shutil.rmtree(new, ignore_errors=True)
        password = self._base / "password.new"
        password.touch(mode=0o600)
        password.write_text(secret(self.home.postgres / "password"))
        os.chown(password, *self._user)
        uid, gid = self._user
        try:
            subprocess.run(
                [
                    program(self._install / "bin" / "initdb"),
                    f"--pgdata={new}",
                    f"--username={USER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                    "--no-instructions",
                ],
                check=True,
                capture_output=True,
                cwd=self._base,
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                user=uid if uid >= 0 else None,
                group=gid if uid >= 0 else None,
                extra_groups=[] if uid >= 0 else None,
            )
        except subprocess.CalledProcessError as error:
            words = error.stderr.decode(errors="replace").strip()
            raise RuntimeFailure(f"initdb failed: {words[-300:]}") from error
        finally:
            password.unlink(missing_ok=True)
        new.rename(self.data)

    def _refuse_other_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(MAJOR_VERSION):
            raise RuntimeFailure(
                f"The data directory {self.data} is of PostgreSQL {found} and this OneScan carries "
                f"PostgreSQL {MAJOR_VERSION}. Dump it with the OneScan that wrote it "
                f"(pg_dumpall -h {self._sockets} -U {USER} > onescan.sql), move the directory "
                f"away, start this one once and restore "
                f"(psql -h {self._sockets} -U {USER} -f onescan.sql postgres)."
            )

    async def _create_database(self) -> None:
        connection = await psycopg.AsyncConnection.connect(self._url("postgres"), autocommit=True)
        async with connection:
            found = await connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)
            )
            if await found.fetchone() is None:
                await connection.execute(f"CREATE DATABASE {DATABASE}")

    # --- running ----------------------------------------------------------------------

    async def _ready(self) -> bool:
        if not (self._sockets / f".s.PGSQL.{PORT}").exists():
            return False
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._url("postgres"), connect_timeout=5
            )
        except psycopg.OperationalError as error:
            if "password" in str(error):
                raise RuntimeFailure(
                    f"PostgreSQL refuses the password in {self.home.postgres / 'password'}."
                ) from error
            return False
        await connection.close()
        return True

    def _kill_leftovers(self) -> None:
        """Kill what an earlier server left working in the data directory."""
        uid = self._user[0] if self._user[0] >= 0 else os.geteuid()
        kill_and_wait(working_in(self.data.resolve(), {uid}))

    def _url(self, database: str) -> str:
        password = quote(secret(self.home.postgres / "password"), safe="")
        host = quote(str(self._sockets), safe="")
        return f"postgresql://{USER}:{password}@/{database}?host={host}&port={PORT}"
