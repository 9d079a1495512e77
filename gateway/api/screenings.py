"""``/v1/screenings`` and ``/v1/checks``."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import partial
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.api.hiding import hidden, without_findings
from gateway.api.json_body import json_object
from gateway.api.keys import DATABASE, OBJECTS, PARTNERS, PRINCIPAL, SETTINGS
from gateway.api.limits import refuse_when_full
from gateway.api.query import NAME
from gateway.api.result_forms import answer_in, chosen_form, fhir_answer, need_fhir
from gateway.api.sources import check_source, read_source
from gateway.api.state import LIFECYCLE, MANIFESTS
from gateway.api.watch import WATCH
from gateway.api.webhooks import check_callback
from gateway.exceptions import (
    InvalidJsonError,
    NotFoundError,
    OverloadedError,
    UnknownCheckError,
)
from gateway.intake.header import is_uid
from gateway.intake.partners import Partner
from gateway.results.json import screening_result
from gateway.screening.clinical import read_clinical
from gateway.screening.default_checks import default_checks
from gateway.screening.findings import thresholds_json
from gateway.screening.manifest import Manifest
from gateway.store import screenings
from gateway.store.default_order import checks_of_study
from gateway.store.masks import find_mask
from gateway.store.queue import LANES
from gateway.store.screenings import EXAM_CONTEXTS

MAXIMUM_IDEMPOTENCY_KEY_LENGTH = 255

_FIELDS = (
    "study_instance_uid",
    "checks",
    "lane",
    "exam_context",
    "clinical",
    "callback_url",
    "source",
)

routes = web.RouteTableDef()


@routes.post("/v1/screenings")
async def create_screening(request: web.Request) -> web.Response:
    """Ask for a study to be screened: 202 and where to look."""
    if request.app[LIFECYCLE].draining:
        raise OverloadedError("The server is stopping; try again.")
    body = await json_object(request)
    manifests = request.app[MANIFESTS]
    partner = request.app[PARTNERS].for_key(request[PRINCIPAL].tenant, request[PRINCIPAL].name)
    order = read_order(body, manifests, partner)
    if order.source is not None:
        check_source(order.source, request.app[PARTNERS], request[PRINCIPAL].tenant)
    idempotency = read_idempotency(request, body)
    request.app[WATCH].refuse_when_full(order.lane)
    tenant = request[PRINCIPAL].tenant
    async with request.app[DATABASE].connection() as connection:
        if order.callback_url is not None:
            await check_callback(connection, request.app[SETTINGS], tenant, order.callback_url)
        if not order.checks and order.source is None:
            checks = await checks_of_study(
                connection, tenant, order.study_instance_uid, partial(default_checks, manifests)
            )
            order = dataclasses.replace(order, checks=checks)
        row, created = await screenings.create(connection, tenant, order, **idempotency)
        if created:
            await refuse_when_full(connection, request[PRINCIPAL])
    return answer_created(row)


def answer_created(row: screenings.Row) -> web.Response:
    """Answer an order; a repeated one in the same words as the first, whatever came of it."""
    return web.json_response(
        screening_result(screenings.as_accepted(row), []),
        status=202,
        headers={"Location": f"/v1/screenings/{row['screening_id']}"},
    )


@routes.get("/v1/screenings/{screening_id}")
async def get_screening(request: web.Request) -> web.Response:
    """Show a screening: state, stage, plan, and the results released so far; as FHIR if asked."""
    form = chosen_form(request)
    return await answer_in(form, request, await shown_screening(request))


@routes.get("/v1/screenings/{screening_id}/fhir")
async def get_screening_fhir(request: web.Request) -> web.Response:
    """Give the same as a FHIR R4 Bundle."""
    need_fhir(request)
    return await fhir_answer(request, await shown_screening(request))


async def shown_screening(request: web.Request) -> dict[str, Any]:
    """Find the screening of an address and put together what it says."""
    async with request.app[DATABASE].connection() as connection:
        row, released, stage = await screenings.find(
            connection, request[PRINCIPAL].tenant, screening_id_of(request)
        )
        if await hidden(request, connection, [row["study_instance_uid"]]):
            row, released = without_findings(row), []
    return screening_result(row, released, stage=stage)


@routes.get("/v1/screenings/{screening_id}/masks/{check}")
async def get_mask(request: web.Request) -> web.Response:
    """Give the mask of a check's lesions as gzipped NIfTI-1."""
    check = request.match_info["check"]
    if not NAME.fullmatch(check):
        raise NotFoundError("No mask is kept of that check.")
    async with request.app[DATABASE].connection() as connection:
        pointer = await find_mask(
            connection, request[PRINCIPAL].tenant, screening_id_of(request), check
        )
    encoded = await asyncio.to_thread(
        request.app[OBJECTS].read, pointer.object_key, pointer.offset, pointer.length
    )
    return web.Response(body=encoded, content_type="application/gzip")


