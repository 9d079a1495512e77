"""The record of a signed review: its bytes, and the digest over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from gateway.exceptions import DamagedReviewError


def seal(record: Mapping[str, Any]) -> tuple[str, bytes]:
    """Give the text that is kept, and its SHA-256."""
    text = json.dumps(
        record, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text, hashlib.sha256(text.encode()).digest()


def unseal(text: str, digest: bytes) -> dict[str, Any]:
    """Read a record.

    Raises
    ------
    DamagedReviewError
        When the text is not the one that the digest was computed over.
    """
    if hashlib.sha256(text.encode()).digest() != digest:
        raise DamagedReviewError()
    record: dict[str, Any] = json.loads(text)
    return record


def digest_of(content: Mapping[str, Any]) -> str:
    """Give a digest of a draft's content, for the audit log, which holds no text of it."""
    return seal(content)[1].hex()
