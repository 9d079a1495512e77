"""Hold a backup to its manifest, byte by byte."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gateway.backup import copying
from gateway.backup.manifest import HOME, OBJECTS, Listed, Manifest, check_file, read_list
from gateway.backup.place import Place
from gateway.exceptions import BackupError, DamagedBackupError

PROBLEMS_TOLD = 20
"""Of a disk that dies everything is wrong; the first ones are enough."""


@dataclass(slots=True)
class Verified:
    """What was found."""

    manifest: Manifest
    objects: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    """Sentences; empty for a whole backup."""


def verify(place: Place, name: str = "") -> Verified:
    """Read a backup through, of the newest without a name; blocks.

    Raises
    ------
    NoBackupError
        When there is none.
    DamagedBackupError
        When its manifest was changed, so that nothing can be held to it.
    """
    with place.lock(alone=False):
        manifest = place.read(name)
        found = Verified(manifest)
        folder = place.folder(manifest.name)
        for problem in _files(folder, manifest):
            found.problems.append(problem)
        if found.problems:
            return found

        def look(item: Listed) -> str:
            try:
                if copying.digest(place.objects, item.key, item.bytes) == item:
                    return ""
                return f"The object {item.key} was changed."
            except (BackupError, OSError) as error:
                return str(error)

        for problem in copying.each(look, read_list(folder / OBJECTS), threading.Event()):
            if problem and len(found.problems) < PROBLEMS_TOLD:
                found.problems.append(problem)
        found.objects, found.bytes = manifest.objects, manifest.object_bytes
    return found


def check_files(folder: Path, manifest: Manifest) -> None:
    """Hold everything but the objects to the manifest.

    Raises
    ------
    DamagedBackupError
        With the first problem.
    """
    for problem in _files(folder, manifest):
        raise DamagedBackupError(problem)


def _files(folder: Path, manifest: Manifest) -> Iterator[str]:
    for expected in manifest.files:
        if ".." in Path(expected.name).parts or Path(expected.name).is_absolute():
            yield f"{expected.name} leads out of the backup."
            continue
        try:
            check_file(folder, expected)
        except DamagedBackupError as error:
            yield str(error)
    there = {
        path.relative_to(folder).as_posix() for path in (folder / HOME).rglob("*") if path.is_file()
    }
    for name in sorted(there - {one.name for one in manifest.files}):
        yield f"{folder / name} is not in the manifest."
