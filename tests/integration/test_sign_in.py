"""People: the code flow with PKCE against a real provider, links, cookies and CSRF tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from yarl import URL

from gateway.settings import ApiSettings, OidcSettings
from gateway.store.sessions import make_link
from tests.access_server import Api, serving
from tests.oidc_issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, Issuer
from tests.oidc_issuer import running_issuer as running

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with running() as made:
        yield made


@pytest.fixture
def oidc(issuer: Issuer) -> OidcSettings:
    return OidcSettings(
        issuer=issuer.url, audience=AUDIENCE, client_id=CLIENT_ID, client_secret=CLIENT_SECRET
    )


@pytest_asyncio.fixture
async def api(database_url: str, tmp_path: Path, oidc: OidcSettings) -> AsyncIterator[Api]:
    async with serving(database_url, tmp_path, oidc=oidc) as made:
        await made.tenant("clinic")
        yield made


async def problem(answer: Any, status: int, code: str) -> None:
    body = json.loads(await answer.text())
    assert (answer.status, body.get("code")) == (status, code), body


async def to_callback(api: Api, onward: str = "") -> URL:
    """Begin at our login, go to the provider, and give where it sends the browser back."""
    begun = await api.client.get(
        "/auth/login", params={"next": onward} if onward else {}, allow_redirects=False
    )
    assert begun.status == 303, await begun.text()
    there = URL(begun.headers["Location"])
    let_in = await api.client.session.get(there, allow_redirects=False)
    assert let_in.status == 302
    return URL(let_in.headers["Location"])


async def test_a_browser_signs_in_and_out(api: Api) -> None:
    """Login, provider, callback, session, a change with its token, logout."""
    back = await to_callback(api, "/v1/checks?a=b")
    landed = await api.client.get(back.relative(), allow_redirects=False)
    assert (landed.status, landed.headers["Location"]) == (303, "/v1/checks?a=b")
    cookie = next(c for c in landed.headers.getall("Set-Cookie") if c.startswith("onescan="))
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie  # plain http to this machine
    session = await (await api.client.get("/auth/session")).json()
    assert (session["tenant"], session["name"], session["roles"]) == (
        "clinic",
        "oidc:ann",
        ["read"],
    )
    assert (await api.client.get("/v1/checks")).status == 200
    await problem(await api.client.get("/metrics", headers={"Via": "x"}), 403, "request.forbidden")
    await problem(await api.client.post("/auth/logout"), 403, "request.csrf")
    wrong = {"X-CSRF-Token": "0" * 64}
    await problem(await api.client.post("/auth/logout", headers=wrong), 403, "request.csrf")
    right = {"X-CSRF-Token": session["csrf_token"]}
    kept = api.client.session.cookie_jar.filter_cookies(api.client.make_url("/"))["onescan"].value
    assert (await api.client.post("/auth/logout", headers=right)).status == 204
    stolen = {"Cookie": f"onescan={kept}"}
    await problem(await api.client.get("/v1/checks", headers=stolen), 401, "request.unauthorized")


async def test_a_provider_that_wants_the_secret_in_the_form(api: Api, issuer: Issuer) -> None:
    """As its configuration says."""
    issuer.published = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    landed = await api.client.get((await to_callback(api)).relative(), allow_redirects=False)
    assert (landed.status, landed.headers["Location"]) == (303, "/auth/session")


async def test_a_token_of_another_session_does_not_pass(api: Api) -> None:
    """And no request that changes something passes by the cookie alone."""
    for _ in range(2):
        await api.client.get((await to_callback(api)).relative(), allow_redirects=False)
        token = (await (await api.client.get("/auth/session")).json())["csrf_token"]
    api.client.session.cookie_jar.clear()
    await api.client.get((await to_callback(api)).relative(), allow_redirects=False)
    for headers in ({}, {"X-CSRF-Token": token}):
        for method, path in (("POST", "/v1/screenings"), ("POST", "/dicomweb/studies")):
            answer = await api.client.request(method, path, headers=headers)
            await problem(answer, 403, "request.csrf")


async def test_answers_that_this_browser_did_not_begin(api: Api, issuer: Issuer) -> None:
    """Of another browser, with another state, used before, of another issuer, without a code."""
    back = await to_callback(api)
    jar = api.client.session.cookie_jar
    url = api.client.make_url("/")
    secret = jar.filter_cookies(url)["onescan-login"].value

    async def answered(query: dict[str, str], cookie: str = secret) -> Any:
        jar.clear()
        headers = {"Cookie": f"onescan-login={cookie}"} if cookie else {}
        return await api.client.get(
            "/auth/callback", params=query, headers=headers, allow_redirects=False
        )

    query = dict(back.query)
    await problem(await answered(query, ""), 400, "request.sign_in")
    await problem(await answered(query, "x" * 43 + ".Lw=="), 400, "request.sign_in")
    await problem(await answered({**query, "state": "x"}), 400, "request.sign_in")
    evil = {**query, "iss": "https://evil.example"}
    await problem(await answered(evil), 400, "request.sign_in")
    denied = {"state": query["state"], "error": "access_denied"}
    await problem(await answered(denied), 400, "request.sign_in")
    assert issuer.asked["token"] == 0
    assert (await answered(query)).status == 303
    await problem(await answered(query), 400, "request.sign_in")


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"nonce": "another"}, 400, "request.sign_in"),
        ({"aud": AUDIENCE}, 401, "request.invalid_token"),
        ({"aud": [CLIENT_ID, "x"], "azp": "x"}, 400, "request.sign_in"),
        ({"iss": "https://evil.example"}, 401, "request.invalid_token"),
        ({"exp": 1}, 401, "request.invalid_token"),
        ({"tenant": "nobody"}, 403, "request.forbidden"),
        ({"roles": []}, 403, "request.forbidden"),
    ],
)
async def test_id_tokens_that_open_no_session(
    api: Api, issuer: Issuer, claims: dict[str, Any], status: int, code: str
) -> None:
    """For another sign-in, another client, of another issuer, too old, of nobody known here."""
    issuer.id_token_claims = claims
    answer = await api.client.get((await to_callback(api)).relative(), allow_redirects=False)
    await problem(answer, status, code)
    async with api.database.connection() as connection:
        cursor = await connection.execute("SELECT 1 FROM sessions")
        assert await cursor.fetchone() is None


async def test_bearer_tokens(api: Api, issuer: Issuer) -> None:
    """An access token is taken, with its tenant and roles; an ID token is not."""

    async def ask(token: str, path: str = "/v1/checks") -> Any:
        return await api.client.get(path, headers={"Authorization": f"Bearer {token}"})

    assert (await ask(issuer.token())).status == 200
    assert (await (await ask(issuer.token(), "/v1/usage")).json())["tenant"] == "clinic"
    told = await (await ask(issuer.token(), "/auth/session")).json()
    assert (told["name"], told["csrf_token"]) == ("oidc:ann", None)
    await problem(await ask(issuer.token(aud=CLIENT_ID)), 401, "request.invalid_token")
    await problem(await ask(issuer.token(roles=["send"])), 403, "request.forbidden")
    await problem(await ask(issuer.token(tenant="nobody")), 403, "request.forbidden")
    await problem(await ask(issuer.token(x="y" * 5500)), 401, "request.unauthorized")


async def test_a_provider_that_is_away_is_503(api: Api, issuer: Issuer) -> None:
    """For signing in and for tokens, and keys go on as before."""
    issuer.away = True
    key = await api.tenant("other")
    token = {"Authorization": f"Bearer {issuer.token()}"}
    await problem(await api.client.get("/v1/checks", headers=token), 503, "oidc.unavailable")
    answer = await api.client.get("/auth/login", allow_redirects=False)
    await problem(answer, 503, "oidc.unavailable")
    assert (await api.client.get("/v1/checks", headers=key)).status == 200


async def test_a_link_opens_one_session(database_url: str, tmp_path: Path) -> None:
    """Without a provider; the second time it is refused, and so are guesses."""
    async with serving(database_url, tmp_path) as api:
        async with api.database.connection() as connection:
            token = await make_link(connection, "default")
        landed = await api.client.get("/auth/link", params={"token": token}, allow_redirects=False)
        assert (landed.status, landed.headers["Location"]) == (303, "/auth/session")
        told = await (await api.client.get("/auth/session")).json()
        assert (told["tenant"], told["name"], len(told["roles"])) == ("default", "link", 5)
        for text in (token, "", "x"):
            answer = await api.client.get("/auth/link", params={"token": text})
            await problem(answer, 400, "request.sign_in")
        await problem(await api.client.get("/auth/login"), 404, "request.not_found")
        await problem(await api.client.get("/auth/callback"), 404, "request.not_found")
        head = await api.client.head("/auth/link", params={"token": token})
        assert head.status == 405  # who only looks at a link does not use it up


async def test_the_cookie_is_for_https_only_behind_a_name(
    database_url: str, tmp_path: Path
) -> None:
    """Secure, with the prefix that binds it to the host; the plain name is not looked at."""
    settings = ApiSettings(public_url="https://ct.example.org")
    async with serving(database_url, tmp_path, api=settings) as api:
        async with api.database.connection() as connection:
            token = await make_link(connection, "default")
        landed = await api.client.get("/auth/link", params={"token": token}, allow_redirects=False)
        cookie = landed.headers["Set-Cookie"]
        assert cookie.startswith("__Host-onescan=")
        assert "Secure" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
        secret = cookie.partition("=")[2].partition(";")[0]
        good = {"Cookie": f"__Host-onescan={secret}"}
        assert (await api.client.get("/auth/session", headers=good)).status == 200
        plain = {"Cookie": f"onescan={secret}"}
        assert (await api.client.get("/auth/session", headers=plain)).status == 401


async def test_a_session_ends(database_url: str, tmp_path: Path) -> None:
    """By the server's clock, whatever the browser keeps."""
    async with serving(
        database_url, tmp_path, api=replace(ApiSettings(), session_seconds=0)
    ) as api:
        async with api.database.connection() as connection:
            token = await make_link(connection, "default")
        await api.client.get("/auth/link", params={"token": token}, allow_redirects=False)
        await problem(await api.client.get("/auth/session"), 401, "request.unauthorized")