@routes.get("/v1/checks")
async def list_checks(request: web.Request) -> web.Response:
    """List the checks that are installed."""
    manifests = request.app[MANIFESTS].values()
    return web.json_response({"checks": [_check(m) for m in manifests if m.is_check]})


def read_order(
    body: Mapping[str, Any], manifests: Mapping[str, Manifest], partner: Partner
) -> screenings.Order:
    """Read the body of ``POST /v1/screenings``; the partner's profile fills in what it lacks.

    The checks are empty when neither names any.

    Raises
    ------
    InvalidJsonError
        For an unknown field or a value of the wrong type.
    UnknownCheckError
        Naming the checks that are installed.
    InvalidClinicalError
        Naming the clinical input.
    """
    if unknown := sorted(set(body) - set(_FIELDS)):
        raise InvalidJsonError(
            f"Unknown field {unknown[0][:40]!r}; known are {', '.join(_FIELDS)}."
        )
    source = read_source(body)
    uid = body.get("study_instance_uid")
    if source is not None and "s3" in source and "study_instance_uid" not in body:
        uid = ""
    elif not isinstance(uid, str) or not is_uid(uid):
        raise InvalidJsonError("study_instance_uid must be a UID.")
    installed = [name for name, manifest in manifests.items() if manifest.is_check]
    checks = body.get("checks", list(partner.checks or ()))
    listed = isinstance(checks, list) and all(isinstance(name, str) for name in checks)
    if not listed or ("checks" in body and not checks):
        raise InvalidJsonError("checks must be a list of names.")
    if missing := sorted(set(checks) - set(installed)):
        raise UnknownCheckError(
            f"No check {missing[0][:40]!r} is installed; installed are {', '.join(installed)}."
        )
    return screenings.Order(
        study_instance_uid=uid,
        checks=tuple(dict.fromkeys(checks)),
        lane=_one_of(body, "lane", tuple(LANES), partner.lane),
        exam_context=_one_of(body, "exam_context", EXAM_CONTEXTS, partner.exam_context),
        clinical=read_clinical(body.get("clinical", {})),
        callback_url=body.get("callback_url"),
        source=source,
        results=partner.results,
        send_results_to=partner.send_results_to,
    )


def read_idempotency(request: web.Request, body: Mapping[str, Any]) -> dict[str, Any]:
    """Read what makes a repeated request known, as parameters of `gateway.store.screenings.create`.

    Raises
    ------
    InvalidJsonError
        When the key is too long or no plain text.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return {}
    plain = key.isascii() and key.isprintable()
    if not plain or not 1 <= len(key) <= MAXIMUM_IDEMPOTENCY_KEY_LENGTH:
        raise InvalidJsonError(
            f"Idempotency-Key must have 1 to {MAXIMUM_IDEMPOTENCY_KEY_LENGTH} characters of ASCII."
        )
    said = json.dumps([request.path, body], sort_keys=True).encode()
    return {"idempotency_key": key, "request_digest": hashlib.sha256(said).digest()}


def screening_id_of(request: web.Request) -> UUID:
    """Read the screening that an address names."""
    try:
        return UUID(request.match_info["screening_id"])
    except ValueError:
        raise NotFoundError("There is no such screening.") from None


def _one_of(body: Mapping[str, Any], field: str, choices: tuple[str, ...], default: str) -> str:
    value = body.get(field, default)
    if value not in choices:
        raise InvalidJsonError(f"{field} must be one of {', '.join(choices)}.")
    return str(value)


def _check(manifest: Manifest) -> dict[str, Any]:
    needs = manifest.needs
    return {
        "check": manifest.name,
        "version": manifest.version,
        "title": {"en": manifest.title.en, "zh": manifest.title.zh},
        "intended_use": {"en": manifest.intended_use.en, "zh": manifest.intended_use.zh},
        "latency_class": manifest.latency_class,
        "needs": {
            "modality": list(needs.modality),
            "contrast": list(needs.contrast),
            "kernel": list(needs.kernel),
            "max_slice_thickness_mm": needs.max_slice_thickness_mm,
            "min_age_years": needs.min_age_years,
            "organs": [organ.name for organ in needs.organs],
        },
        "thresholds": thresholds_json(manifest),
        "weights_origin": manifest.provenance.get("origin"),
        "weights_installed": manifest.has_weights,
    }
