"""Every route has its role, and nobody goes round the one place that asks for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from aiohttp import web

from gateway.api.access import ACCESS, ANYBODY, MACHINE, OPEN, SCREEN, STORE
from gateway.api.app import make_app
from gateway.principal import ROLES
from gateway.settings import ApiSettings, Settings, StoreSettings

ROOT = Path(__file__).resolve().parents[2]

OPEN_PATHS = {
    "/livez",
    "/readyz",
    "/readyz/intake",
    "/openapi.json",
    "/docs",
    "/auth/login",
    "/auth/callback",
    "/auth/link",
    "/ui/static/{name}",
}
"""What may be asked without credentials, said twice so that nothing joins it by accident."""

WITHOUT_TENANT = {
    "app.py",
    "auth.py",
    "diagnosis.py",
    "health.py",
    "hub.py",
    "keys.py",
    "sign_in.py",
}
"""Modules of the api that open the database for nobody in particular, or to find out for whom."""


@pytest.fixture
def app(tmp_path: Path) -> web.Application:
    settings = Settings(
        home=tmp_path,
        api=ApiSettings(key="k"),
        store=StoreSettings(database_url="postgresql://nowhere/none"),
    )
    return make_app(settings, reaper=False)


def routes(app: web.Application) -> set[tuple[str, str]]:
    return {
        (route.method, route.resource.canonical)
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


async def test_every_route_has_one_row_and_every_row_a_route(app: web.Application) -> None:
    """A route without a row is refused to everybody; a row without one is a promise not kept."""
    rows = [(access.method, access.path) for access in ACCESS]
    assert sorted(rows) == sorted(set(rows))
    assert routes(app) - set(rows) == set(), "add rows to gateway/api/access.py"
    assert set(rows) - routes(app) == set(), "remove rows from gateway/api/access.py"


def test_rows_name_what_there_is() -> None:
    """Roles that are known; only requests that change something bring anything."""
    for access in ACCESS:
        assert access.needs in {*ROLES, OPEN, MACHINE, ANYBODY}, access
        assert access.brings in {"", STORE, SCREEN}, access
        assert not access.brings or (access.method, access.needs) == ("POST", "send"), access


def test_nothing_is_open_by_accident() -> None:
    """Probes, the interface's description, and what begins a session."""
    assert {access.path for access in ACCESS if access.needs == OPEN} <= OPEN_PATHS
    assert {access.path for access in ACCESS if access.needs == MACHINE} == {"/metrics"}


def test_the_document_has_the_table() -> None:
    """docs/access.md says of every route who may ask it."""
    text = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `") and " /" in line]
    words = {OPEN: "nobody asks", MACHINE: "this machine, or `operate`", ANYBODY: "any role"}
    assert sorted(rows) == sorted(
        f"| `{access.method} {access.path}` | {words.get(access.needs, f'`{access.needs}`')} |"
        for access in ACCESS
    )


def test_whoever_opens_the_database_names_the_tenant_of_the_request() -> None:
    """In every handler; what runs beside them takes the application and serves everybody."""
    found = []
    for path in sorted((ROOT / "gateway" / "api").glob("*.py")):
        if path.name in WITHOUT_TENANT:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            arguments = {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
            opens = "DATABASE" in names and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if (
                opens
                and "PRINCIPAL" not in names
                and not arguments & {"tenant", "principal", "app"}
            ):
                found.append(f"{path.name}:{node.lineno}")
    assert not found


def test_only_one_function_writes_the_audit_log() -> None:
    """So that what a line holds is decided in one place."""
    writers = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "gateway").rglob("*.py"))
        if "INTO audit " in path.read_text(encoding="utf-8")
    ]
    assert writers == ["gateway/store/audit.py"]
