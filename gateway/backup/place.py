"""The folder that holds backups: one set of objects that all share, and a folder for each backup.

::

    DEST/
      lock                              held while somebody is at work
      objects/YYYY/MM/DD/<uuid>.seg     as in the store; never changed but for growing
      backups/<name>/                   manifest.json, database.dump, objects.sha256, home/
      backups/<name>.partial/           on its way, or given up; counts for nothing
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from gateway.backup.manifest import MANIFEST, Listed, Manifest, read_list
from gateway.backup.manifest import OBJECTS as LIST
from gateway.exceptions import BackupBusyError, BackupError, NoBackupError, UsageError
from gateway.store.objects import FolderObjects
from gateway.store.segment import fsync_folder, full_disk_named, make_root

BACKUPS = "backups"
OBJECTS = "objects"
PARTIAL = ".partial"
DONE = "done.sha256"
"""In a partial backup: objects that have arrived, in the order of their arrival."""

NOTHING = frozenset({"lost+found"})
"""What an empty disk has."""


class Place:
    """A folder of backups.

    Parameters
    ----------
    root : Path
        What the command names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.backups = self.root / BACKUPS

    @cached_property
    def objects(self) -> FolderObjects:
        """The objects of all backups."""
        return FolderObjects(self.root / OBJECTS)

    def make(self) -> None:
        """Make the folder, or take one that was made before.

        Raises
        ------
        UsageError
            When it holds something else.
        """
        if self.root.exists() and not self.backups.is_dir():
            if not self.root.is_dir():
                raise UsageError(f"{self.root} is no folder.")
            if other := sorted({path.name for path in self.root.iterdir()} - NOTHING):
                raise UsageError(
                    f"{self.root} holds {other[0]!r} and no backups; give an empty folder."
                )
        try:
            make_root(self.root)
            make_root(self.backups)
        except OSError as error:
            raise BackupError(f"{self.root} cannot be made: {error.strerror}.") from None

    @contextmanager
    def lock(self, *, alone: bool) -> Iterator[None]:
        """Keep others out: one writes, or several read.

        Raises
        ------
        BackupBusyError
            When somebody is there already.
        """
        flags = (os.O_RDWR | os.O_CREAT) if alone else os.O_RDONLY
        try:
            fd = os.open(self.root / "lock", flags | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            raise NoBackupError(f"{self.root} holds no backups.") from None
        except PermissionError:
            raise BackupError(f"{self.root} may not be opened by this user.") from None
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise BackupBusyError(f"Another process is at work in {self.root}.") from None
        finally:
            os.close(fd)

    def names(self) -> list[str]:
        """List complete backups, oldest first."""
        if not self.backups.is_dir():
            return []
        return sorted(
            path.name
            for path in self.backups.iterdir()
            if not path.name.endswith(PARTIAL) and (path / MANIFEST).is_file()
        )

    def folder(self, name: str) -> Path:
        """Give the folder of a backup."""
        return self.backups / name

    def read(self, name: str = "") -> Manifest:
        """Read the manifest of a backup; of the newest without a name.

        Raises
        ------
        NoBackupError
            When there is none.
        DamagedBackupError
            When it was changed.
        """
        names = self.names()
        if not names or (name and name not in names):
            raise NoBackupError(f"{self.root} holds no complete backup {name}".rstrip() + ".")
        file = self.folder(name or names[-1]) / MANIFEST
        return Manifest.from_text(file.read_text(encoding="utf-8", errors="replace"), file)

    def partials(self) -> list[Path]:
        """List what was given up."""
        return [path for path in self.backups.iterdir() if path.name.endswith(PARTIAL)]

    def begin(self) -> Path:
        """Begin a backup; it counts once `finish` has given it its name."""
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"[:-3] + "Z"  # they sort by age
        folder = self.backups / f"{name}{PARTIAL}"
        folder.mkdir(mode=0o700)
        return folder

    def finish(self, folder: Path, manifest: Manifest) -> None:
        """Write the manifest and give the backup its name: from now on it counts."""
        write_durably(folder / MANIFEST, manifest.to_text().encode())
        (folder / DONE).unlink(missing_ok=True)
        fsync_folder(folder)
        folder.rename(self.folder(manifest.name))
        fsync_folder(self.backups)

    def known(self) -> dict[str, Listed]:
        """Give the objects that arrived in earlier runs, those that were broken off among them."""
        found: dict[str, Listed] = {}
        names = self.names()
        lists = [self.folder(names[-1]) / LIST] if names else []
        for file in (*lists, *(folder / DONE for folder in self.partials())):
            with suppress(FileNotFoundError):
                for item in read_list(file, whole=False):
                    if item.key not in found or found[item.key].bytes < item.bytes:
                        found[item.key] = item
        return found

    def size(self, key: str) -> int:
        """Give the length of an object's file; -1 where there is none."""
        try:
            return self.objects.path(key).stat().st_size
        except FileNotFoundError:
            return -1

    def prune(self, keep: int) -> tuple[int, int]:
        """Remove all but the newest backups, and objects that none of these has.

        Returns
        -------
        tuple of int
            Backups and objects removed.
        """
        names = self.names()
        doomed = names[:-keep]
        used = {item.key for name in names[-keep:] for item in read_list(self.folder(name) / LIST)}
        for name in doomed:
            gone = self.backups / f"{name}{PARTIAL}"
            self.folder(name).rename(gone)  # at once, so that no half of one counts
            shutil.rmtree(gone)
        objects = self.objects
        unused = [key for key, _ in objects.list() if key not in used]
        for key in unused:
            objects.delete(key)
        return len(doomed), len(unused)


def write_durably(file: Path, data: bytes) -> None:
    """Write a file of our own eyes only, whole or not at all."""
    draft = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    with full_disk_named():
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)
        fsync_folder(file.parent)
