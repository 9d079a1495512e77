"""In which form a screening is given: JSON, which every other is made from, or FHIR."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.hiding import hidden
from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.media import media_ranges
from gateway.exceptions import NotAcceptableError
from gateway.results.fhir import MEDIA_TYPE as FHIR
from gateway.results.fhir import VERSIONS, fhir_bundle, shown_instances, validated
from gateway.results.signature import Signature, signature_of
from gateway.review.record import unseal
from gateway.store import reviews
from gateway.store.database import Connection
from gateway.store.study_header import StudyHeader, study_header

JSON = "application/json"

VARY = {"Vary": "Accept"}
"""Of an address that gives several forms, for caches."""


def chosen_form(request: web.Request) -> str:
    """Choose between JSON and FHIR; JSON for whoever takes both alike, or anything.

    Raises
    ------
    NotAcceptableError
        When the request takes neither, or another release of FHIR.
    """
    for one in media_ranges(request):
        if one.multipart:
            continue
        if one.takes(JSON):
            return JSON
        if one.takes(FHIR) and one.fhir_version in ("", *VERSIONS):
            return FHIR
    raise NotAcceptableError(f"A screening is given as {JSON} or {FHIR} (fhirVersion=4.0).")


def need_fhir(request: web.Request) -> None:
    """Refuse a request that does not take FHIR R4 as JSON."""
    for one in media_ranges(request):
        known = one.fhir_version in ("", *VERSIONS)
        if not one.multipart and known and (one.takes(FHIR) or one.takes(JSON)):
            return
    raise NotAcceptableError(f"The answer is given as {FHIR} (fhirVersion=4.0) only.")


async def answer_in(form: str, request: web.Request, result: Mapping[str, Any]) -> web.Response:
    """Give a screening in a form, whatever of it there is so far."""
    if form == FHIR:
        return await fhir_answer(request, result)
    return web.json_response(result, headers=VARY)


async def fhir_answer(request: web.Request, result: Mapping[str, Any]) -> web.Response:
    """Give a screening as a FHIR Bundle: as its readers signed it, once they have."""
    async with request.app[DATABASE].connection() as connection:
        result, signature = await _as_signed(request, connection, result)
        header = await study_header(
            connection,
            request[PRINCIPAL].tenant,
            result["study"]["study_instance_uid"],
            shown_instances(result),
        )
    body = await asyncio.to_thread(_encoded, result, header, signature)
    kind = f"{FHIR}; fhirVersion={VERSIONS[0]}"
    return web.Response(body=body, headers={"Content-Type": kind, **VARY})


async def _as_signed(
    request: web.Request, connection: Connection, result: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Signature | None]:
    """Give the final report in place of the result, where there is one that may be seen.

    Raises
    ------
    DamagedReviewError
        When it is not what was signed.
    """
    tenant, screening_id = request[PRINCIPAL].tenant, UUID(result["screening_id"])
    final = await reviews.final_report(connection, tenant, screening_id)
    study = result["study"]["study_instance_uid"]
    if final is None or await hidden(request, connection, [study], report=True):
        return result, None
    report = unseal(final["record"], bytes(final["digest"]))
    return report["result"], signature_of(report)


def _encoded(
    result: Mapping[str, Any], header: StudyHeader | None, signature: Signature | None
) -> bytes:
    bundle = validated(fhir_bundle(result, header, signature))
    return json.dumps(bundle, ensure_ascii=False, allow_nan=False).encode()
