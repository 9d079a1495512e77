"""``onescan screen``: send studies to a server, wait, show the findings."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.client import FINAL_STATES, Address, GatewayClient
from gateway.commands.output import as_json
from gateway.commands.refused import tell_failures, tell_refused
from gateway.commands.table import findings_table, plan_table, report_console
from gateway.exceptions import InvalidClinicalError, NoInputError, UsageError
from gateway.instance import Instance
from gateway.screening.clinical import read_clinical
from gateway.screening.rules.lung_rule import EXAM_CONTEXTS
from gateway.settings import Settings

NAME = "screen"
HELP = "screen the studies in folders, files or zips and print the findings"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what is screened, where, for what."""
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path)
    parser.add_argument("--url", help="gateway to use; without it an embedded server is started")
    parser.add_argument("--checks", metavar="A,B", help="only these checks; all by default")
    parser.add_argument("--clinical", metavar="FILE", type=Path, help="clinical inputs as JSON")
    parser.add_argument(
        "--exam-context",
        choices=EXAM_CONTEXTS,
        default="unknown",
        help="why the scan was made; which lung rule applies follows it",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="write each result there as JSON, and the masks of what is shown as NIfTI",
    )
    parser.add_argument(
        "--fhir", action="store_true", help="with --out: write each result as FHIR R4, too"
    )
    parser.add_argument(
        "--dicom",
        action="store_true",
        help="with --out: write each result as SR, SEG and Secondary Capture, too",
    )
    parser.add_argument("--plan", action="store_true", help="show what each check was given, too")
    parser.add_argument(
        "--language", choices=("en", "zh"), default="en", help="of the texts; en by default"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Screen and print; 1 when a screening failed."""
    if args.fhir and not args.out:
        raise UsageError("--fhir needs --out DIR, where it writes.")
    if args.dicom and not args.out:
        raise UsageError("--dicom needs --out DIR, where it writes.")
    return asyncio.run(_run(args, settings))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    from gateway.intake.folders import collect

    clinical = _read_clinical(args.clinical)
    with collect(args.paths, settings=settings.intake) as found:
        tell_refused(found.refused)
        if not found.instances:
            raise NoInputError(f"No DICOM instance was found in {_names(args.paths)}.")
        if clinical:
            _one_patient(found.instances)
        async with gateway_of(args.url, settings) as address:
            results = await screen(
                address,
                found.instances,
                checks=args.checks.split(",") if args.checks else None,
                clinical=clinical,
                exam_context=args.exam_context,
            )
            if args.out:
                await write_results(
                    args.out, results, client_of(address), fhir=args.fhir, dicom=args.dicom
                )
    if args.json:
        print(as_json(results[0] if len(results) == 1 else {"studies": results}), end="")
    else:
        console = report_console()
        for result in results:
            console.print(findings_table(result, language=args.language))
            if args.plan:
                console.print(plan_table(result))
    return int(any(result["state"] != "done" or _failed(result) for result in results))


async def screen(
    address: Address,
    instances: list[Instance],
    *,
    checks: list[str] | None = None,
    clinical: dict[str, Any] | None = None,
    exam_context: str = "unknown",
) -> list[dict[str, Any]]:
    """Send the instances, screen each study, give the results in the order of arrival."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        transient=False,
        disable=not console.is_terminal,
    ) as progress:
        async with client_of(address) as client:
            total = sum(instance.object_length for instance in instances)
            sending = progress.add_task("send by STOW-RS", total=total, note="")
            failed = await client.store(
                instances, advance=lambda count: progress.advance(sending, count)
            )
            tell_failures(failed)
            refused = {failure["sop_instance_uid"] for failure in failed}
            studies = dict.fromkeys(
                instance.study_instance_uid
                for instance in instances
                if instance.sop_instance_uid not in refused
            )
            if not studies:
                raise NoInputError("The server took none of the instances.")
            order: dict[str, Any] = {"exam_context": exam_context}
            if checks:
                order["checks"] = checks
            if clinical:
                order["clinical"] = clinical
            return [
                await _screen_one(client, progress, {"study_instance_uid": study, **order})
                for study in studies
            ]


