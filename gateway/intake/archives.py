"""Unpack a zip that nobody vouches for."""

from __future__ import annotations

import lzma
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath

from gateway.exceptions import (
    ArchiveTooLargeError,
    EncryptedArchiveError,
    InvalidArchiveError,
    UnsafeArchiveError,
)
from gateway.settings import IntakeSettings
from gateway.store.segment import full_disk_named

CHUNK_BYTES = 1024**2
"""Unpacked at a time."""

SMALL_BYTES = 1024**2
"""A member that unpacks to less may have any ratio: a blank slice compresses by 900."""

DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged zip raises."""

ENCRYPTED = 0x1
"""General purpose bit 0, APPNOTE 4.4.4."""


def is_zip(file: Path) -> bool:
    """Tell whether a file begins as a zip does."""
    with file.open("rb") as opened:
        return opened.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(archive: Path, folder: Path, *, settings: IntakeSettings) -> list[tuple[str, Path]]:
    """Unpack a zip into a folder, its members numbered, never named by the archive.

    Parameters
    ----------
    archive : Path
        The zip.
    folder : Path
        Exists and is empty.
    settings : IntakeSettings
        What one archive may hold.

    Returns
    -------
    list of (str, Path)
        Each member's name in the archive, and its file.

    Raises
    ------
    UnsafeArchiveError
        For a member with an absolute path, one that climbs out, or a link.
    ArchiveTooLargeError
        For too many members, bytes, or too high a ratio; counted while unpacking, not believed.
    EncryptedArchiveError, InvalidArchiveError
        For what cannot be unpacked.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if len(members) > settings.max_archive_members:
                raise ArchiveTooLargeError(
                    f"{archive.name} has more than {settings.max_archive_members} members."
                )
            for member in opened.infolist():
                _check(archive, member)
            out: list[tuple[str, Path]] = []
            left = settings.max_archive_bytes
            for number, member in enumerate(members):
                file = folder / f"{number:06d}"
                left -= _unpack_member(opened, member, file, left, settings)
                out.append((f"{archive.name}:{member.filename}", file))
            return out
    except DAMAGED as error:
        raise InvalidArchiveError(f"{archive.name} cannot be unpacked: {error}.") from error


def _check(archive: Path, member: zipfile.ZipInfo) -> None:
    # The name as the archive has it; zipfile cuts it at a NUL and turns backslashes around.
    name = member.orig_filename.replace("\\", "/")
    windows = PureWindowsPath(name)
    if (
        PurePosixPath(name).is_absolute()
        or windows.drive
        or ".." in PurePosixPath(name).parts
        or "\0" in name
    ):
        raise UnsafeArchiveError(f"{archive.name}: {name!r} would leave the folder.")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchiveError(f"{archive.name}: {name!r} is a link or a device.")
    if member.flag_bits & ENCRYPTED:
        raise EncryptedArchiveError


def _unpack_member(
    opened: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    file: Path,
    left: int,
    settings: IntakeSettings,
) -> int:
    """Unpack one member and give its bytes; `left` may still be unpacked."""
    ratio = max(SMALL_BYTES, int(settings.max_archive_ratio * member.compress_size))
    limit = min(left, ratio)
    size = 0
    with full_disk_named(), opened.open(member) as packed, file.open("xb") as unpacked:
        while chunk := packed.read(CHUNK_BYTES):
            size += len(chunk)
            if size > limit:
                raise ArchiveTooLargeError(f"{member.filename} unpacks to more than {limit} bytes.")
            unpacked.write(chunk)
    return size


def remove(folder: Path) -> None:
    """Remove what was unpacked."""
    shutil.rmtree(folder, ignore_errors=True)
