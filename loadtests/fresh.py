"""Studies that no server has seen: a phantom's files with other UIDs, rewritten in the bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom

BOUNDARY = "onescan-load"

CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'

PREFIX = "2.25."
"""UIDs made from a UUID; their digits may be any of the same number."""


@dataclass(frozen=True)
class Template:
    """A study as a STOW body, and where its UIDs stand.

    Attributes
    ----------
    name : str
    study_instance_uid : str
    instances : int
    body : bytes
    places : mapping
        UID → offsets in the body.
    """

    name: str
    study_instance_uid: str
    instances: int
    body: bytes
    places: Mapping[str, Sequence[int]]

    @classmethod
    def read(cls, name: str, folder: Path) -> Template:
        """Read a folder of Part 10 files with UIDs below 2.25."""
        paths = sorted(folder.rglob("*.dcm"))
        parts: list[bytes] = []
        uids: set[str] = set()
        study = ""
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            study = str(header.StudyInstanceUID)
            uids |= {
                str(element.value)
                for element in header.iterall()
                if element.VR == "UI" and str(element.value).startswith(PREFIX)
            }
            parts.append(f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode())
            parts += [path.read_bytes(), b"\r\n"]
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        return cls(name, study, len(paths), body, {uid: _places(body, uid) for uid in uids})

    def fresh(self, rng: random.Random) -> tuple[str, bytes]:
        """Give a new Study Instance UID and the body of its study, of the same length."""
        body = bytearray(self.body)
        study = ""
        for uid, places in sorted(self.places.items()):
            new = _other(uid, rng)
            if uid == self.study_instance_uid:
                study = new
            for place in places:
                body[place : place + len(uid)] = new.encode()
        return study, bytes(body)


def _places(body: bytes, uid: str) -> list[int]:
    """Find a UID; one that begins another stands nowhere by itself, as digits follow it."""
    found = []
    at = body.find(uid.encode())
    while at >= 0:
        if not body[at + len(uid) : at + len(uid) + 1].isdigit():
            found.append(at)
        at = body.find(uid.encode(), at + 1)
    return found


def _other(uid: str, rng: random.Random) -> str:
    """Make a UID of the same length."""
    digits = len(uid) - len(PREFIX)
    return PREFIX + str(rng.randrange(10 ** (digits - 1), 10**digits))
