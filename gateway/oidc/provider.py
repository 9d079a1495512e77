"""The identity provider: who a bearer token is, and the code flow with PKCE for browsers."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any
from urllib.parse import quote_plus

from yarl import URL

from gateway.exceptions import IdentityProviderError, SignInError, UsageError
from gateway.oidc.documents import Documents
from gateway.oidc.tokens import Who, read_who, verify
from gateway.settings import OidcSettings

SCOPE = "openid"
"""We ask for nothing about the person but the subject, tenant and roles."""


class Provider:
    """One issuer.

    Parameters
    ----------
    settings : OidcSettings
        With an issuer.

    Raises
    ------
    UsageError
        When neither tokens nor signing in could work with the settings.
    """

    def __init__(self, settings: OidcSettings, *, documents: Documents | None = None) -> None:
        if not settings.audience and not settings.client_id:
            raise UsageError(
                "ONESCAN_OIDC__ISSUER needs ONESCAN_OIDC__AUDIENCE for bearer tokens or"
                " ONESCAN_OIDC__CLIENT_ID for signing in, or both."
            )
        if settings.audience and settings.audience == settings.client_id:
            raise UsageError(
                "ONESCAN_OIDC__AUDIENCE and ONESCAN_OIDC__CLIENT_ID are the same: an ID token"
                " of a browser would be taken for an access token."
            )
        self.settings = settings
        self.documents = documents or Documents(settings.issuer)

    @property
    def takes_tokens(self) -> bool:
        """Whether bearer tokens are taken."""
        return bool(self.settings.audience)

    @property
    def signs_in(self) -> bool:
        """Whether people sign in with it."""
        return bool(self.settings.client_id)

    async def bearer(self, token: str) -> Who:
        """Give whom an access token names.

        Raises
        ------
        InvalidTokenError
            For a token that is not valid here.
        IdentityProviderError
            When no keys can be had.
        """
        claims = await verify(
            self.documents,
            token,
            audience=self.settings.audience,
            leeway_seconds=self.settings.leeway_seconds,
        )
        return read_who(claims, self.settings)

    async def begin(self, secret: str, redirect_uri: str) -> str:
        """Give the address at which the browser signs in.

        State, nonce and PKCE's verifier all follow from one secret that lies in a cookie of
        that browser: nothing is kept here, and another browser cannot end what this one began.
        """
        challenge = _base64(hashlib.sha256(derived(secret, "verifier").encode()).digest())
        return str(
            URL(await self.documents.endpoint("authorization_endpoint")).update_query(
                response_type="code",
                client_id=self.settings.client_id,
                redirect_uri=redirect_uri,
                scope=SCOPE,
                state=derived(secret, "state"),
                nonce=derived(secret, "nonce"),
                code_challenge=challenge,
                code_challenge_method="S256",
            )
        )

    async def finish(self, secret: str, redirect_uri: str, answer: dict[str, str]) -> Who:
        """Redeem the code of an authorization answer and give who signed in.

        Raises
        ------
        SignInError
            When the answer is not to what this browser began, or the provider refused.
        InvalidTokenError
            For an ID token that does not verify.
        IdentityProviderError
            When the provider does not answer as it should.
        """
        state = derived(secret, "state")
        if not hmac.compare_digest(answer.get("state", "").encode(), state.encode()):
            raise SignInError("This browser did not begin to sign in; begin again.")
        if answer.get("iss", self.settings.issuer) != self.settings.issuer:
            raise SignInError("The answer is of another issuer.")  # RFC 9207
        if "code" not in answer:
            raise SignInError("The identity provider did not let you in.")
        redeemed = await self._redeem(answer["code"], derived(secret, "verifier"), redirect_uri)
        token = redeemed.get("id_token")
        if not isinstance(token, str):
            raise IdentityProviderError("The identity provider gave no ID token.")
        claims = await verify(
            self.documents,
            token,
            audience=self.settings.client_id,
            leeway_seconds=self.settings.leeway_seconds,
        )
        nonce = str(claims.get("nonce", "")).encode()
        if not hmac.compare_digest(nonce, derived(secret, "nonce").encode()):
            raise SignInError("The ID token was not made for this sign-in.")
        if claims.get("azp", self.settings.client_id) != self.settings.client_id:
            raise SignInError("The ID token was made for another client.")
        return read_who(claims, self.settings)

    async def _redeem(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": self.settings.client_id,
            "code_verifier": verifier,
        }
        authorization = ""
        if secret := self.settings.client_secret:
            methods = "token_endpoint_auth_methods_supported"
            if await self.documents.supports(methods, "client_secret_basic"):
                both = f"{quote_plus(self.settings.client_id)}:{quote_plus(secret)}"
                authorization = f"Basic {base64.b64encode(both.encode()).decode()}"
            else:
                form["client_secret"] = secret
        endpoint = await self.documents.endpoint("token_endpoint")
        redeemed = await self.documents.ask(
            "POST", endpoint, expect=(200, 400), authorization=authorization, form=form
        )
        if "error" in redeemed:
            raise SignInError("The sign-in took too long or was used before; begin again.")
        return redeemed


def new_secret() -> str:
    """Give what a sign-in begins with."""
    return secrets.token_urlsafe(32)


def derived(secret: str, purpose: str) -> str:
    """Derive a value from the secret of a sign-in: 43 characters that tell nothing of it."""
    return _base64(hmac.new(secret.encode(), purpose.encode(), hashlib.sha256).digest())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
