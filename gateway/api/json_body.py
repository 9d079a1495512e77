"""The one JSON object that a request carries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from gateway.exceptions import InvalidJsonError, UnsupportedMediaTypeError


async def json_object(request: web.Request, fields: Sequence[str] | None = None) -> dict[str, Any]:
    """Read the body of a request.

    Parameters
    ----------
    fields : sequence of str, optional
        The only ones that are taken.

    Raises
    ------
    UnsupportedMediaTypeError
        When it is not said to be JSON.
    InvalidJsonError
        When it is no JSON object, or has another field.
    """
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError("The body must be application/json.")
    try:
        body = json.loads(await request.read(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise InvalidJsonError("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise InvalidJsonError("The body must be one JSON object.")
    if fields is not None and (unknown := sorted(set(body) - set(fields))):
        raise InvalidJsonError(f"Unknown field {unknown[0][:40]!r}; known are {', '.join(fields)}.")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(name)
