"""``onescan keys``: API keys of partners."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console
from rich.table import Table

from gateway.commands.operator import actor, on_database, plain, when
from gateway.commands.output import as_json
from gateway.exceptions import UsageError
from gateway.principal import ROLES
from gateway.settings import Settings
from gateway.store import keys
from gateway.store.database import Connection

NAME = "keys"
HELP = "create, list, revoke or rotate the API keys of partners"

DEFAULT_TENANT = "default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    create = verbs.add_parser("create", help="make a key and print its secret, this once")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--roles", required=True, help=f"comma between, of: {', '.join(ROLES)}")
    create.add_argument("--expires-days", type=float, metavar="N", help="never by default")
    rotate = verbs.add_parser("rotate", help="print a new secret; the old one stays for a while")
    rotate.add_argument("name", metavar="NAME")
    rotate.add_argument("--grace-hours", type=float, default=24.0, metavar="N")
    revoke = verbs.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("name", metavar="NAME")
    listing = verbs.add_parser("list", help="show keys, never their secrets")
    listing.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    for verb in (create, rotate, revoke):
        verb.add_argument("--tenant", default=DEFAULT_TENANT)
    listing.add_argument("--tenant", help="all by default")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do it; of a new key the secret alone goes to stdout."""
    return {"create": _create, "rotate": _rotate, "revoke": _revoke, "list": _list}[args.verb](
        args, settings
    )


def _create(args: argparse.Namespace, settings: Settings) -> int:
    if args.expires_days is not None and not 0 < args.expires_days < 36500:
        raise UsageError("--expires-days must be more than 0 and less than 36500.")
    roles = [role.strip() for role in args.roles.split(",") if role.strip()]

    async def work(connection: Connection) -> keys.NewKey:
        if args.tenant == DEFAULT_TENANT:
            await keys.ensure_tenant(connection, DEFAULT_TENANT)
        return await keys.create_key(
            connection,
            args.tenant,
            args.name,
            roles,
            actor=actor(),
            expires_days=args.expires_days,
        )

    return _show(on_database(settings, work), f"Key {args.name} of {args.tenant}")


def _rotate(args: argparse.Namespace, settings: Settings) -> int:
    if not 0 <= args.grace_hours < 24 * 3650:
        raise UsageError("--grace-hours must be 0 or more.")

    async def work(connection: Connection) -> keys.NewKey:
        return await keys.rotate_key(
            connection, args.tenant, args.name, actor=actor(), grace_hours=args.grace_hours
        )

    made = on_database(settings, work)
    return _show(made, f"The old secret stays valid for {args.grace_hours:g} h; the new one")


def _revoke(args: argparse.Namespace, settings: Settings) -> int:
    async def work(connection: Connection) -> int:
        return await keys.revoke_key(connection, args.tenant, args.name, actor=actor())

    many = on_database(settings, work)
    print(f"Revoked {many} {'secret' if many == 1 else 'secrets'} of {args.name}.", file=sys.stderr)
    return 0


def _list(args: argparse.Namespace, settings: Settings) -> int:
    rows = on_database(settings, lambda connection: keys.list_keys(connection, args.tenant))
    if args.json:
        sys.stdout.write(as_json({"keys": [plain(row) for row in rows]}))
        return 0
    table = Table()
    for heading in ("tenant", "name", "roles", "state", "expires", "last used"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            row["tenant"],
            row["name"],
            ", ".join(row["roles"]),
            row["state"],
            when(row["expires_at"], "never"),
            when(row["last_used_at"], "not yet"),
        )
    Console().print(table)
    return 0


def _show(made: keys.NewKey, what: str) -> int:
    print(f"{what} ({made.key_id}); its secret is shown this once:", file=sys.stderr)
    print(made.secret)
    return 0
