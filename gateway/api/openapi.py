"""The OpenAPI 3.1 document, made from `gateway.api.operations` and `gateway.api.schemas`."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from http import HTTPStatus
from typing import Any

from gateway import __version__
from gateway.api.operations import OPERATIONS, Answer, Operation, Parameter
from gateway.api.schemas import Schema, of, ref, schemas
from gateway.exceptions import (
    ForbiddenError,
    OneScanError,
    OverloadedError,
    RateLimitedError,
    RequestError,
    StoreUnavailableError,
    UnauthorizedError,
)
from gateway.results.json import DISCLAIMER
from gateway.store.events import KINDS

EVERYWHERE: tuple[type[OneScanError], ...] = (
    RequestError,
    UnauthorizedError,
    ForbiddenError,
    RateLimitedError,
    OverloadedError,
    StoreUnavailableError,
)
"""What any operation that asks for a key may be answered with."""


@cache
def document() -> dict[str, Any]:
    """Give the document; the same in every process of a release."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "OneScan",
            "version": __version__,
            "description": (
                "One native CT study goes in, eight and more disease checks come out. "
                f"{DISCLAIMER} DICOMweb lies under /dicomweb and is described by PS3.18."
            ),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"key": []}],
        "paths": dict(paths),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def errors_of(operation: Operation) -> dict[int, list[type[OneScanError]]]:
    """Give the errors of an operation by their status."""
    kinds = operation.errors if operation.open else (*EVERYWHERE, *operation.errors)
    by_status: dict[int, list[type[OneScanError]]] = defaultdict(list)
    for kind in kinds:
        by_status[kind.status].append(kind)
    return dict(by_status)


def sentence(kind: type[OneScanError]) -> str:
    """Give an error's code and its sentence."""
    return f"`{kind.code}`: {(kind.__doc__ or '').strip().splitlines()[0]}"


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.says,
        "tags": [operation.group],
        "parameters": [_parameter(one) for one in operation.parameters],
        "responses": {
            **{str(status): _answer(answer) for status, answer in operation.answers.items()},
            **{
                str(status): _problem(status, kinds)
                for status, kinds in sorted(errors_of(operation).items())
                if status not in operation.answers
            },
        },
    }
    if operation.open:
        told["security"] = []
    if operation.body:
        told["requestBody"] = {
            "required": operation.body_required,
            "content": {"application/json": {"schema": ref(operation.body)}},
        }
    return told


def _parameter(one: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {"name": one.name, "in": one.where, "schema": one.schema}
    if one.where == "path":
        told["required"] = True
    if one.says:
        told["description"] = one.says
    if one.schema.get("type") == "array":
        told |= {"style": "form", "explode": False}
    return told


def _answer(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.says}
    if answer.headers:
        told["headers"] = {
            name: {"description": says, "schema": {"type": "string"}}
            for name, says in answer.headers.items()
        }
    if answer.media == "text/event-stream":
        data: Schema = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": ref(answer.schema),
        }
        kind: Schema = {"enum": list(KINDS)}
        event = of({"id": {"type": "string"}, "event": kind, "data": data})
        told["content"] = {answer.media: {"schema": event}}
    elif answer.media:
        schema = ref(answer.schema) if answer.schema else {}
        told["content"] = {answer.media: {"schema": schema} if schema else {}}
        told["content"] |= {media: {"schema": ref(name)} for media, name in answer.also.items()}
    return told


def _problem(status: int, kinds: list[type[OneScanError]]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "description": " ".join(map(sentence, kinds)),
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        told["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return told