async def _screen_one(
    client: GatewayClient,
    progress: Progress,
    body: dict[str, Any],
) -> dict[str, Any]:
    created = await client.create_screening(body)
    task = progress.add_task("screen", total=len(STAGES), note="")

    def seen(screening: dict[str, Any]) -> None:
        stage = screening.get("stage") or screening["state"]
        done = len(STAGES) if screening["state"] in FINAL_STATES else _stage_index(stage)
        progress.update(task, completed=done, note=stage)

    return await client.wait(created["screening_id"], seen=seen)


STAGES = ("accepted", "series", "memory", "decode", "quality", "anatomy", "plan", "checks", "done")
"""What a screening goes through, for the progress bar."""


def _stage_index(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else 0


@contextlib.asynccontextmanager
async def gateway_of(url: str | None, settings: Settings) -> AsyncIterator[Address]:
    """Give the gateway to use.

    Without an address that is the server that runs on this home, or else one of our own.
    """
    from gateway.runtime.stack import embedded, running_url, stored_key

    key = settings.api.key or stored_key(settings)
    if url:
        yield Address(url, key)
    elif running := await running_url(settings):
        yield Address(running, key, settings.api.certificate)
    else:
        async with embedded(settings) as server:
            yield Address(server.url, server.key, settings.api.certificate)


def client_of(address: Address) -> GatewayClient:
    """Make a client of a gateway."""
    return GatewayClient(address.url, address.key, address.certificate)


def _read_clinical(path: Path | None) -> dict[str, Any] | None:
    """Read and check the file as the server will, and give it as it was written, units and all."""
    if path is None:
        return None
    try:
        clinical = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidClinicalError(f"{path} is not a readable JSON file: {error}") from None
    if not isinstance(clinical, dict):
        raise InvalidClinicalError(f"{path} must hold one JSON object.")
    read_clinical(clinical)
    return clinical


def _one_patient(instances: list[Instance]) -> None:
    """Refuse to give one patient's values to the studies of several."""
    from gateway.screening.patient import identity_reason

    if identity_reason(instances) is not None:
        raise UsageError("--clinical holds one patient's values; the files hold several patients.")


async def write_results(
    folder: Path,
    results: list[dict[str, Any]],
    client: GatewayClient,
    *,
    fhir: bool = False,
    dicom: bool = False,
) -> None:
    """Write each result as ``STUDY.json``, and its masks as ``STUDY.CHECK.nii.gz``.

    With `fhir` as ``STUDY.fhir.json``, too; with `dicom` as ``STUDY.KIND.N.dcm``.
    """
    from gateway.store.result_jobs import KINDS

    folder.mkdir(parents=True, exist_ok=True)
    async with client:
        for result in results:
            study = result["study"]["study_instance_uid"]
            (folder / f"{study}.json").write_text(as_json(result), encoding="utf-8")
            if fhir:
                bundle = await client.fhir(result["screening_id"])
                (folder / f"{study}.fhir.json").write_text(as_json(bundle), encoding="utf-8")
            for kind in KINDS if dicom and result["state"] == "done" else ():
                made = await client.objects(result["screening_id"], kind)
                for number, data in enumerate(made, 1):
                    (folder / f"{study}.{kind}.{number}.dcm").write_bytes(data)
            for check in result["checks"]:
                if check.get("mask"):
                    mask = await client.mask(result["screening_id"], check["check"])
                    (folder / f"{study}.{check['check']}.nii.gz").write_bytes(mask)


def _failed(result: dict[str, Any]) -> bool:
    return any(check["state"] == "failed" for check in result["checks"])


def _names(paths: list[Path]) -> str:
    return ", ".join(str(path) for path in paths)
