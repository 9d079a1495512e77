"""Which tokens of an identity provider are taken, with real keys and a real provider."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.exceptions import IdentityProviderError, InvalidTokenError, UsageError
from gateway.oidc.documents import FRESH_SECONDS, REFRESH_SECONDS, STALE_SECONDS, Documents
from gateway.oidc.jwks import read_keys
from gateway.oidc.provider import Provider
from gateway.oidc.tokens import find_claim, looks_like_token, read_who
from gateway.settings import OidcSettings
from tests.oidc_issuer import AUDIENCE, CLIENT_ID, SIGNED_WITH, STRANGER, Issuer, jwk, pem
from tests.oidc_issuer import running_issuer as running


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running() as made:
        yield made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def provider(issuer: Issuer, clock: Clock) -> AsyncIterator[Provider]:
    documents = Documents(issuer.url, now=clock)
    await documents.open()
    yield Provider(OidcSettings(issuer=issuer.url, audience=AUDIENCE), documents=documents)
    await documents.close()


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", sorted(SIGNED_WITH))
async def test_tokens_of_the_issuer_are_taken(
    issuer: Issuer, provider: Provider, algorithm: str
) -> None:
    """RSA, elliptic curves and Edwards curves, with tenant, subject and roles."""
    token = issuer.token(algorithm)
    assert looks_like_token(token)
    who = await provider.bearer(token)
    assert (who.tenant, who.name, who.roles) == ("clinic", "oidc:ann", {"read"})


@pytest.mark.parametrize("algorithm", ["RS512", "PS256"])
async def test_a_key_that_names_no_algorithm_verifies_all_of_its_kind(
    issuer: Issuer, provider: Provider, algorithm: str
) -> None:
    """A JWK need not have ``alg``."""
    token = issuer.token(algorithm, SIGNED_WITH["RS256"], {"kid": "RS256"})
    assert (await provider.bearer(token)).name == "oidc:ann"


@pytest.mark.parametrize(
    ("claims", "sentence"),
    [
        ({"exp": timedelta(seconds=-120)}, "has expired"),
        ({"nbf": timedelta(seconds=120)}, "not valid yet"),
        ({"iat": timedelta(seconds=120)}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": CLIENT_ID}, "another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"exp": None}, "lacks exp"),
        ({"aud": None}, "lacks exp, iss, aud or sub|another audience"),
        ({"sub": None}, "lacks exp, iss, aud or sub"),
        ({"sub": ""}, "no subject"),
        ({"sub": "x" * 256}, "no subject"),
        ({"tenant": None}, "names no tenant"),
        ({"tenant": ["clinic"]}, "names no tenant"),
    ],
)
async def test_claims_that_are_not_taken(
    issuer: Issuer, provider: Provider, claims: dict[str, Any], sentence: str
) -> None:
    """Each says what is wrong and nothing of the token; times count from when the test runs."""
    claims = {
        name: int(time.time() + value.total_seconds()) if isinstance(value, timedelta) else value
        for name, value in claims.items()
    }
    with pytest.raises(InvalidTokenError, match=sentence):
        await provider.bearer(issuer.token(**claims))


async def test_clocks_may_differ_by_the_leeway(issuer: Issuer, provider: Provider) -> None:
    """Thirty seconds either way."""
    now = int(time.time())
    await provider.bearer(issuer.token(exp=now - 15))
    await provider.bearer(issuer.token(nbf=now + 15, iat=now + 15))


async def test_no_algorithm_but_asymmetric_ones_is_tried(
    issuer: Issuer, provider: Provider
) -> None:
    """``none``, and an HMAC under the public key that everybody can read."""
    claims = segment(jwt.decode(issuer.token(), options={"verify_signature": False}))
    for name in ("none", "None", "NONE", "nOnE"):
        head = segment({"alg": name, "kid": "RS256"})
        for signature in ("", segment(b"x")):
            with pytest.raises(InvalidTokenError, match=r"asymmetric|not a JSON"):
                await provider.bearer(f"{head}.{claims}.{signature}")
    public = SIGNED_WITH["RS256"]
    secrets = (pem(public), pem(public).strip(), json.dumps(jwk(public)).encode(), b"")
    for secret in secrets:
        head = segment({"alg": "HS256", "typ": "JWT", "kid": "RS256"})
        signature = hmac.new(secret, f"{head}.{claims}".encode(), hashlib.sha256).digest()
        with pytest.raises(InvalidTokenError, match="asymmetric"):
            await provider.bearer(f"{head}.{claims}.{segment(signature)}")


async def test_a_key_is_used_for_its_own_kind_only(issuer: Issuer, provider: Provider) -> None:
    """The head's algorithm and key id have to go together."""
    token = issuer.token("ES256", head={"kid": "RS256"})
    with pytest.raises(InvalidTokenError, match="does not publish"):
        await provider.bearer(token)


async def test_signatures_of_others_do_not_verify(issuer: Issuer, provider: Provider) -> None:
    """Another key under the published id, with and without an id, and keys that a head brings."""
    with pytest.raises(InvalidTokenError, match="signature"):
        await provider.bearer(issuer.token(key=STRANGER))
    for head in ({"jwk": jwk(STRANGER)}, {"jku": f"{issuer.url}/evil"}, {"x5u": issuer.url}):
        with pytest.raises(InvalidTokenError, match="signature"):
            await provider.bearer(issuer.token(key=STRANGER, head=head))
    good = issuer.token()
    head, claims, signature = good.split(".")
    other = segment({**jwt.decode(good, options={"verify_signature": False}), "roles": ["admin"]})
    with pytest.raises(InvalidTokenError, match="signature"):
        await provider.bearer(f"{head}.{other}.{signature}")
    assert claims != other


