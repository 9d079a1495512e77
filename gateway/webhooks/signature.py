"""Signatures of webhooks, in the form of Standard Webhooks (symmetric, ``v1``).

A receiver checks them with any library of that scheme, or in ten lines (docs/webhooks.md)::

    webhook-id: 1b6d…            the delivery; the same in every attempt and replay
    webhook-timestamp: 17637…    seconds since 1970 of this attempt
    webhook-signature: v1,BASE64 v1,BASE64    one for each secret that is valid

Each is HMAC-SHA256 over ``id.timestamp.body`` with the bytes after ``whsec_``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterable, Mapping
from uuid import UUID

PREFIX = "whsec_"
"""Of a secret as its owner sees it."""

TOLERANCE_SECONDS = 300
"""An older one may be sent again by somebody else."""


def derive(master: str, tenant: str, secret_id: UUID) -> bytes:
    """Derive a secret: nothing of it has to be kept, and a copy of the database tells nothing."""
    said = b"onescan webhook\0" + secret_id.bytes + tenant.encode()
    return hmac.new(master.encode(), said, hashlib.sha256).digest()


def digest(secret: bytes) -> bytes:
    """Give the digest by which a derived secret is recognised."""
    return hashlib.sha256(secret).digest()


def shown(secret: bytes) -> str:
    """Write a secret as its owner is given it."""
    return PREFIX + base64.b64encode(secret).decode()


def headers(
    secrets: Iterable[bytes], delivery_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """Give the headers of a signed delivery."""
    said = f"{delivery_id}.{timestamp}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.new(secret, said, hashlib.sha256).digest()).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def read_secret(text: str) -> bytes:
    """Read a secret as its owner was shown it.

    Raises
    ------
    ValueError
        When it is none.
    """
    if not text.startswith(PREFIX):
        raise ValueError(f"it does not begin with {PREFIX}")
    return base64.b64decode(text.removeprefix(PREFIX), validate=True)


def verify(secret: bytes, given: Mapping[str, str], body: bytes) -> bool:
    """Tell whether one of the signatures in the headers is by the secret, and fresh."""
    delivery_id, stamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > TOLERANCE_SECONDS:
        return False
    expected = headers([secret], delivery_id, int(stamp), body)["webhook-signature"]
    said = given.get("webhook-signature", "").split(" ")
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in said)
