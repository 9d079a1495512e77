"""Which addresses webhooks go to."""

from __future__ import annotations

import socket

import pytest

from gateway.exceptions import InvalidCallbackError, UsageError
from gateway.settings import WebhookSettings
from gateway.webhooks.address import (
    ForbiddenAddressError,
    allowed_ports,
    check_url,
    guarded_socket,
    is_public,
)

STRICT = WebhookSettings()
LOOSE = WebhookSettings(allow_private="yes", allow_http="yes", ports="any")


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_called(address: str) -> None:
    """IPv4, IPv6, and IPv4 written as IPv6."""
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # metadata of clouds
        "100.100.100.200",  # and of another one, in the shared address space
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "::169.254.169.254",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "2001:0:53aa:64c:0:0:80ff:fffe",  # Teredo
        "localhost",
        "",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    """Private, loopback, link-local, multicast and reserved ones, in every dress."""
    assert not is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "https://partner.example/hook",
        "https://partner.example:443/hook?a=b",
        "https://8.8.8.8/hook",
        "https://[2001:4860:4860::8888]/hook",
    ],
)
def test_https_to_the_world_is_taken(url: str) -> None:
    """A name is judged when it is called."""
    assert str(check_url(url, STRICT)).startswith("https://")


@pytest.mark.parametrize(
    "url",
    [
        7,
        None,
        "",
        "x" * 3000,
        "partner.example",
        "//partner.example/",
        "http://partner.example/",
        "ftp://partner.example/",
        "file:///etc/passwd",
        "https://",
        "https:///hook",
        "https://partner.example:8443/",
        "https://partner.example:0/",
        "https://partner.example:99999/",
        "https://partner.example:x/",
        "https://user@partner.example/",
        "https://user:pw@partner.example/",
        "https://partner.example/#f",
        "https://partner.example/ x",
        "https://partner.example\\@127.0.0.1/",
        "https://partner.example/\n",
        "https://pärtner.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_other_urls_are_refused(url: object) -> None:
    """With one code, before anything is owed."""
    with pytest.raises(InvalidCallbackError):
        check_url(url, STRICT)


def test_a_site_may_allow_more() -> None:
    """Private addresses, http and other ports, each by its own setting."""
    assert check_url("http://10.0.0.1:8080/", LOOSE)
    with pytest.raises(InvalidCallbackError):
        check_url("http://10.0.0.1:80/", WebhookSettings(allow_http="yes"))
    with pytest.raises(InvalidCallbackError):
        check_url("https://partner.example:444/", WebhookSettings(ports="443,8443"))
    assert check_url("https://partner.example:8443/", WebhookSettings(ports="443,8443"))
    assert check_url("http://partner.example/", WebhookSettings(allow_http="yes"))


def test_ports_are_numbers() -> None:
    """Or `any`."""
    assert allowed_ports(STRICT) == [443]
    assert allowed_ports(LOOSE) is None
    with pytest.raises(UsageError):
        allowed_ports(WebhookSettings(ports="https"))


@pytest.mark.parametrize(
    ("family", "address"),
    [
        (socket.AF_INET, ("127.0.0.1", 443)),
        (socket.AF_INET6, ("::ffff:10.0.0.1", 443, 0, 0)),
        (socket.AF_INET6, ("fe80::1%1", 443, 0, 1)),
    ],
)
def test_no_socket_is_made_for_a_private_address(family: int, address: tuple[object, ...]) -> None:
    """The last gate, on the address itself."""
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)
    with pytest.raises(ForbiddenAddressError):
        guarded_socket(STRICT)(info)
    guarded_socket(LOOSE)(info).close()
