"""How limits are told, and which paths a browser is sent to."""

from __future__ import annotations

import pytest

from gateway.api.limits import Limit
from gateway.api.sign_in import LANDING, _local


def test_limits_are_told_as_the_draft_says() -> None:
    """Items of structured fields, never below zero, whole seconds rounded up."""
    requests = Limit("requests", 600, 60, 599, 41.2)
    assert (requests.policy, requests.left) == ('"requests";q=600;w=60', '"requests";r=599;t=42')
    volume = Limit("bytes", 10**9, 86400, -5, 0.0, "content-bytes")
    assert volume.policy == '"bytes";q=1000000000;qu="content-bytes";w=86400'
    assert volume.left == '"bytes";r=0;t=0'


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "",
        "ui",
        "/a\r\nSet-Cookie: x=y",
        "/a b",
        "/" + "x" * 2000,
    ],
)
def test_nobody_is_sent_to_another_site(path: str) -> None:
    """After signing in a browser stays here."""
    assert _local(path) == LANDING


def test_a_path_of_this_site_is_kept() -> None:
    """With its query."""
    assert _local("/ui/worklist?state=positive") == "/ui/worklist?state=positive"
