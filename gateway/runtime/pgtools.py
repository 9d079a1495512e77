"""PostgreSQL's client programs: which ones fit a server, and how they are run.

A password goes to them by the environment, never by the command line, which everybody can read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from gateway.exceptions import BackupError, BackupToolsError, RuntimeFailure
from gateway.runtime.pginstall import wheel_install

PROGRAMS = ("pg_dump", "pg_restore", "psql")

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps every version beside the others."""

TRANSACTION_TIMEOUT = b"SET transaction_timeout = 0;\n"
"""pg_restore of 17 and later begins with it, whatever the server."""

KNOWS_TRANSACTION_TIMEOUT = 17
"""First server that takes it."""

HEAD_LINES = 100
"""The settings stand before everything else."""

QUICKLY = "-c synchronous_commit=off"
"""A commit that waits, as every later one does, makes all of these durable too."""

WORDS = 300
"""Characters of a program's last words."""


@dataclass(frozen=True, slots=True)
class ClientTools:
    """The programs of one version."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """Of the version, such as 18."""
        return int(self.version.split(".")[0])


def client_tools(at_least: int) -> ClientTools:
    """Choose the programs nearest to a major version: the wheel's, or those that are installed.

    Parameters
    ----------
    at_least : int
        Of the server that is dumped, or of the programs that wrote a dump. Older programs refuse
        a newer server; the nearest write what the most servers can read.

    Raises
    ------
    BackupToolsError
        When all are older.
    """
    found = [tools for folder in _folders() if (tools := _tools(folder)) is not None]
    fitting = [tools for tools in found if tools.major >= at_least]
    if not fitting:
        have = ", ".join(sorted({str(tools.major) for tools in found})) or "none"
        raise BackupToolsError(
            f"pg_dump, pg_restore and psql of PostgreSQL {at_least} or later are needed, on PATH;"
            f" found here: {have}."
        )
    return min(fitting, key=lambda tools: tools.major)


def dump(tools: ClientTools, url: str, file: Path, options: Sequence[str]) -> None:
    """Write a database into a file of pg_dump's custom format, durably; blocks.

    Raises
    ------
    BackupError
        With pg_dump's last words.
    """
    where, environ = _connection(url)
    command = [
        str(tools.folder / "pg_dump"), "--format=custom", "--no-password", "--no-owner",
        "--no-privileges", "--no-comments", "--no-publications", "--no-subscriptions",
        f"--file={file}", f"--dbname={where}", *options,
    ]  # fmt: skip
    with tempfile.TemporaryFile() as said:
        status = subprocess.run(
            command, env=environ, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        ).returncode
        if status:
            raise BackupError(f"pg_dump failed: {_words(said)}")


def restore(tools: ClientTools, url: str, file: Path) -> None:
    """Write a dump into a database that is empty; blocks. A failure leaves a part of it there.

    Raises
    ------
    BackupError
        With the last words of pg_restore or psql, without a row's values.
    """
    where, environ = _connection(url)
    environ["PGOPTIONS"] = f"{environ.get('PGOPTIONS', '')} {QUICKLY}".strip()
    read = [str(tools.folder / "pg_restore"), "--no-owner", "--no-privileges", "--file=-"]
    write = [
        str(tools.folder / "psql"), "--no-psqlrc", "--quiet", "--no-password",
        "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse", f"--dbname={where}",
    ]  # fmt: skip
    with psycopg.connect(url) as connection:
        old = connection.info.server_version < KNOWS_TRANSACTION_TIMEOUT * 10_000
    with tempfile.TemporaryFile() as read_said, tempfile.TemporaryFile() as write_said:
        reader = subprocess.Popen(
            [*read, str(file)], env=environ, stdout=subprocess.PIPE, stderr=read_said
        )
        writer = subprocess.Popen(
            write, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=write_said
        )
        assert reader.stdout is not None
        assert writer.stdin is not None
        try:
            with reader.stdout as script, writer.stdin as statements:
                _pass_on(script, statements, to_old_server=old)
        except BrokenPipeError:
            pass  # psql has ended, and says why
        except BaseException:
            reader.kill()
            writer.kill()
            raise
        finally:
            statuses = writer.wait(), reader.wait()
        if statuses[0]:
            raise BackupError(f"psql failed: {_words(write_said)}")
        if statuses[1]:
            raise BackupError(f"pg_restore failed: {_words(read_said)}")


def _pass_on(script: IO[bytes], statements: IO[bytes], *, to_old_server: bool) -> None:
    """Hand pg_restore's statements to psql, but for one that older servers do not know."""
    for _ in range(HEAD_LINES if to_old_server else 0):
        line = script.readline()
        if line == TRANSACTION_TIMEOUT:
            break
        statements.write(line)
    shutil.copyfileobj(script, statements, 1024**2)


def _folders() -> list[Path]:
    folders = []
    with suppress(RuntimeFailure):
        folders.append(wheel_install() / "bin")
    on_path = shutil.which(PROGRAMS[0])
    if on_path:
        folders.append(Path(on_path).parent)
    folders += [version / "bin" for version in sorted(DEBIAN.glob("[0-9]*"))]
    return folders


def _tools(folder: Path) -> ClientTools | None:
    """Ask programs for their version; None where one is missing or does not run."""
    try:
        said = {
            subprocess.run(
                [folder / name, "--version"], capture_output=True, text=True, check=True
            ).stdout.split()[2]
            for name in PROGRAMS
        }
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None
    return ClientTools(folder, said.pop()) if len(said) == 1 else None


def _connection(url: str) -> tuple[str, dict[str, str]]:
    """Give a connection string without its password, and an environment that has it."""
    parameters = conninfo_to_dict(url)
    environ = {**os.environ, "LC_ALL": "C"}
    if password := parameters.pop("password", None):
        environ["PGPASSWORD"] = str(password)
    return make_conninfo("", **parameters), environ


def _words(said: IO[bytes]) -> str:
    """Give the lines that name an error; others may repeat a row."""
    said.seek(0)
    lines = said.read().decode(errors="replace").splitlines()
    errors = [line for line in lines if "error:" in line or "ERROR:" in line or "FATAL:" in line]
    return " ".join(errors or lines[-1:])[-WORDS:]
