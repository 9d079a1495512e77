"""``onescan inspect``: what is in these files and what would be screened; no server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.commands.output import as_json
from gateway.commands.refused import tell_refused
from gateway.exceptions import NoInputError, NoSuitableSeriesError
from gateway.settings import Settings

NAME = "inspect"
UID_DIGITS = 8
"""Of a UID, which nobody reads to its end in a table; --json has it whole."""

HELP = "show series, geometry and quality of DICOM files, and what each check would take"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the files and the form of the answer."""
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument(
        "--nifti", metavar="OUT.nii.gz", type=Path, help="write the chosen volume in HU there"
    )


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Inspect and print."""
    from gateway.intake.folders import collect
    from gateway.screening.manifest_reader import load_manifests
    from gateway.study.inspect import inspect_study
    from gateway.study.nifti import save_nifti

    requirements = {
        name: manifest.requirement
        for name, manifest in load_manifests(settings.model_repository).items()
        if manifest.is_check
    }
    with collect(args.paths, settings=settings.intake) as found:
        tell_refused(found.refused)
        if not found.instances:
            raise NoInputError(f"No DICOM instance was found in {args.paths[0]}.")
        report, volume = inspect_study(
            found.instances, found.objects, requirements, settings=settings
        )
    if args.nifti:
        if volume is None:
            raise NoSuitableSeriesError()
        save_nifti(args.nifti, volume.array, volume.affine)
    if args.json:
        print(as_json(report), end="")
    else:
        _print(report)
    return 0


def _print(report: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(title="Series", title_justify="left")
    for heading in ("series", "description", "kernel", "mm", "slices", "verdict"):
        table.add_column(heading, overflow="fold")
    chosen = (report.get("chosen") or {}).get("series_instance_uid")
    for series in report["series"]:
        uid = series["series_instance_uid"]
        table.add_row(
            f"…{uid[-UID_DIGITS:]}",
            " ".join(filter(None, (series.get("modality"), series.get("description")))),
            str(series.get("kernel") or ""),
            str(series.get("thickness_mm") or ""),
            str(series.get("slices") or ""),
            "chosen" if uid == chosen else (series.get("reason") or "usable"),
            style="bold" if uid == chosen else "",
        )
    console.print(table)
    if geometry := report.get("geometry"):
        slices, rows, columns = geometry["shape"]
        console.print(
            f"geometry  {slices} slices of {rows} × {columns}, "
            f"{' × '.join(f'{mm:g}' for mm in geometry['spacing_mm'])} mm, "
            f"{geometry['coverage_mm']:g} mm along the body, {geometry['orientation']}"
            f"{', tilt corrected' if geometry['tilt_corrected'] else ''}",
            markup=False,
        )
    for flag in (report.get("quality") or {}).get("flags", []):
        console.print(
            f"quality   {flag['severity']}: {flag['message']} [{flag['code']}]", markup=False
        )
    for check, need in report["checks"].items():
        console.print(
            f"{check}  {need.get('fit') or need.get('code')}: {need.get('reason', '')}",
            markup=False,
        )
