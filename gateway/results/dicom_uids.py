"""UIDs of what we make: the same for the same screening, another for any other.

They are UUIDs made of a digest (PS3.5, B.2), so nothing counts them and no site can meet
another's. Tenant, study, version and the screening itself all go into it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from uuid import UUID

ROOT = "2.25."


def derived_uid(*words: object) -> str:
    """Give the UID of some words; neither their order nor where one ends can be mistaken."""
    digest = hashlib.sha256(b"onescan result")
    for word in words:
        said = str(word).encode()
        digest.update(len(said).to_bytes(4, "big") + said)
    raw = bytearray(digest.digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80  # RFC 9562: version 8, made as its maker likes
    raw[8] = raw[8] & 0x3F | 0x80
    return f"{ROOT}{UUID(bytes=bytes(raw)).int}"


class ResultUids:
    """Gives the UIDs of the objects of one screening.

    Parameters
    ----------
    tenant : str
        Whose it is.
    result : mapping
        Its reference form.
    """

    def __init__(self, tenant: str, result: Mapping[str, Any]) -> None:
        self._words = (
            tenant,
            result["study"]["study_instance_uid"],
            result["version"],
            result["screening_id"],
        )

    def of(self, *words: object) -> str:
        """Give the UID of something of this screening."""
        return derived_uid(*self._words, *words)

    def tracking(self, check: str, lesion_id: int) -> str:
        """Give the tracking UID of a lesion, the same in every form."""
        return self.of("tracking", check, lesion_id)
