"""An identity provider with real keys, for tests: discovery, JWKS, code flow and tokens."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from yarl import URL

AUDIENCE = "onescan-api"
CLIENT_ID = "onescan web"
CLIENT_SECRET = "s3cret +/"

SIGNED_WITH: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""One key of each kind, for the whole test session."""

STRANGER = rsa.generate_private_key(65537, 2048)
"""A key that no issuer publishes."""


def jwk(private: Any, **more: Any) -> dict[str, Any]:
    """Give the public half of a key as a JWK."""
    public = private.public_key()
    algorithm = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PublicKey: jwt.algorithms.OKPAlgorithm,
    }
    kind = next(value for key, value in algorithm.items() if isinstance(public, key))
    return {**json.loads(kind.to_jwk(public)), "use": "sig", **more}


def pem(private: Any) -> bytes:
    """Give the public half as a file has it, which some have taken for a secret."""
    encoded: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return encoded


class Issuer:
    """What it publishes, whom it lets in, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [jwk(key, kid=name) for name, key in SIGNED_WITH.items()]
        self.asked = {"configuration": 0, "jwks": 0, "token": 0}
        self.away = False
        self.published: dict[str, Any] = {}
        self.user: dict[str, Any] = {"sub": "ann", "tenant": "clinic", "roles": ["read"]}
        self.id_token_claims: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}

    def token(
        self, algorithm: str = "RS256", key: Any = None, head: Any = None, **claims: Any
    ) -> str:
        """Sign a token; a claim of None is left out."""
        now = int(time.time())
        body = {
            "iss": self.url,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
            **self.user,
            **claims,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(
            body,
            key if key is not None else SIGNED_WITH[algorithm],
            algorithm,
            headers={"kid": algorithm, **(head or {})},
        )

    def app(self) -> web.Application:
        """Give its endpoints."""
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/jwks", self._jwks)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        return app

    async def _configuration(self, request: web.Request) -> web.Response:
        self.asked["configuration"] += 1
        if self.away:
            raise web.HTTPBadGateway
        return web.json_response(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                **self.published,
            }
        )

    async def _jwks(self, request: web.Request) -> web.Response:
        self.asked["jwks"] += 1
        return web.json_response({"keys": self.keys})

    async def _authorize(self, request: web.Request) -> web.Response:
        """Let the user in at once, as one who is signed in already."""
        query = dict(request.query)
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        back = URL(query["redirect_uri"]).update_query(
            code=code, state=query["state"], iss=self.url
        )
        raise web.HTTPFound(back)

    async def _token(self, request: web.Request) -> web.Response:
        self.asked["token"] += 1
        form = await request.post()
        asked = self.codes.pop(str(form["code"]), None)
        if "client_secret" in form:
            login, password = str(form["client_id"]), str(form["client_secret"])
        else:
            scheme, _, given = request.headers["Authorization"].partition(" ")
            assert scheme == "Basic"
            both = base64.b64decode(given).decode().partition(":")
            login, password = unquote_plus(both[0]), unquote_plus(both[2])
        assert (login, password) == (CLIENT_ID, CLIENT_SECRET)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        claims = {"aud": CLIENT_ID, "nonce": asked["nonce"], **self.id_token_claims}
        return web.json_response(
            {
                "access_token": self.token(),
                "token_type": "Bearer",
                "id_token": self.token(**claims),
            }
        )


@asynccontextmanager
async def running_issuer() -> AsyncIterator[Issuer]:
    """Run one on a free port of loopback."""
    issuer = Issuer()
    async with TestServer(issuer.app()) as server:
        issuer.url = str(server.make_url("")).rstrip("/")
        yield issuer
