"""``onescan pool``: what the cluster's pools are, do and cost; drain one; how many it takes."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from gateway.commands import pool_capacity
from gateway.commands.output import as_json
from gateway.exceptions import UsageError
from gateway.settings import Settings

NAME = "pool"
HELP = "show pools, pods, queue, GPU use and cost in a Kubernetes cluster; drain, resume, capacity"

WAIT_SECONDS = 600.0
"""Twice the longest study."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verbs; without one the pools are shown."""
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument("--pool", metavar="NAME", help="this pool only")
    parser.add_argument(
        "--hours", type=float, default=24.0, help="cost of what ended within so many (24)"
    )
    parser.add_argument(
        "--gpu-hour-price",
        metavar="TYPE=EUR",
        action="append",
        default=[],
        help="what an hour of a GPU costs, by its type or resource; may be repeated",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    drain = verbs.add_parser("drain", help="take nothing more, wait, then delete or scale")
    resume = verbs.add_parser("resume", help="take screenings again")
    pool_capacity.add_arguments(
        verbs.add_parser("capacity", help="how many GPUs for so many studies a day, simulated")
    )
    for verb in (drain, resume):
        verb.add_argument("name", metavar="POD|POOL", help="pod/NAME or pool/NAME where both exist")
        verb.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print one JSON object, nothing else",
        )
    drain.add_argument(
        "--timeout",
        type=float,
        default=WAIT_SECONDS,
        metavar="SECONDS",
        help="how long to wait for what is in hand (%(default).0f)",
    )
    drain.add_argument(
        "--then",
        choices=("delete", "scale", "leave"),
        help="delete the pods (default for a pod), scale down by one pod or to none (default for a"
        " pool), or leave them",
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Show, drain, resume or simulate."""
    if args.verb == "drain":
        return _drain(args, settings)
    if args.verb == "resume":
        return _resume(args, settings)
    if args.verb == "capacity":
        return pool_capacity.capacity(args)
    return _show(args, settings)


def _show(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.cluster.prices import Prices, pairs_of
    from gateway.commands.pool_tables import print_pools
    from gateway.commands.pool_view import view_pools

    if not 0 < args.hours < math.inf:
        raise UsageError("--hours takes a number above 0.")
    prices = Prices([*pairs_of(settings.cluster.gpu_hour_prices), *args.gpu_hour_price])
    view = view_pools(settings, prices, hours=args.hours, only=args.pool)
    if args.json:
        sys.stdout.write(as_json(view))
    else:
        print_pools(view)
    return 0


def _drain(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.commands.pool_drain import drain

    def tell(line: str) -> None:
        if not args.json:
            print(line, file=sys.stderr)

    done = drain(settings, args.name, timeout_seconds=args.timeout, then=args.then, tell=tell)
    return _show_done(args, done)


def _resume(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.commands.pool_drain import resume

    return _show_done(args, resume(settings, args.name))


def _show_done(args: argparse.Namespace, done: dict[str, Any]) -> int:
    if args.json:
        sys.stdout.write(as_json(done))
    else:
        for line in done["done"]:
            print(line)
    return 0
