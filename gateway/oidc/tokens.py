"""Verify a JSON Web Token of the issuer, and read tenant and roles from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from gateway.exceptions import InvalidTokenError
from gateway.oidc.documents import Documents
from gateway.oidc.jwks import ALGORITHMS
from gateway.principal import ROLES
from gateway.settings import OidcSettings

MAXIMUM_SUBJECT_LENGTH = 255
"""OpenID Connect Core 1.0, 2."""

TYPES = frozenset({"", "jwt", "at+jwt", "application/at+jwt"})
"""Heads of access and ID tokens; a logout token or another kind is neither."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a token names."""

    tenant: str
    name: str
    roles: frozenset[str]


def looks_like_token(text: str) -> bool:
    """Tell a JSON Web Token from an API key: three parts, and the first begins as JSON does."""
    return text.startswith("eyJ") and text.count(".") == 2


async def verify(
    documents: Documents, token: str, *, audience: str, leeway_seconds: float
) -> dict[str, Any]:
    """Give the claims of a token.

    The algorithm is taken from the token's head only to choose among the asymmetric ones, and
    a key verifies only algorithms of its own kind: so neither ``none`` nor an HMAC under the
    public key as a secret is ever tried.

    Raises
    ------
    InvalidTokenError
        Naming what is wrong with the token.
    IdentityProviderError
        When no keys can be had.
    """
    try:
        head = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise InvalidTokenError("The token is not a JSON Web Token.") from None
    algorithm, kid = head.get("alg"), head.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise InvalidTokenError("The token is not signed with an asymmetric algorithm.")
    if "crit" in head or str(head.get("typ") or "").lower() not in TYPES:
        raise InvalidTokenError("The token is of a kind that is not taken.")
    if kid is not None and not isinstance(kid, str):
        raise InvalidTokenError("The token's key id is no text.")
    keys = await documents.keys(kid, algorithm)
    if not keys:
        raise InvalidTokenError("The token is signed with a key that the issuer does not publish.")
    refused: jwt.PyJWTError = jwt.InvalidSignatureError()
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[algorithm],
                audience=audience,
                issuer=documents.issuer,
                leeway=leeway_seconds,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
            return claims
        except jwt.InvalidSignatureError as error:
            refused = error
        except jwt.PyJWTError as error:
            raise InvalidTokenError(_sentence(error)) from None
    raise InvalidTokenError(_sentence(refused))


def read_who(claims: Mapping[str, Any], settings: OidcSettings) -> Who:
    """Read tenant, subject and roles; raises InvalidTokenError."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAXIMUM_SUBJECT_LENGTH:
        raise InvalidTokenError("The token has no subject.")
    tenant = settings.tenant or find_claim(claims, settings.tenant_claim)
    if not isinstance(tenant, str) or not tenant:
        raise InvalidTokenError("The token names no tenant.")
    listed = find_claim(claims, settings.roles_claim)
    names = listed.split() if isinstance(listed, str) else listed
    roles = {
        name.removeprefix(settings.roles_prefix)
        for name in (names if isinstance(names, list) else [])
        if isinstance(name, str) and name.startswith(settings.roles_prefix)
    }
    return Who(tenant, f"oidc:{subject}", frozenset(roles & set(ROLES)))


def find_claim(claims: Mapping[str, Any], name: str) -> Any:
    """Find a claim by its name, or by a path with dots such as ``realm_access.roles``."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def _sentence(error: jwt.PyJWTError) -> str:
    """Say what is wrong with a token, without a word of what is in it."""
    for kind, sentence in (
        (jwt.ExpiredSignatureError, "The token has expired."),
        (jwt.ImmatureSignatureError, "The token is not valid yet."),
        (jwt.InvalidIssuedAtError, "The token was issued in the future."),
        (jwt.InvalidAudienceError, "The token is for another audience."),
        (jwt.InvalidIssuerError, "The token is of another issuer."),
        (jwt.InvalidSignatureError, "The token's signature does not verify."),
        (jwt.MissingRequiredClaimError, "The token lacks exp, iss, aud or sub."),
    ):
        if isinstance(error, kind):
            return sentence
    return "The token is not well formed."
