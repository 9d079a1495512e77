"""Query parameters of lists, and the cursor that leads to the next page."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.intake.header import is_uid
from gateway.store.listing import MAX_LIMIT, Page

DEFAULT_LIMIT = 50

NAME = re.compile(r"[a-z0-9_]{1,64}")
"""Names of checks."""

Reader = Callable[[str], Any]
"""Reads a value; ValueError with a sentence when it is none of its kind."""


def read_query(request: web.Request, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read the parameters of a request.

    Raises
    ------
    UnknownQueryKeyError
        For a parameter that is not among the readers, naming those that are.
    InvalidQueryError
        For one that is given twice, or whose value is none of its kind.
    """
    given: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in readers:
            raise UnknownQueryKeyError(
                f"Unknown parameter {name[:40]!r}; known are {', '.join(readers)}."
            )
        if name in given:
            raise InvalidQueryError(f"{name} is given twice.")
        try:
            given[name] = readers[name](text)
        except ValueError as error:
            raise InvalidQueryError(f"{name} {error}.") from None
    return given


def read_page(
    request: web.Request, readers: Mapping[str, Reader], *, key: Reader
) -> tuple[Page, str]:
    """Read filters, ``limit`` and ``cursor``.

    Parameters
    ----------
    key : callable
        Reads the identifier of a row, as it stands in a cursor.

    Returns
    -------
    page : Page
        What to ask the store for: one row more than is shown, which says whether there is more.
    mark : str
        Names the filters in the cursor of the next page; see `answer_page`.
    """
    given = read_query(request, {**readers, "limit": _limit, "cursor": str})
    limit, cursor = given.pop("limit", DEFAULT_LIMIT), given.pop("cursor", None)
    filters = sorted((k, v) for k, v in request.query.items() if k not in ("limit", "cursor"))
    said = json.dumps([request.path, filters]).encode()
    mark = hashlib.sha256(said).hexdigest()[:8]
    before = None if cursor is None else _decode(cursor, mark, key)
    return Page(filters=given, before=before, limit=limit + 1), mark


def answer_page(
    name: str,
    rows: list[dict[str, Any]],
    page: Page,
    mark: str,
    *,
    key: str,
    show: Callable[[dict[str, Any]], Any],
) -> dict[str, Any]:
    """Put a page together: ``{name: […], "next_cursor": …}``."""
    shown = rows[: page.limit - 1]
    more = len(rows) == page.limit
    last = shown[-1] if shown else None
    return {
        name: [show(row) for row in shown],
        "next_cursor": (
            _encode(last["created_at"], str(last[key]), mark) if more and last else None
        ),
    }


def words(*choices: str) -> Reader:
    """Read a list of words, comma between."""

    def read(text: str) -> list[str]:
        given = text.split(",")
        if not set(given) <= set(choices):
            raise ValueError(f"must be a list of {', '.join(choices)}")
        return given

    return read


def names(text: str) -> list[str]:
    """Read a list of names, comma between."""
    given = text.split(",")
    if not all(map(NAME.fullmatch, given)):
        raise ValueError("must be a list of names")
    return given


def uid(text: str) -> str:
    """Read a DICOM UID."""
    if not is_uid(text):
        raise ValueError("must be a UID")
    return text


def identifier(text: str) -> UUID:
    """Read a UUID."""
    try:
        return UUID(text)
    except ValueError:
        raise ValueError("must be a UUID") from None


def plain(text: str) -> str:
    """Read one short line."""
    if not 0 < len(text) <= 64 or not text.isprintable():
        raise ValueError("must be one line of at most 64 characters")
    return text


def moment(text: str) -> datetime:
    """Read a date, or a time with its offset; a date begins at midnight UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time as in 2026-11-21T08:00:00Z") from None
    if value.tzinfo is None and len(text) > len("2026-11-21"):
        raise ValueError("must have an offset, or Z")
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not 1 < value.year < 9999:
        raise ValueError("is out of range")
    return value


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"must be 1 to {MAX_LIMIT}")
    return int(text)


def _encode(at: datetime, identifier: str, mark: str) -> str:
    said = json.dumps([at.isoformat(), identifier, mark], separators=(",", ":"))
    return base64.urlsafe_b64encode(said.encode()).decode().rstrip("=")


def _decode(cursor: str, mark: str, key: Reader) -> tuple[datetime, str]:
    try:
        said = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        at, identifier, of = said
        before = moment(at), str(key(identifier))
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidQueryError("The cursor is none of ours.") from None
    if of != mark:
        raise InvalidQueryError("The cursor belongs to a list with other filters.")
    return before
