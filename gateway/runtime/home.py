"""ONESCAN_HOME: where the embedded server keeps its state.

::

    home/                made 0700; an existing folder keeps its mode, ours below it are 0700
      key                API key of the default tenant, 0600
      postgres/          data directory, password; as root only a pointer to /var/lib/onescan
      triton/            backend directory
      objects/           DICOM segments
      logs/              <child>.log and <child>.log.1
      run/               lock, <child>.json (pid and start time), sockets/
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.exceptions import RuntimeFailure
from gateway.runtime.pginstall import foreign_base

SOCKET_NAME_BYTES = 32
"""Room kept for the longest socket name in the folder (``.s.PGSQL.5432.lock``, ``triton:8001``)."""

SOCKET_PATH_BYTES = 108
"""``sun_path`` of unix(7), terminating NUL included."""

FOLDERS = ("postgres", "triton", "objects", "logs", "run")


def home_digest(home: Path) -> str:
    """Name a home in twelve hexadecimal digits, for process markers and shared regions."""
    return hashlib.sha256(os.fsencode(home.expanduser().resolve())).hexdigest()[:12]


class Home:
    """The folders of one embedded server.

    Parameters
    ----------
    path : Path
        ``ONESCAN_HOME``; made when missing.

    Raises
    ------
    RuntimeFailure
        When the folder cannot be made, or one of ours below it belongs to somebody else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.digest = home_digest(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise RuntimeFailure(f"The home {self.path} cannot be made: {error}.") from error
        for name in FOLDERS:
            private_folder(self.path / name)

    @property
    def postgres(self) -> Path:
        """Data directory and password of the embedded PostgreSQL."""
        return self.path / "postgres"

    @property
    def triton(self) -> Path:
        """Backend directory of the embedded Triton."""
        return self.path / "triton"

    @property
    def logs(self) -> Path:
        """Log files of the children."""
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """Lock, pid records and sockets."""
        return self.path / "run"

    def record(self, name: str) -> Path:
        """Give the file that holds a child's pid and start time."""
        return self.run / f"{name}.json"

    @property
    def url(self) -> Path:
        """File that holds the api's address while it serves."""
        return self.run / "url"

    @property
    def sockets(self) -> Path:
        """Folder of Unix sockets, short enough for ``sun_path``.

        It is ``run/sockets``, or when the home's path is too long a private folder under
        ``XDG_RUNTIME_DIR`` or the temporary folder, remembered in ``run/sockets-at``.
        """
        usual = self.run / "sockets"
        if len(os.fsencode(usual)) + 1 + SOCKET_NAME_BYTES < SOCKET_PATH_BYTES:
            return private_folder(usual)
        pointer = self.run / "sockets-at"
        if pointer.exists():
            known = Path(pointer.read_text())
            if _is_private(known):
                return known
        base = os.environ.get("XDG_RUNTIME_DIR", "")
        if not os.path.isdir(base) or len(os.fsencode(base)) > 40:
            base = "/tmp"
        made = Path(tempfile.mkdtemp(prefix="onescan-", dir=base))
        pointer.write_text(str(made))
        return made

    def api_key(self) -> str:
        """Give the generated API key, made on first use."""
        return secret(self.path / "key")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home, so that two servers never share it.

        The kernel drops the lock with the process, however it dies, and children do not
        inherit it: who holds it may take everything marked with this home for orphaned.

        Raises
        ------
        RuntimeFailure
            When another server holds it.
        """
        with (self.run / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise RuntimeFailure(
                    f"Another OneScan server (pid {file.read().strip() or 'unknown'}) "
                    f"runs on {self.path}."
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield


def secret(path: Path) -> str:
    """Read a secret from its file, 0600, made on first use and never seen half-written."""
    if not path.exists():
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
        os.unlink(temporary)
    return path.read_text().strip()


def private_folder(path: Path) -> Path:
    """Make a folder that only this user can enter.

    Raises
    ------
    RuntimeFailure
        When something else is there, or it belongs to another user.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise RuntimeFailure(f"{path} is not a folder of this user.")
    if status.st_mode & 0o077:
        path.chmod(0o700)
    return path


def discard(home: Path) -> None:
    """Delete a throw-away home and what it points to elsewhere; no server may run on it."""
    pointer = home / "run" / "sockets-at"
    elsewhere = [Path(pointer.read_text())] if pointer.exists() else []
    elsewhere += [base for base in [foreign_base(home)] if base is not None]
    for folder in [*elsewhere, home]:
        shutil.rmtree(folder, ignore_errors=True)
        if folder != home:
            folder.with_suffix(".home").unlink(missing_ok=True)


def _is_private(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & 0o077
    )
