"""``onescan restore``: a backup, into a deployment that has nothing yet."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from gateway.commands.operator import actor
from gateway.commands.output import as_json
from gateway.settings import Settings

NAME = "restore"
HELP = "restore a backup into an empty home, or an empty database and store"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the backups are, and which one."""
    parser.add_argument("source", metavar="SOURCE", type=Path, help="folder of backups")
    parser.add_argument("--name", default="", help="of the backup; without it the newest")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Restore and say what is there."""
    from gateway.backup.place import Place
    from gateway.backup.restore import restore

    done = asyncio.run(restore(settings, Place(args.source), actor=actor(), name=args.name))
    manifest = done.manifest
    if args.json:
        told = {
            "name": manifest.name,
            "point": manifest.point,
            "revision": manifest.revision,
            "migrated_to": done.migrated_to,
            "rows": dict(manifest.rows),
            "objects": manifest.objects,
            "object_bytes": manifest.object_bytes,
            "missing": list(manifest.missing),
            "open_screenings": manifest.open_screenings,
            "handed_back": done.handed_back,
            "audit_lines": done.audit_lines,
            "settings": dict(done.settings),
            "seconds": round(done.seconds, 3),
        }
        sys.stdout.write(as_json(told))
        return 0
    studies = manifest.rows.get("studies", 0)
    print(
        f"Restored {manifest.name}, the state of {manifest.point}: {studies} studies,"
        f" {manifest.objects} objects of {manifest.object_bytes / 1e6:.1f} MB,"
        f" {manifest.open_screenings} open screenings, an audit log of {done.audit_lines} lines."
    )
    if manifest.missing:
        print(f"{len(manifest.missing)} objects had been lost before the backup was made.")
    for name, value in done.settings.items():
        print(f"It ran with {name}={value if value is not None else '(a secret)'}.")
    return 0
