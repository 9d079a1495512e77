"""One attribute of a query becomes one condition of SQL: attribute matching, PS3.4 C.2.2.2.

Knows neither HTTP nor DIMSE. Values never become part of a statement, only parameters of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.store.folding import name_groups

MAX_VALUE_CHARACTERS = 64 * 1024
"""Of one value; a list of 900 UIDs, the longest sensible one, has 58,500."""

MAX_UIDS = 1000
"""Of one list."""

LAST_TIME = "235959999999"

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_TIME = re.compile(r"([01]\d|2[0-3])(?:([0-5]\d)(?:([0-5]\d|60)(?:\.(\d{1,6}))?)?)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


class Level(StrEnum):
    """(0008,0052) *Query/Retrieve Level*."""

    STUDY = "STUDY"
    SERIES = "SERIES"
    IMAGE = "IMAGE"


LEVELS = (Level.STUDY, Level.SERIES, Level.IMAGE)
"""From above to below."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition and its parameters."""

    sql: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute that queries may match."""

    level: Level
    match: Callable[[str, str, tuple[str, ...]], Condition]
    columns: tuple[str, ...]
    """SQL of the columns, ``s`` being the study, ``e`` the series and ``i`` the instance."""


def condition_of(keyword: str, value: str) -> Condition | None:
    """Make the condition for one attribute; None where every value matches.

    Parameters
    ----------
    keyword : str
        DICOM's, of `KEYS`.
    value : str
        As PS3.4 C.2.2.2 writes it: empty or ``*`` (universal), one value, with ``*`` and ``?``
        (wild card), several UIDs or codes with a backslash between (list), ``A-B`` (range).

    Raises
    ------
    UnknownQueryKeyError
        When the attribute is not one that is matched.
    InvalidQueryError
        When the value is not one of its kind.
    """
    value = value.strip(" \0")
    if value in ("", "*"):
        return None
    key = KEYS.get(keyword)
    if key is None:
        raise UnknownQueryKeyError(f"{keyword} is not an attribute that queries match here.")
    if len(value) > MAX_VALUE_CHARACTERS or not value.isprintable():
        raise InvalidQueryError(f"The value of {keyword} is too long or has control characters.")
    return key.match(keyword, value, key.columns)


def like(text: str) -> str:
    """Turn DICOM's wild cards into those of LIKE, everything else standing for itself."""
    escaped = re.sub(r"([\\%_])", r"\\\1", text)
    return escaped.replace("*", "%").replace("?", "_")


def has_wildcard(text: str) -> bool:
    """Tell whether a value has wild cards."""
    return "*" in text or "?" in text


