"""A set of signing keys (RFC 7517): public, asymmetric, strong enough; all others are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")

CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}

ALGORITHMS = frozenset({*RSA_ALGORITHMS, *CURVES.values()})
"""Those with a public key; ``none`` and the HMACs are not among them."""

MINIMUM_RSA_BITS = 2048
"""RFC 7518, 3.3."""

MAXIMUM_KEYS = 100
"""A provider has two or three."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key and what it may verify."""

    kid: str | None
    algorithms: tuple[str, ...]
    public: Any


def read_keys(published: Mapping[str, Any]) -> tuple[Key, ...]:
    """Read a JWK set; what is no key for verifying signatures is passed over."""
    listed = published.get("keys")
    if not isinstance(listed, list):
        return ()
    found = (_read_key(item) for item in listed[:MAXIMUM_KEYS] if isinstance(item, dict))
    return tuple(key for key in found if key is not None)


def _read_key(item: Mapping[str, Any]) -> Key | None:
    kind, curve = item.get("kty"), item.get("crv")
    if kind == "RSA":
        algorithms: tuple[str, ...] = RSA_ALGORITHMS
    elif kind in ("EC", "OKP") and curve in CURVES:
        algorithms = (CURVES[curve],)
    else:
        return None
    if item.get("use", "sig") != "sig" or "verify" not in item.get("key_ops", ["verify"]):
        return None
    if "alg" in item:
        algorithms = tuple(name for name in algorithms if name == item["alg"])
    if "d" in item or not algorithms:
        return None  # a provider that publishes a private key is not to be believed with it
    try:
        public = jwt.PyJWK(dict(item), algorithm=algorithms[0]).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < MINIMUM_RSA_BITS:
        return None
    kid = item.get("kid")
    return Key(kid if isinstance(kid, str) else None, algorithms, public)
