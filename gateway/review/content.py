"""The content of a review: what a reader may write, whatever the checks say."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.exceptions import InvalidReviewError

Content = dict[str, Any]
"""``comment``, ``findings`` by check, and ``marks``."""

DECISIONS = ("accepted", "rejected", "corrected")
LESION_DECISIONS = (*DECISIONS, "added")

SETTLED = ("positive", "negative", "indeterminate")
"""States that a reader may give a check."""

URGENCIES = ("critical", "urgent", "follow_up", "note")

MAX_COMMENT_CHARACTERS = 10_000

MAX_LESIONS = 500
"""Of one finding, and marks of one review; no reader lists more by hand."""

MAX_NUMBER = 1e9
"""Millimetres and measures are far below."""

NAME = re.compile(r"[a-z0-9_]{1,64}")

_UID = re.compile(r"[0-9.]{1,64}")

EMPTY: Mapping[str, Any] = {"comment": "", "findings": {}, "marks": []}


def read_content(given: Any, *, marks: bool) -> Content:
    """Check the form of a review's content; give it with nothing left out.

    Parameters
    ----------
    marks : bool
        Whether the reader marks lesions without having seen the findings; else he judges findings.

    Raises
    ------
    InvalidReviewError
        Naming the place.
    """
    body = _object(given, "content", tuple(EMPTY))
    read: Content = {
        "comment": _comment(body, "content"),
        "findings": {},
        "marks": [],
    }
    findings = body.get("findings", {})
    if not isinstance(findings, dict):
        raise InvalidReviewError("findings must map checks to what is said of them.")
    if findings and marks:
        raise InvalidReviewError("This review takes marks, not findings.")
    if body.get("marks") and not marks:
        raise InvalidReviewError("This review takes findings, not marks.")
    for check, said in findings.items():
        if not NAME.fullmatch(check):
            raise InvalidReviewError("findings must map names of checks.")
        read["findings"][check] = _finding(said, f"findings.{check}")
    for index, mark in enumerate(_list(body.get("marks", []), "marks")):
        read["marks"].append(_mark(mark, f"marks[{index}]"))
    return read


def _finding(given: Any, where: str) -> dict[str, Any]:
    fields = ("decision", "state", "urgency", "comment", "lesions", "measures")
    body = _object(given, where, fields)
    read: dict[str, Any] = {"decision": _one_of(body.get("decision"), DECISIONS, where)}
    if body.get("state") is not None:
        read["state"] = _one_of(body["state"], SETTLED, f"{where}.state")
    if body.get("urgency") is not None:
        read["urgency"] = _one_of(body["urgency"], URGENCIES, f"{where}.urgency")
    read["comment"] = _comment(body, where)
    read["lesions"] = [
        _lesion(lesion, f"{where}.lesions[{index}]")
        for index, lesion in enumerate(_list(body.get("lesions", []), f"{where}.lesions"))
    ]
    ids = [lesion["id"] for lesion in read["lesions"] if "id" in lesion]
    if len(set(ids)) < len(ids):
        raise InvalidReviewError(f"{where}.lesions names a lesion twice.")
    measures = body.get("measures", {})
    if not isinstance(measures, dict) or len(measures) > MAX_LESIONS:
        raise InvalidReviewError(f"{where}.measures must map names to numbers.")
    read["measures"] = {}
    for name, number in measures.items():
        if not NAME.fullmatch(name):
            raise InvalidReviewError(f"{where}.measures must map names to numbers.")
        place = f"{where}.measures.{name}"
        read["measures"][name] = None if number is None else _number(number, place)
    return read


def _lesion(given: Any, where: str) -> dict[str, Any]:
    body = _object(given, where, ("id", "decision", "comment", *_OF_LESION, *_PLACE))
    decision = _one_of(body.get("decision"), LESION_DECISIONS, where)
    read: dict[str, Any] = {"decision": decision, "comment": _comment(body, where)}
    known = [name for name in _OF_LESION if body.get(name) is not None]
    if decision == "added":
        if "id" in body:
            raise InvalidReviewError(f"{where}: a lesion that is added has no id yet.")
        known += [name for name in _PLACE if body.get(name) is not None]
        for name in ("centre_mm", "series_instance_uid", "slice_index"):
            if name not in known:
                raise InvalidReviewError(f"{where}: a lesion that is added needs {name}.")
    else:
        read["id"] = _whole(body.get("id"), f"{where}.id")
        if decision != "corrected" and known:
            raise InvalidReviewError(f"{where}: only a correction changes {known[0]}.")
        if decision == "corrected" and not known:
            raise InvalidReviewError(f"{where}: the correction changes nothing.")
    for name in known:
        read[name] = (_OF_LESION | _PLACE)[name](body[name], f"{where}.{name}")
    return read


def _mark(given: Any, where: str) -> dict[str, Any]:
    body = _object(given, where, ("check", "centre_mm", "diameter_mm", "comment"))
    check = body.get("check")
    if not isinstance(check, str) or not NAME.fullmatch(check):
        raise InvalidReviewError(f"{where}.check must be the name of a check.")
    read: dict[str, Any] = {
        "check": check,
        "centre_mm": _point(body.get("centre_mm"), f"{where}.centre_mm"),
        "comment": _comment(body, where),
    }
    if body.get("diameter_mm") is not None:
        read["diameter_mm"] = _length(body["diameter_mm"], f"{where}.diameter_mm")
    return read


def _object(given: Any, where: str, fields: Sequence[str]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidReviewError(f"{where} must be an object.")
    if unknown := sorted(set(given) - set(fields)):
        name = unknown[0][:40]
        raise InvalidReviewError(f"{where} has no field {name!r}; known are {', '.join(fields)}.")
    return given


def _list(given: Any, where: str) -> list[Any]:
    if not isinstance(given, list) or len(given) > MAX_LESIONS:
        raise InvalidReviewError(f"{where} must be a list of at most {MAX_LESIONS}.")
    return given


def _comment(body: Mapping[str, Any], where: str) -> str:
    return text(body.get("comment", ""), f"{where}.comment", MAX_COMMENT_CHARACTERS)


def text(given: Any, where: str, most: int) -> str:
    """Read a text that PostgreSQL can keep and UTF-8 can carry.

    Raises
    ------
    InvalidReviewError
        Naming the place.
    """
    if not isinstance(given, str) or len(given) > most or "\0" in given:
        raise InvalidReviewError(f"{where} must be a text of at most {most} characters.")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise InvalidReviewError(f"{where} must be a text.") from None
    return given


def _word(given: Any, where: str) -> str:
    if not isinstance(given, str) or not NAME.fullmatch(given):
        raise InvalidReviewError(f"{where} must be a name.")
    return given


def _uid(given: Any, where: str) -> str:
    if not isinstance(given, str) or not _UID.fullmatch(given):
        raise InvalidReviewError(f"{where} must be a UID.")
    return given


def _one_of(given: Any, words: Sequence[str], where: str) -> str:
    if not isinstance(given, str) or given not in words:
        raise InvalidReviewError(f"{where} must be one of {', '.join(words)}.")
    return given


def _number(given: Any, where: str) -> float:
    fits = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not fits or not -MAX_NUMBER <= given <= MAX_NUMBER or not math.isfinite(given):
        raise InvalidReviewError(f"{where} must be a number.")
    return float(given)


def _length(given: Any, where: str) -> float:
    number = _number(given, where)
    if number < 0:
        raise InvalidReviewError(f"{where} must not be negative.")
    return number


def _whole(given: Any, where: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= MAX_NUMBER:
        raise InvalidReviewError(f"{where} must be a whole number.")
    return given


def _point(given: Any, where: str) -> list[float]:
    if not isinstance(given, list) or len(given) != 3:
        raise InvalidReviewError(f"{where} must be x, y and z in mm.")
    return [_number(value, where) for value in given]


def _side(given: Any, where: str) -> str:
    return _one_of(given, ("left", "right", "midline"), where)


_Reader = Callable[[Any, str], Any]

_OF_LESION: dict[str, _Reader] = {
    "kind": _word,
    "site": _word,
    "side": _side,
    "centre_mm": _point,
    "long_diameter_mm": _length,
    "short_diameter_mm": _length,
    "volume_mm3": _length,
}
"""What a reader may say of a lesion."""

_PLACE: dict[str, _Reader] = {
    "series_instance_uid": _uid,
    "slice_index": _whole,
    "sop_instance_uid": _uid,
    "frame_number": _whole,
}
"""Where a lesion that is added is shown."""
