"""Where a request comes from, and what becomes of addresses that guess."""

from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.api import addresses
from gateway.api.addresses import (
    FAILURES,
    FAILURES_PER_SECOND,
    Failures,
    client_address,
    is_this_machine,
    read_networks,
)
from gateway.exceptions import TooManyFailuresError, UsageError


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def request(remote: str, *forwarded: str) -> object:
    class Transport:
        def get_extra_info(self, name: str, default: object = None) -> object:
            return (remote, 1) if name == "peername" else default

    from multidict import CIMultiDict

    headers = CIMultiDict([("X-Forwarded-For", item) for item in forwarded])
    return make_mocked_request("GET", "/", headers=headers, transport=Transport())


@pytest.mark.parametrize(
    ("trusted", "remote", "forwarded", "address"),
    [
        ("", "9.9.9.9", (), "9.9.9.9"),
        ("", "9.9.9.9", ("1.1.1.1",), "9.9.9.9"),
        ("9.9.9.9", "9.9.9.9", ("1.1.1.1",), "1.1.1.1"),
        ("9.9.9.9", "9.9.9.9", ("1.1.1.1, 2.2.2.2",), "2.2.2.2"),
        ("9.0.0.0/8", "9.9.9.9", ("1.1.1.1, 9.1.1.1",), "1.1.1.1"),
        ("9.0.0.0/8", "9.9.9.9", ("6.6.6.6", "1.1.1.1"), "1.1.1.1"),
        ("9.0.0.0/8", "9.9.9.9", (), "9.9.9.9"),
        ("9.0.0.0/8", "9.9.9.9", ("9.1.1.1",), "9.1.1.1"),
        ("::1", "::1", ("2001:db8::7",), "2001:db8::7"),
    ],
)
def test_only_a_trusted_proxy_is_believed(
    trusted: str, remote: str, forwarded: tuple[str, ...], address: str
) -> None:
    """And of its list only what proxies of ours have written."""
    found = client_address(request(remote, *forwarded), read_networks(trusted))  # type: ignore[arg-type]
    assert found == address


def test_networks_that_are_none_are_refused() -> None:
    """At the start, not with the first request."""
    with pytest.raises(UsageError, match="TRUSTED_PROXIES"):
        read_networks("10.0.0.0/8, somewhere")


def test_a_proxy_on_this_machine_is_not_this_machine() -> None:
    """Whoever it serves would be."""
    assert is_this_machine(request("127.0.0.1"))  # type: ignore[arg-type]
    assert is_this_machine(request("::1"))  # type: ignore[arg-type]
    assert not is_this_machine(request("127.0.0.1", "1.1.1.1"))  # type: ignore[arg-type]
    assert not is_this_machine(request("10.0.0.1"))  # type: ignore[arg-type]


def test_an_address_that_guesses_is_held_back_and_let_go() -> None:
    """After ten failures, until enough time went by; others are not touched."""
    clock = Clock()
    failures = Failures(now=clock)
    for number in range(FAILURES):
        failures.check("1.1.1.1", b"guess %d" % number)
        failures.failed("1.1.1.1", b"guess %d" % number)
    with pytest.raises(TooManyFailuresError) as refused:
        failures.check("1.1.1.1", b"another")
    failures.check("2.2.2.2", b"another")
    clock.seconds += refused.value.retry_after_seconds
    failures.check("1.1.1.1", b"another")
    clock.seconds += FAILURES / FAILURES_PER_SECOND
    for _ in range(FAILURES):
        failures.failed("1.1.1.1")
    with pytest.raises(TooManyFailuresError):
        failures.check("1.1.1.1", b"another")


def test_credentials_that_were_right_pass_beside_a_guessing_neighbour() -> None:
    """Until they are wrong themselves."""
    failures = Failures(now=Clock())
    failures.succeeded(b"right")
    for _ in range(2 * FAILURES):
        failures.failed("1.1.1.1")
    failures.check("1.1.1.1", b"right")
    failures.failed("1.1.1.1", b"right")
    with pytest.raises(TooManyFailuresError):
        failures.check("1.1.1.1", b"right")


def test_a_customer_of_ipv6_is_one_address() -> None:
    """It has 2 to the 64 of them; an IPv4 address written as IPv6 is itself."""
    failures = Failures(now=Clock())
    for number in range(FAILURES):
        failures.failed(f"2001:db8::{number:x}")
        failures.failed("::ffff:3.3.3.3")
    for address in ("2001:db8::ffff", "3.3.3.3"):
        with pytest.raises(TooManyFailuresError):
            failures.check(address, b"")
    failures.check("2001:db8:0:1::1", b"")


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come; the latest are remembered."""
    monkeypatch.setattr(addresses, "REMEMBERED", 100)
    failures = Failures(now=Clock())
    for number in range(1000):
        failures.failed(f"10.0.{number // 250}.{number % 250}")
        failures.succeeded(b"%d" % number)
    assert len(failures) == 100
    assert len(failures._right) == 100
