"""Put a check into a repository: all of it or nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from gateway.exceptions import NetworkRefusedError

STAGING = ".bring-"
"""Beginning of a folder that nothing is served from; it is gone when the command ends."""


@contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """Give a folder on the repository's file system."""
    if not repository.is_dir():
        raise NetworkRefusedError(
            f"{repository} is no folder; begin with a copy of the repository that came with this"
            " package."
        )
    try:
        folder = Path(mkdtemp(prefix=STAGING, dir=repository))
    except OSError as error:
        raise NetworkRefusedError(
            f"Nothing can be written into {repository}: {error.strerror}."
        ) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_free(repository: Path, *names: str) -> None:
    """Refuse to put anything over what is there.

    Raises
    ------
    NetworkRefusedError
        Naming it.
    """
    for name in names:
        if (repository / name).exists():
            raise NetworkRefusedError(
                f"{repository} has {name!r} already; remove it, or take another --name."
            )


def install(staged: Path, repository: Path, *names: str) -> None:
    """Move staged folders into the repository in order, the check itself last.

    A check is there when its pipeline.toml is, so a reader never sees one without its network;
    two that install the same name at once do not mix.
    """
    for path in sorted(staged.rglob("*")):
        _sync(path)
    moved: list[Path] = []
    try:
        for name in names:
            check_free(repository, name)
            (staged / name).rename(repository / name)
            moved.append(repository / name)
    except BaseException:
        for path in moved:
            shutil.rmtree(path, ignore_errors=True)
        raise
    _sync(repository)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
