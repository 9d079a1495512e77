"""``onescan backup``: the whole deployment of one moment, copied to a folder elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.commands.operator import actor
from gateway.commands.output import as_json
from gateway.exceptions import UsageError
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.backup.place import Place

NAME = "backup"
HELP = "copy database, objects and keys of one moment to a folder, or verify such a copy"

VERIFY = "verify"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folder and what is done with it."""
    parser.add_argument(
        "words",
        nargs="+",
        metavar=f"[{VERIFY}] DEST",
        help="folder of backups; `verify` reads one through instead of making one",
    )
    parser.add_argument("--name", default="", help="of the backup to verify; without it the newest")
    parser.add_argument(
        "--keep", type=int, default=0, metavar="N", help="remove older backups beyond so many"
    )
    parser.add_argument(
        "--skip-missing", action="store_true", help="go on without objects that the store has lost"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Make or verify; 1 for a backup that is damaged or made without lost objects."""
    from gateway.backup.place import Place

    *verbs, folder = args.words
    if verbs not in ([], [VERIFY]) or args.keep < 0:
        raise UsageError(f"It is `onescan backup DEST` or `onescan backup {VERIFY} DEST`.")
    place = Place(Path(folder))
    return _verify(args, place) if verbs else _make(args, settings, place)


def _make(args: argparse.Namespace, settings: Settings, place: Place) -> int:
    from gateway.backup.make import make

    made = asyncio.run(
        make(settings, place, actor=actor(), skip_missing=args.skip_missing, keep=args.keep)
    )
    manifest = made.manifest
    if args.json:
        told = {
            "name": manifest.name,
            "path": str(made.folder),
            "point": manifest.point,
            "revision": manifest.revision,
            "rows": dict(manifest.rows),
            "objects": manifest.objects,
            "object_bytes": manifest.object_bytes,
            "copied": made.copied,
            "copied_bytes": made.copied_bytes,
            "kept": made.kept,
            "missing": list(manifest.missing),
            "pruned": {"backups": made.pruned[0], "objects": made.pruned[1]},
            "seconds": round(made.seconds, 3),
        }
        sys.stdout.write(as_json(told))
    else:
        print(f"{made.folder}")
        print(
            f"Everything acknowledged before {manifest.point} is in it:"
            f" {manifest.rows.get('studies', 0)} studies, {manifest.objects} objects of"
            f" {manifest.object_bytes / 1e6:.1f} MB, {made.copied} of them copied now"
            f" ({made.copied_bytes / 1e6:.1f} MB)."
        )
        if args.keep:
            print(f"Removed {made.pruned[0]} older backups and {made.pruned[1]} objects of theirs.")
    if manifest.missing:
        print(
            f"onescan: {len(manifest.missing)} objects were lost before and are not in it, such as"
            f" {manifest.missing[0]}.",
            file=sys.stderr,
        )
    return int(bool(manifest.missing))


def _verify(args: argparse.Namespace, place: Place) -> int:
    from gateway.backup.verify import verify
    from gateway.exceptions import DamagedBackupError

    found = verify(place, args.name)
    name = found.manifest.name
    if args.json:
        told = asdict(found) | {"manifest": None, "whole": not found.problems, "name": name}
        del told["manifest"]
        sys.stdout.write(as_json(told))
        return int(bool(found.problems))
    for problem in found.problems[1:]:
        print(f"onescan: {problem}", file=sys.stderr)
    if found.problems:
        raise DamagedBackupError(found.problems[0])
    print(
        f"{name} is whole: {found.objects} objects of {found.bytes / 1e6:.1f} MB, database and"
        f" keys of {found.manifest.point}."
    )
    return 0
