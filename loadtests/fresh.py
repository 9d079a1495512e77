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

_PART = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()

_PREAMBLE = 128 + 4 + 12
"""Before the file meta information that its group length counts: preamble, prefix, that element."""


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
    data_sets : sequence of (str, int, int)
        Of each instance its SOP Instance UID, and where its data set begins and ends in the body.
    """

    name: str
    study_instance_uid: str
    instances: int
    body: bytes
    places: Mapping[str, Sequence[int]]
    data_sets: Sequence[tuple[str, int, int]] = ()

    @classmethod
    def read(cls, name: str, folder: Path) -> Template:
        """Read a folder of Part 10 files with UIDs below 2.25."""
        paths = sorted(folder.rglob("*.dcm"))
        parts: list[bytes] = []
        data_sets: list[tuple[str, int, int]] = []
        uids: set[str] = set()
        study, at = "", 0
        for path in paths:
            header = pydicom.dcmread(path, stop_before_pixels=True)
            study = str(header.StudyInstanceUID)
            uids |= {
                str(element.value)
                for element in header.iterall()
                if element.VR == "UI" and str(element.value).startswith(PREFIX)
            }
            part, data = _PART, path.read_bytes()
            parts += [part, data, b"\r\n"]
            begin = at + len(part) + _PREAMBLE + header.file_meta.FileMetaInformationGroupLength
            at += len(part) + len(data)
            data_sets.append((str(header.SOPInstanceUID), begin, at))
            at += 2
        body = b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
        places = {uid: _places(body, uid) for uid in uids}
        return cls(name, study, len(paths), body, places, data_sets)

    def fresh(self, rng: random.Random) -> tuple[str, bytes]:
        """Give a new Study Instance UID and the body of its study, of the same length."""
        new, body = self._renamed(rng)
        return new[self.study_instance_uid], body

    def fresh_data_sets(self, rng: random.Random) -> tuple[str, list[tuple[str, bytes]]]:
        """Give a new Study Instance UID, and SOP Instance UID and data set of each instance."""
        new, body = self._renamed(rng)
        data_sets = [(new.get(uid, uid), body[begin:end]) for uid, begin, end in self.data_sets]
        return new[self.study_instance_uid], data_sets

    def _renamed(self, rng: random.Random) -> tuple[dict[str, str], bytes]:
        """Give UID → new UID, and the body with the new ones."""
        new = {uid: _other(uid, rng) for uid in sorted(self.places)}
        body = bytearray(self.body)
        for uid, places in self.places.items():
            for place in places:
                body[place : place + len(uid)] = new[uid].encode()
        return new, bytes(body)


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
