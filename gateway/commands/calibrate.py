"""``onescan calibrate``: move flag thresholds to the budget on a site's own negative studies."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from gateway.commands.table import report_console
from gateway.exceptions import UsageError
from gateway.screening.calibration import (
    LEAST_NEGATIVES,
    Calibration,
    Score,
    calibrate,
    split_budget,
)
from gateway.screening.manifest import Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.site_thresholds import save_site
from gateway.settings import Settings

NAME = "calibrate"
HELP = "move the flag thresholds to the budget on studies that are known to be negative"

STUDY_DIGITS = 16
"""Of the sha256 that stands for a study in the evidence: no UID is kept there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the negatives and the site."""
    parser.add_argument(
        "--negatives",
        metavar="FILE|DIR",
        nargs="+",
        type=Path,
        required=True,
        help="results that `onescan screen` wrote (JSON), or DICOM studies, which are screened",
    )
    parser.add_argument("--site", help="name of the set; that of the settings by default")
    parser.add_argument(
        "--minimum",
        metavar="N",
        type=int,
        default=LEAST_NEGATIVES,
        help="negatives that a scanner model must have for thresholds of its own "
        f"({LEAST_NEGATIVES} by default)",
    )
    parser.add_argument("--url", help="gateway that screens DICOM studies")
    parser.add_argument("--dry-run", action="store_true", help="show the set and write nothing")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Calibrate, store the set and its evidence, and show it."""
    if args.minimum < 1:
        raise UsageError("--minimum must be 1 or more.")
    manifests = load_manifests(settings.model_repository)
    results, dicom = read_results(args.negatives)
    if dicom:
        results += asyncio.run(_screen(dicom, args.url, settings))
    scores, passed_over = scores_of(results, manifests)
    found = calibrate(
        manifests, scores, budget=settings.screening.false_flag_budget, least=args.minimum
    )
    console = report_console()
    console.print(_table(found))
    console.print(_summary(found, passed_over), highlight=False)
    if args.dry_run:
        return 0
    site = save_site(
        settings.home,
        args.site or settings.screening.site,
        found,
        manifests,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        evidence=evidence_of(scores),
    )
    console.print(f"Kept as {site.id}; workers use it from their next start.", highlight=False)
    return 0


def read_results(paths: Iterable[Path]) -> tuple[list[dict[str, Any]], list[Path]]:
    """Tell results of earlier screenings from DICOM that is still to be screened.

    Returns
    -------
    results : list of dict
        Of every ``*.json`` that is one, or holds several under ``studies``.
    dicom : list of Path
        The paths, and what in folders is no JSON.
    """
    results: list[dict[str, Any]] = []
    dicom: list[Path] = []
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist.")
        files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
        found = [result for file in files for result in _results_in(file)]
        results += found
        if not found:
            dicom.append(path)
    return results, dicom


def scores_of(
    results: Iterable[Mapping[str, Any]], manifests: Mapping[str, Manifest]
) -> tuple[list[Score], int]:
    """Take from results what a threshold can be set on.

    Returns
    -------
    scores : list of Score
        Of checks that were evaluated with the weights and the manifests that are installed.
    passed_over : int
        Answers of other weights or manifests.
    """
    counted = split_budget(manifests, 1.0)
    scores: list[Score] = []
    passed_over = 0
    latest = {result["study"]["study_instance_uid"]: result for result in results}
    for study, result in latest.items():
        for check in result["checks"]:
            manifest = manifests.get(check["check"])
            if manifest is None or check["check"] not in counted or check["score"] is None:
                continue
            if check["state"] not in ("positive", "negative") and check["reason"] != "truncated":
                continue
            provenance, cuts = check["provenance"], check["thresholds"]
            if provenance["manifest_digest"] != manifest.digest or any(
                provenance["models"].get(model) != digest
                for model, digest in manifest.models.items()
            ):
                passed_over += 1
                continue
            scores.append(
                Score(
                    study=study,
                    check=check["check"],
                    scanner_model=provenance["scanner_model"],
                    score=float(check["score"]),
                    flagged_by_rule=any(by != cuts["score"] for by in cuts["flagged_by"]),
                )
            )
    return scores, passed_over


def evidence_of(scores: Iterable[Score]) -> str:
    """Write the scores that a set rests on, a digest in place of each study's UID."""
    rows = [
        {
            "study": hashlib.sha256(score.study.encode()).hexdigest()[:STUDY_DIGITS],
            "check": score.check,
            "scanner_model": score.scanner_model,
            "score": score.score,
            "flagged_by_rule": score.flagged_by_rule,
        }
        for score in scores
    ]
    rows.sort(key=lambda row: (row["check"], row["study"]))
    return json.dumps({"scores": rows}, indent=0, ensure_ascii=False) + "\n"


def _results_in(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix != ".json":
        return
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a readable JSON file: {error}") from None
    for result in value.get("studies", [value]) if isinstance(value, dict) else []:
        if isinstance(result, dict) and "checks" in result and "study" in result:
            yield result


async def _screen(paths: list[Path], url: str | None, settings: Settings) -> list[dict[str, Any]]:
    from gateway.commands.refused import tell_refused
    from gateway.commands.screen import gateway_of, screen
    from gateway.intake.folders import collect

    with collect(paths, settings=settings.intake) as found:
        tell_refused(found.refused)
        if not found.instances:
            raise UsageError("There is neither a result nor a DICOM instance among the negatives.")
        async with gateway_of(url, settings) as address:
            return await screen(address, found.instances)


def _table(found: Calibration) -> Table:
    table = Table(title="Flag thresholds", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("check", "scanner model", "negatives", "flag", "flagged", "share", ""):
        wide = heading in ("flag", "flagged")
        table.add_column(heading, overflow="fold", no_wrap=wide)
    for check in found.checks:
        for flag in check.flags:
            table.add_row(
                check.check,
                flag.scanner_model,
                str(flag.negatives),
                f"{flag.before:g} → {flag.value:g}",
                f"{flag.flagged_before} → {flag.flagged}",
                f"≤ {100 * flag.upper_bound:.2f} %, budget {100 * check.budget:.2f} %",
                flag.change.replace("_", " "),
            )
    return table


def _summary(found: Calibration, passed_over: int) -> str:
    said = (
        f"{found.studies} negative studies: {found.flagged_before} were flagged, {found.flagged} "
        f"would be; at most {100 * found.upper_bound:.1f} % of such studies (Wilson 95 %), "
        f"budget {100 * found.budget:g} %."
    )
    if passed_over:
        said += f" {passed_over} answers of other weights or manifests were passed over."
    return said
