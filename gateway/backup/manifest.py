"""What a backup says of itself, and the list of its objects; both tell when they were changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.exceptions import DamagedBackupError

FORMAT = 1
"""Of manifest and folders; a larger one is of a newer release."""

MANIFEST = "manifest.json"
DATABASE = "database.dump"
OBJECTS = "objects.sha256"
HOME = "home"
"""Names inside of one backup."""

CHUNK_BYTES = 8 * 1024**2
"""Read at once; more than a block of a bucket's cache, so it is passed by."""

_LINE = re.compile(r"([0-9a-f]{64})  (\d+)  (\S+)\n")


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file of the backup."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Listed:
    """An object: what the backup holds of it are its first bytes, which never change."""

    key: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that has to be known before a restore begins."""

    name: str
    point: str
    """Whatever was acknowledged before is in the backup; ISO 8601, by the database's clock."""

    made_at: str
    software: str
    revision: str
    """Of the database's schema."""

    server: str
    tools: str
    """Versions of PostgreSQL and of the programs that wrote the dump."""

    wal_lsn: str | None
    audit_head: str
    rows: Mapping[str, int]
    """Table → rows."""

    open_screenings: int
    objects: int
    object_bytes: int
    missing: tuple[str, ...] = ()
    """Keys that rows point at and that the store had lost before."""

    files: tuple[FileDigest, ...]
    """Dump, list of objects, and what came from the home."""

    settings: Mapping[str, str | None] = field(default_factory=dict)
    """Settings that were not their default; secrets by name only."""

    format: int = FORMAT

    def file(self, name: str) -> FileDigest:
        """Find a file by name."""
        for one in self.files:
            if one.name == name:
                return one
        raise DamagedBackupError(f"The manifest of {self.name} names no {name}.")

    def to_text(self) -> str:
        """Give the manifest as JSON with its own digest."""
        plain = asdict(self)
        return json.dumps({**plain, "digest": _digest(plain)}, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_text(cls, text: str, where: Path) -> Manifest:
        """Read what `to_text` gave.

        Raises
        ------
        DamagedBackupError
            When anything of it was changed.
        """
        try:
            plain = json.loads(text)
            digest = plain.pop("digest")
            if digest != _digest(plain):
                raise ValueError("its digest is another")
            if plain["format"] > FORMAT:
                raise ValueError(f"its format {plain['format']} is of a newer release")
            known = {item.name for item in fields(cls)}
            given: dict[str, Any] = {name: plain[name] for name in plain if name in known}
            given["files"] = tuple(FileDigest(**one) for one in plain["files"])
            given["missing"] = tuple(plain["missing"])
            return cls(**given)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedBackupError(f"The manifest {where} is damaged: {error}.") from None


def write_line(item: Listed) -> str:
    """Give an object's line in the list."""
    return f"{item.sha256}  {item.bytes}  {item.key}\n"


def read_list(file: Path, *, whole: bool = True) -> Iterator[Listed]:
    """Read a list of objects.

    Parameters
    ----------
    whole : bool
        Refuse a damaged line; a list that is still being written may end in one.

    Raises
    ------
    DamagedBackupError
        At a line that is none.
    """
    with file.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            found = _LINE.fullmatch(line)
            if found is None:
                if whole:
                    raise DamagedBackupError(f"Line {number} of {file} is damaged.")
                return
            yield Listed(found[3], int(found[2]), found[1])


def digest_of(chunks: Iterable[bytes]) -> str:
    """Give the SHA-256 of bytes in pieces."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def describe_file(folder: Path, name: str) -> FileDigest:
    """Give size and digest of a file below a folder."""
    with (folder / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(name, file.tell(), digest)


def check_file(folder: Path, expected: FileDigest) -> None:
    """Hold a file to what the manifest says of it.

    Raises
    ------
    DamagedBackupError
        When it is missing or was changed.
    """
    try:
        found = describe_file(folder, expected.name)
    except OSError:
        raise DamagedBackupError(f"{folder / expected.name} is missing.") from None
    if found != expected:
        raise DamagedBackupError(f"{folder / expected.name} is not what the manifest says.")


def _digest(plain: Mapping[str, Any]) -> str:
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
