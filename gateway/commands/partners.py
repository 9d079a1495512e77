"""``onescan partners check``: read a partners file and print what it says."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.settings import Settings

NAME = "partners"
HELP = "check a partners file and print what it says"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb and the file."""
    parser.add_argument("verb", choices=("check",))
    parser.add_argument("file", metavar="FILE", type=Path, nargs="?", help="the settings' own")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Read the file and the installed checks, and print one paragraph a partner."""
    from gateway.dimse.archive import read_archive
    from gateway.exceptions import UsageError
    from gateway.intake.partners_reader import read_partners
    from gateway.screening.default_checks import refuse_unknown_checks
    from gateway.screening.manifest_reader import load_manifests

    file = args.file or settings.partners
    if file is None:
        raise UsageError("Name a partners file: the settings name none.")
    partners = read_partners(file)
    refuse_unknown_checks(partners, load_manifests(settings.model_repository))
    for partner in partners.partners.values():
        keys = partner.keys
        print(f"partner {partner.name}: tenant {partner.tenant}")
        print(f"  ae titles     {', '.join(partner.ae_titles) or 'none'}")
        if partner.called:
            print(f"  when calling  {', '.join(partner.called)}")
        if partner.addresses:
            print(f"  only from     {', '.join(map(str, partner.addresses))}")
        print(f"  api keys      {'none' if keys is None else ', '.join(keys) or 'all others'}")
        print(f"  checks        {', '.join(partner.checks or ()) or 'all of the modality'}")
        print(f"  order         lane {partner.lane}, exam context {partner.exam_context}")
        print(f"  screened      {_when(partner.quiet_seconds)}")
        if partner.results:
            print(f"  results       {', '.join(partner.results)}; {_sent(partner.send_results_to)}")
        if partner.review != "single":
            print(f"  review        {partner.review}")
        for rule in partner.stat:
            conditions = " and ".join(f"{name} is {pattern}" for name, pattern in rule.patterns)
            print(f"  stat when     {conditions}")
    for archive in partners.archives.values():
        read_archive(archive)
        print(f"archive {archive.name}: for {', '.join(archive.tenants)}")
    for source in partners.sources.values():
        print(f"source {source.name}: for {', '.join(source.tenants)}")
    for tenant, care in partners.critical.items():
        print(f"critical {tenant}: {', then '.join(care.ask)}, {care.minutes:g} min each")
    return 0


def _sent(receiver: str | None) -> str:
    return f"sent to {receiver}" if receiver is not None else "kept here"


def _when(quiet_seconds: float) -> str:
    return f"after {quiet_seconds:g} s without arrivals" if quiet_seconds else "on request only"
