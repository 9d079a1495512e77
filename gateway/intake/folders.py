"""Read what a command line names: folders, files, zips."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from gateway.exceptions import (
    DifferentPixelsError,
    MissingUidError,
    NoInputError,
    NotDicomError,
    OneScanError,
)
from gateway.instance import Instance
from gateway.intake import archives
from gateway.intake.header import read_header
from gateway.intake.resend import same_pixels
from gateway.settings import IntakeSettings
from gateway.store.revisions import same_geometry
from gateway.store.segment import read_range

MEDIA_DIRECTORY = b"1.2.840.10008.1.3.10"
"""Media Storage Directory, the SOP class of a DICOMDIR."""


class PathObjects:
    """Plain files read as objects: the key is the path."""

    def path(self, key: str) -> Path:
        """Give the file."""
        return Path(key)

    def open(self, key: str) -> int:
        """Open a file for reading and give the file descriptor, which the caller closes."""
        return os.open(key, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range of a file; shorter than `length` only at its end."""
        return read_range(self.open(key), offset, length)


@dataclass
class Collected:
    """What was found; a context, since what was unpacked is removed at its end."""

    instances: list[Instance] = field(default_factory=list)
    """Each once; `object_key` is the file's path."""

    refused: list[tuple[str, OneScanError]] = field(default_factory=list)
    """Name of each file that is no instance, and why."""

    objects: PathObjects = field(default_factory=PathObjects)
    """Reads the pixels."""

    folders: list[Path] = field(default_factory=list, repr=False)
    """Temporary ones, removed by `close`."""

    def close(self) -> None:
        """Remove what was unpacked."""
        for folder in self.folders:
            archives.remove(folder)

    def __enter__(self) -> Collected:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def collect(paths: Sequence[Path], *, settings: IntakeSettings) -> Collected:
    """Read the headers of every DICOM file below some paths.

    Folders are walked (links to folders are not followed), zips are unpacked into a temporary
    folder, DICOMDIR files are passed over. Close the result, or use it as a context.

    Raises
    ------
    NoInputError
        When a path does not exist or cannot be read.
    UnsafeArchiveError, ArchiveTooLargeError, EncryptedArchiveError, InvalidArchiveError
        When a zip cannot be unpacked; nothing is left of it.
    """
    collected = Collected()
    try:
        for name, file in _files(paths, collected, settings):
            _add(collected, name, file)
    except BaseException:
        collected.close()
        raise
    collected.instances = _once(collected)
    return collected


def _files(
    paths: Iterable[Path], collected: Collected, settings: IntakeSettings
) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if not path.exists():
            raise NoInputError(f"There is no file or folder {path}.")
        for file in _walk(path) if path.is_dir() else [path]:
            if not file.is_file():  # a socket, a device, a dangling link
                continue
            try:
                packed = archives.is_zip(file)
            except OSError as error:
                raise NoInputError(f"{file} cannot be read: {error.strerror}.") from None
            if packed:
                folder = Path(tempfile.mkdtemp(prefix="onescan-zip-"))
                collected.folders.append(folder)
                yield from archives.unpack(file, folder, settings=settings)
            else:
                yield str(file), file


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield Path(parent, name)


def _add(collected: Collected, name: str, file: Path) -> None:
    try:
        collected.instances.append(read_header(file, object_key=str(file)))
    except MissingUidError as error:
        if not _is_media_directory(file):
            collected.refused.append((name, error))
    except OneScanError as error:
        collected.refused.append((name, error))
    except OSError as error:
        collected.refused.append((name, NotDicomError(f"It cannot be read: {error.strerror}.")))


def _is_media_directory(file: Path) -> bool:
    with file.open("rb") as opened:
        return MEDIA_DIRECTORY in opened.read(512)[132:]


def _once(collected: Collected) -> list[Instance]:
    """Give each instance once; a second one of that UID with other pixels is refused."""
    known: dict[tuple[str, str], Instance] = {}
    for instance in collected.instances:
        first = known.setdefault((instance.study_instance_uid, instance.sop_instance_uid), instance)
        if first is not instance and not (
            first.series_instance_uid == instance.series_instance_uid
            and same_geometry(first, instance)
            and same_pixels(collected.objects, first, instance)
        ):
            collected.refused.append((instance.object_key, DifferentPixelsError()))
    return list(known.values())
