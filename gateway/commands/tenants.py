"""``onescan tenants``: partners, and what each may use."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.commands.operator import actor, on_database, plain, when
from gateway.commands.output import as_json
from gateway.principal import QUOTAS, Quotas
from gateway.settings import Settings
from gateway.store import keys, tenants
from gateway.store.database import Connection
from gateway.store.usage import use_of

NAME = "tenants"
HELP = "create, list, show or change tenants and their quotas"

NO_LIMIT = "none"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = verbs.add_parser("create", help="make a tenant; what is not given has no limit")
    change = verbs.add_parser("change", help="change quotas; what is not given stays")
    show = verbs.add_parser("show", help="show quotas, use and keys")
    listing = verbs.add_parser("list", help="show all of them")
    for verb in (create, change, show):
        verb.add_argument("name", metavar="TENANT")
    for verb in (create, change):
        for quota in QUOTAS:
            verb.add_argument(
                f"--{quota.replace('_', '-')}", type=_quota, metavar="N", help=f"or {NO_LIMIT}"
            )
    for verb in (show, listing):
        verb.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it."""
    return {"create": _create, "change": _change, "show": _show, "list": _list}[args.verb](
        args, settings
    )


def _create(args: argparse.Namespace, settings: Settings) -> int:
    quotas = Quotas(**_given(args))

    async def work(connection: Connection) -> None:
        await tenants.create_tenant(connection, args.name, quotas, actor=actor())

    on_database(settings, work)
    print(f"Tenant {args.name}; `onescan keys create` makes its keys.", file=sys.stderr)
    return 0


def _change(args: argparse.Namespace, settings: Settings) -> int:
    async def work(connection: Connection) -> None:
        await tenants.change_quotas(connection, args.name, _given(args), actor=actor())

    on_database(settings, work)
    return 0


def _show(args: argparse.Namespace, settings: Settings) -> int:
    async def work(connection: Connection) -> dict[str, Any]:
        quotas = await tenants.find_quotas(connection, args.name)
        used = await use_of(connection, args.name)
        return {
            "tenant": args.name,
            "quotas": {
                name: {"used": int(used[name]), "limit": getattr(quotas, name)} for name in QUOTAS
            },
            "keys": [plain(row) for row in await keys.list_keys(connection, args.name)],
        }

    told = on_database(settings, work)
    if args.json:
        sys.stdout.write(as_json(told))
        return 0
    print(f"tenant {args.name}")
    for name, item in told["quotas"].items():
        limit = "no limit" if item["limit"] is None else f"of {item['limit']}"
        print(f"  {name.replace('_', ' '):<22}{item['used']} {limit}")
    for key in told["keys"]:
        print(f"  key {key['name']:<18}{', '.join(key['roles'])}: {key['state']}")
    return 0


def _list(args: argparse.Namespace, settings: Settings) -> int:
    rows = on_database(settings, tenants.list_tenants)
    if args.json:
        sys.stdout.write(as_json({"tenants": [plain(row) for row in rows]}))
        return 0
    table = Table()
    for heading in ("tenant", "since", "keys", *(name.replace("_", " ") for name in QUOTAS)):
        table.add_column(heading, overflow="fold")
    for row in rows:
        limits = (NO_LIMIT if row[name] is None else str(row[name]) for name in QUOTAS)
        table.add_row(row["tenant"], when(row["created_at"], ""), str(row["keys"]), *limits)
    Console().print(table)
    return 0


def _quota(text: str) -> int | str:
    return NO_LIMIT if text == NO_LIMIT else int(text)


def _given(args: argparse.Namespace) -> dict[str, int | None]:
    """Give the quotas that were named; None lifts one."""
    named = {name: getattr(args, name) for name in QUOTAS if getattr(args, name) is not None}
    return {name: None if limit == NO_LIMIT else int(limit) for name, limit in named.items()}
