"""What a log line may hold."""

from __future__ import annotations

import io
import logging

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from gateway.log import Scrubber, configure_logging

SCRUB = Scrubber(b"k")


@pytest.mark.parametrize(
    "uid",
    ["1.2.840.10008.5.1.4.1.1.2", "2.25.329800735698586629295641978511506172918", "1.3.6.1.4"],
)
def test_uids_become_hashes(uid: str) -> None:
    """Wherever they stand."""
    for text in (uid, f"study {uid}.", f'"{uid}"', f"/studies/{uid}/x", f"({uid},1)", f"f_{uid}x"):
        scrubbed = SCRUB.value(text)
        assert uid not in scrubbed
        assert SCRUB.uid(uid) in scrubbed


@pytest.mark.parametrize(
    "text", ["127.0.0.1:8042", "triton 2.51.0", "0.297 s", "onescan.api.started"]
)
def test_other_numbers_stay(text: str) -> None:
    """Addresses, versions and figures are no UIDs."""
    assert SCRUB.value(text) == text


def test_hashes_depend_on_the_key() -> None:
    """Another deployment's hashes cannot be compared."""
    assert SCRUB.uid("1.2.3.4.5") == Scrubber(b"k").uid("1.2.3.4.5")
    assert SCRUB.uid("1.2.3.4.5") != Scrubber(b"other").uid("1.2.3.4.5")


def test_values_of_rows_are_cut_off() -> None:
    """PostgreSQL repeats them in its DETAIL."""
    text = "duplicate key\nDETAIL:  Key (name)=(Doe^Jane) already exists.\nnext"
    assert SCRUB.value(text) == "duplicate key\nnext"


def test_every_depth_is_scrubbed() -> None:
    """Lists, dictionaries, keys and objects."""
    value = {
        "1.2.3.4.5": ["1.2.3.4.5", {"x": ("1.2.3.4.5", 7, None, True)}, ValueError("1.2.3.4.5")]
    }
    scrubbed = SCRUB.value(value)
    assert "1.2.3.4.5" not in str(scrubbed)
    assert "7" in str(scrubbed)


def test_a_request_that_cannot_be_parsed_is_not_repeated() -> None:
    """The exception holds a part of it, which may be that of a key."""
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("api", b"k", stream=stream)
        for error in (BadHttpMessage("Bearer osk_secret"), ValueError("another")):
            try:
                raise error
            except Exception:
                logging.getLogger("aiohttp.server").exception("Error handling request")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    assert "osk_secret" not in stream.getvalue()
    assert "another" in stream.getvalue()