@pytest.mark.parametrize(
    "head", [{"typ": "logout+jwt"}, {"crit": ["b64"], "b64": False}, {"typ": "dpop+jwt"}]
)
async def test_other_kinds_of_tokens_are_not_taken(
    issuer: Issuer, provider: Provider, head: dict[str, Any]
) -> None:
    """A logout token is signed by the same key."""
    with pytest.raises(InvalidTokenError):
        await provider.bearer(issuer.token(head=head))


@pytest.mark.parametrize("text", ["eyJ.x.y", "eyJ..", "eyJhbGciOiJSUzI1NiJ9.e30", "eyJ" * 9 + ".."])
async def test_what_is_no_token(provider: Provider, text: str) -> None:
    """Refused without asking anybody."""
    with pytest.raises(InvalidTokenError):
        await provider.bearer(text)


async def test_a_new_key_is_found_and_unknown_ones_ask_seldom(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    """The issuer may change its keys; who sends made-up key ids does not make us ask each time."""
    await provider.bearer(issuer.token())
    new = rsa.generate_private_key(65537, 2048)
    issuer.keys = [jwk(new, kid="new")]
    token = issuer.token(key=new, head={"kid": "new"})
    for _ in range(20):
        with pytest.raises(InvalidTokenError, match="does not publish"):
            await provider.bearer(token)
    assert issuer.asked["jwks"] == 1
    clock.seconds += REFRESH_SECONDS
    await provider.bearer(token)
    assert issuer.asked["jwks"] == 2
    with pytest.raises(InvalidTokenError):
        await provider.bearer(issuer.token())  # the old key is withdrawn


async def test_keys_are_kept_while_the_issuer_is_away(
    issuer: Issuer, provider: Provider, clock: Clock
) -> None:
    """For a day, and not longer; then it is 503, and it heals by itself."""
    await provider.bearer(issuer.token())
    issuer.away = True
    clock.seconds += FRESH_SECONDS
    await provider.bearer(issuer.token())
    clock.seconds += STALE_SECONDS
    for _ in range(3):
        with pytest.raises(IdentityProviderError):
            await provider.bearer(issuer.token())
    assert issuer.asked["configuration"] == 3
    issuer.away = False
    clock.seconds += REFRESH_SECONDS
    await provider.bearer(issuer.token())


@pytest.mark.parametrize(
    "published",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://evil.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
async def test_a_configuration_that_is_not_believed(
    issuer: Issuer, provider: Provider, published: dict[str, Any]
) -> None:
    """Of another issuer, or with keys that anybody on the way could change."""
    issuer.published = published
    with pytest.raises(IdentityProviderError):
        await provider.bearer(issuer.token())


def test_keys_that_are_no_keys_are_passed_over() -> None:
    """Secrets, private, short, of encryption, broken: the good one remains."""
    good = jwk(SIGNED_WITH["RS256"], kid="good")
    listed = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {**good, "d": "AQAB", "kid": "private"},
        jwk(rsa.generate_private_key(65537, 1024), kid="short"),
        {**good, "use": "enc"},
        {**good, "key_ops": ["encrypt"]},
        {**good, "alg": "HS256"},
        {**good, "n": "!"},
        {**jwk(ec.generate_private_key(ec.SECP256R1())), "crv": "secp256k1"},
        "text",
        good,
    ]
    assert [key.kid for key in read_keys({"keys": listed})] == ["good"]
    assert read_keys({"keys": None}) == ()
    assert read_keys({}) == ()


def test_claims_are_found_by_name_or_path() -> None:
    """A name with dots wins over a path."""
    claims = {"realm_access": {"roles": ["read"]}, "https://x.example/roles": ["send"], "a": 1}
    assert find_claim(claims, "realm_access.roles") == ["read"]
    assert find_claim(claims, "https://x.example/roles") == ["send"]
    assert find_claim(claims, "a.b") is None


@pytest.mark.parametrize(
    ("listed", "roles"),
    [
        (["onescan:read", "onescan:send", "root", 7, "onescan:root"], {"read", "send"}),
        ("onescan:read offline_access", {"read"}),
        (None, set()),
        ({"read": True}, set()),
        (["read"], set()),
    ],
)
def test_roles_are_ours_and_carry_the_prefix(listed: Any, roles: set[str]) -> None:
    """Whatever else the issuer grants."""
    settings = OidcSettings(issuer="x", roles_prefix="onescan:", tenant="fixed")
    who = read_who({"sub": "ann", "roles": listed, "tenant": "theirs"}, settings)
    assert (who.tenant, who.roles) == ("fixed", roles)


def test_settings_that_cannot_work_are_refused() -> None:
    """Neither tokens nor signing in; or ID tokens that would pass for access tokens."""
    with pytest.raises(UsageError, match="AUDIENCE"):
        Provider(OidcSettings(issuer="https://x"))
    both = OidcSettings(issuer="https://x", audience="same", client_id="same")
    with pytest.raises(UsageError, match="the same"):
        Provider(both)
    assert not Provider(dataclasses.replace(both, audience="")).takes_tokens