def _uids(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    uids = [uid.strip(" \0") for uid in value.split("\\")]
    if len(uids) > MAX_UIDS or not all(len(u) <= 64 and _UID.fullmatch(u) for u in uids):
        raise InvalidQueryError(f"{keyword} is neither a UID nor a list of at most {MAX_UIDS}.")
    [column] = columns
    if len(uids) == 1:
        return Condition(f"{column} = %s", (uids[0],))
    return Condition(f"{column} = ANY(%s)", (uids,))


def _text(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    if "\\" in value:
        raise InvalidQueryError(f"{keyword} takes one value.")
    [column] = columns
    if has_wildcard(value):
        return Condition(f"{column} LIKE %s", (like(value),))
    return Condition(f"{column} = %s", (value,))


def _codes(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    """Match any of a list of codes."""
    [column] = columns
    codes = [like(code.strip()) for code in value.split("\\")]
    return Condition(f"{column} LIKE ANY(%s)", (codes,))


def _code_sets(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    """Match any value of an attribute of several; PS3.4 C.2.2.2.4 of Modalities in Study."""
    [column] = columns
    codes = [code.strip() for code in value.split("\\")]
    if not any(map(has_wildcard, codes)):
        return Condition(f"{column} && %s::text[]", (codes,))
    return Condition(
        f"EXISTS (SELECT FROM unnest({column}) AS one WHERE one LIKE ANY(%s))",
        ([like(code) for code in codes],),
    )


def _name(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    """Match a person name: literally but for case, accents and empty components.

    A value without ``=`` is looked for in each component group.
    """
    if "\\" in value:
        raise InvalidQueryError(f"{keyword} takes one value.")
    wanted = name_groups(value)[: len(columns)]
    if "=" in value:
        pairs = [pair for pair in zip(columns, wanted) if pair[1] not in ("", "*")]
        join = " AND "
    else:
        pairs = [(column, wanted[0]) for column in columns]
        join = " OR "
    parts, values = [], []
    for column, text in pairs:
        wild = has_wildcard(text)
        part = f"{column} LIKE %s" if wild else f"{column} = %s"
        if column != columns[0]:  # lets the partial index serve
            part = f"({column} <> '' AND {part})"
        parts.append(part)
        values.append(like(text) if wild else text)
    return Condition(f"({join.join(parts) or 'true'})", tuple(values))


def _dates(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    first, last = _range(keyword, value, _date, _date)
    return _between(columns, first, last)


def _times(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    """Match times; one that is given to the minute matches all of that minute."""
    first, last = _range(keyword, value, _time, _time_end)
    return _between(columns, first, last)


def _number(keyword: str, value: str, columns: tuple[str, ...]) -> Condition:
    if not _INTEGER.fullmatch(value):
        raise InvalidQueryError(f"{keyword} takes an integer.")
    [column] = columns
    return Condition(f"{column} = %s", (int(value),))


def _range(
    keyword: str,
    value: str,
    begin: Callable[[str], str],
    end: Callable[[str], str],
) -> tuple[str, str]:
    """Read a value or a range; '' is an open end."""
    first, dash, last = (part.strip() for part in value.partition("-"))
    if not dash:
        last = first
    try:
        if not (first or last):
            raise ValueError
        return (begin(first) if first else ""), (end(last) if last else "")
    except ValueError:
        raise InvalidQueryError(f"{keyword} is neither a value nor a range of its kind.") from None


def _between(columns: tuple[str, ...], first: str, last: str) -> Condition:
    """Compare as text of fixed width; what has no value lies in no range."""
    [column] = columns
    if first == last:
        return Condition(f"{column} = %s", (first,))
    if last:
        return Condition(f"{column} BETWEEN %s AND %s", (first or "0", last))
    return Condition(f"{column} >= %s", (first,))


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{8}", text, flags=re.ASCII):
        raise ValueError
    date(int(text[:4]), int(text[4:6]), int(text[6:]))
    return text


def _time(text: str) -> str:
    return _time_digits(text).ljust(len(LAST_TIME), "0")


def _time_end(text: str) -> str:
    digits = _time_digits(text)
    return digits + LAST_TIME[len(digits) :]


def _time_digits(text: str) -> str:
    found = _TIME.fullmatch(text)
    if not found or not text.isascii():
        raise ValueError
    return "".join(part or "" for part in found.groups())


def _attribute(alias: str, keyword: str) -> str:
    return f"coalesce({alias}.attributes ->> '{keyword}', '')"


_STUDY, _SERIES, _IMAGE = LEVELS

KEYS: Mapping[str, Key] = {
    "StudyInstanceUID": Key(_STUDY, _uids, ("s.study_instance_uid",)),
    "StudyDate": Key(_STUDY, _dates, ("s.study_date",)),
    "StudyTime": Key(_STUDY, _times, ("s.study_time",)),
    "AccessionNumber": Key(_STUDY, _text, ("s.accession_number",)),
    "ModalitiesInStudy": Key(_STUDY, _code_sets, ("s.modalities",)),
    "ReferringPhysicianName": Key(_STUDY, _name, ("s.referring_physician_name",)),
    "PatientName": Key(
        _STUDY,
        _name,
        ("s.patient_name", "s.patient_name_ideographic", "s.patient_name_phonetic"),
    ),
    "PatientID": Key(_STUDY, _text, ("s.patient_id",)),
    "IssuerOfPatientID": Key(_STUDY, _text, (_attribute("s", "IssuerOfPatientID"),)),
    "PatientBirthDate": Key(_STUDY, _dates, ("s.patient_birth_date",)),
    "PatientSex": Key(_STUDY, _codes, (_attribute("s", "PatientSex"),)),
    "StudyID": Key(_STUDY, _text, (_attribute("s", "StudyID"),)),
    "StudyDescription": Key(_STUDY, _text, (_attribute("s", "StudyDescription"),)),
    "InstitutionName": Key(_STUDY, _text, (_attribute("s", "InstitutionName"),)),
    "SeriesInstanceUID": Key(_SERIES, _uids, ("e.series_instance_uid",)),
    "Modality": Key(_SERIES, _codes, ("e.modality",)),
    "SeriesNumber": Key(_SERIES, _number, ("e.series_number",)),
    "SeriesDescription": Key(_SERIES, _text, (_attribute("e", "SeriesDescription"),)),
    "BodyPartExamined": Key(_SERIES, _codes, (_attribute("e", "BodyPartExamined"),)),
    "ProtocolName": Key(_SERIES, _text, (_attribute("e", "ProtocolName"),)),
    "SOPInstanceUID": Key(_IMAGE, _uids, ("i.sop_instance_uid",)),
    "SOPClassUID": Key(_IMAGE, _uids, ("i.sop_class_uid",)),
    "InstanceNumber": Key(
        _IMAGE,
        _number,
        (
            "CASE WHEN jsonb_typeof(i.attributes -> 'InstanceNumber') = 'number'"
            " THEN (i.attributes ->> 'InstanceNumber')::numeric END",
        ),
    ),
}
"""Keyword → how it is matched."""
