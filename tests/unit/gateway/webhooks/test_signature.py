"""Signatures, held to the example of Standard Webhooks."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway.webhooks.deliverer import LAST_DELAY_SECONDS, pause
from gateway.webhooks.signature import PREFIX, derive, headers, shown

ID = UUID(int=7)


def test_the_example_of_the_standard() -> None:
    """Secret, message and signature that the specification's libraries are tested with."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = headers([secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed["webhook-timestamp"] == "1614265330"


def test_the_documentation_verifies_what_is_sent() -> None:
    """Its lines, as they stand; neither an old call, another body nor another secret passes."""
    text = (Path(__file__).parents[4] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    verify, now = names["verify"], int(time.time())
    secret, other = (derive("key", "a", UUID(int=number)) for number in (1, 2))
    signed = headers([other, secret], "id", now, b"{}")
    assert verify(shown(secret), signed, b"{}")
    assert verify(shown(other), signed, b"{}")
    assert not verify(shown(secret), signed, b"{ }")
    assert not verify(shown(secret), headers([other], "id", now, b"{}"), b"{}")
    assert not verify(shown(secret), headers([secret], "id", now - 301, b"{}"), b"{}")


def test_every_valid_secret_signs() -> None:
    """So that a receiver may change to the new one when it likes."""
    signed = headers([b"new", b"old"], "id", 1, b"{}")["webhook-signature"].split(" ")
    assert len(set(signed)) == 2
    assert all(one.startswith("v1,") for one in signed)


def test_secrets_differ_by_key_tenant_and_row() -> None:
    """And are the same in every process that shares the key."""
    one = derive("key", "a", ID)
    assert one == derive("key", "a", ID)
    others = {derive("kez", "a", ID), derive("key", "b", ID), derive("key", "a", UUID(int=8))}
    assert len(others | {one}) == 4
    assert base64.b64decode(shown(one).removeprefix(PREFIX)) == one


def test_pauses_double_to_an_hour() -> None:
    """Give or take a quarter, and never overflowing."""
    for attempts, expected in ((1, 10.0), (2, 20.0), (5, 160.0), (20, LAST_DELAY_SECONDS)):
        for _ in range(20):
            assert 0.75 * expected <= pause(attempts, 10.0) <= 1.25 * expected
    assert pause(10_000, 10.0) <= 1.25 * LAST_DELAY_SECONDS
