"""In which form a screening is given: JSON, which every other is made from, or FHIR."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from gateway.api.keys import DATABASE, PRINCIPAL
from gateway.api.media import media_ranges
from gateway.exceptions import NotAcceptableError
from gateway.results.fhir import MEDIA_TYPE as FHIR
from gateway.results.fhir import VERSIONS, fhir_bundle, shown_instances, validated
from gateway.results.signature import Signature
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


async def fhir_answer(
    request: web.Request, result: Mapping[str, Any], signature: Signature | None = None
) -> web.Response:
    """Give a screening as a FHIR Bundle."""
    async with request.app[DATABASE].connection() as connection:
        header = await study_header(
            connection,
            request[PRINCIPAL].tenant,
            result["study"]["study_instance_uid"],
            shown_instances(result),
        )
    body = await asyncio.to_thread(_encoded, result, header, signature)
    kind = f"{FHIR}; fhirVersion={VERSIONS[0]}"
    return web.Response(body=body, headers={"Content-Type": kind, **VARY})


def _encoded(
    result: Mapping[str, Any], header: StudyHeader | None, signature: Signature | None
) -> bytes:
    bundle = validated(fhir_bundle(result, header, signature))
    return json.dumps(bundle, ensure_ascii=False, allow_nan=False).encode()
