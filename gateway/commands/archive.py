"""``onescan archive``: ask an archive of the partners file."""

from __future__ import annotations

import argparse
import asyncio
import json

from gateway.exceptions import NotFoundError, UsageError
from gateway.settings import Settings

NAME = "archive"
HELP = "verify or query an archive of the partners file (C-ECHO, C-FIND)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is asked, of whom."""
    commands = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    echo = commands.add_parser("echo", help="verify that it answers")
    find = commands.add_parser("find", help="query it; one JSON object a match")
    for sub in (echo, find):
        sub.add_argument("name", metavar="NAME", help="as in [archives.NAME]")
    find.add_argument("--level", choices=("STUDY", "SERIES", "IMAGE"), default="STUDY")
    find.add_argument(
        "keys", nargs="*", metavar="KEYWORD=VALUE", help="to match; without a value only asked for"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Ask and print."""
    from gateway.dimse.archive import read_archive
    from gateway.dimse.scu import ArchiveClient
    from gateway.intake.partners_reader import load_partners

    archives = load_partners(settings).archives
    if args.name not in archives:
        known = ", ".join(sorted(archives)) or "none"
        raise NotFoundError(f"There is no archive {args.name!r}; known: {known}.")
    client = ArchiveClient(read_archive(archives[args.name]))
    if args.action == "echo":
        asyncio.run(client.echo())
        print(f"{args.name} answers.")
        return 0
    for match in asyncio.run(client.find(args.level, _keys(args.keys))):
        print(json.dumps({e.keyword: str(e.value) for e in match if e.keyword}))
    return 0


def _keys(texts: list[str]) -> dict[str, str]:
    from pydicom.datadict import tag_for_keyword

    keys: dict[str, str] = {}
    for text in texts:
        keyword, _, value = text.partition("=")
        if tag_for_keyword(keyword) is None:
            raise UsageError(f"{keyword!r} is no DICOM keyword.")
        keys[keyword] = value
    return keys
