"""Search parameters of QIDO-RS (PS3.18 8.3.4 and 10.6) to a query, and its matches to JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.intake.dicom_json import dicom_json
from gateway.store.matching import Level
from gateway.store.query import Match

_STUDY = (
    "StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy"
    " ReferringPhysicianName TimezoneOffsetFromUTC RetrieveURL PatientName PatientID"
    " PatientBirthDate PatientSex StudyInstanceUID StudyID StudyDescription"
    " NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances"
)
STUDY_FIELDS = frozenset(_STUDY.split())
"""Answered for each study, PS3.18 table 10.6.3-3."""

_SERIES = (
    "Modality InstanceAvailability TimezoneOffsetFromUTC SeriesDescription RetrieveURL"
    " SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances"
)
SERIES_FIELDS = frozenset(_SERIES.split())
"""For each series, table 10.6.3-4."""

_INSTANCE = (
    "SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC RetrieveURL"
    " InstanceNumber Rows Columns BitsAllocated NumberOfFrames"
)
INSTANCE_FIELDS = frozenset(_INSTANCE.split())
"""For each instance, table 10.6.3-5."""

LISTS = frozenset(("UI", "CS"))
"""VRs of which a value may be a list, with commas or backslashes."""

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_OPTIONAL = frozenset(("NumberOfFrames", "TimezoneOffsetFromUTC", "Rows", "Columns"))
"""Left out where they have no value: not every object has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search asks for."""

    keys: Mapping[str, str]
    """DICOM keyword → value, for `gateway.store.query.Query`."""

    fields: frozenset[str]
    """Keywords that are answered beside those of the level."""

    every_field: bool
    """``includefield=all``."""

    fuzzy: bool
    limit: int | None
    """None where the request sets none."""

    offset: int


def read_search(
    parameters: Iterable[tuple[str, str]], *, above: Mapping[str, str] | None = None
) -> Search:
    """Read the query of a search request.

    Parameters
    ----------
    parameters : iterable of (str, str)
        Decoded, as they stand in the address.
    above : mapping
        Keys that the path gives: *Study Instance UID*, *Series Instance UID*.

    Raises
    ------
    UnknownQueryKeyError
        For a name that is neither a parameter nor an attribute.
    InvalidQueryError
        For a value that is none.
    """
    keys = dict(above or {})
    fields: set[str] = set()
    numbers: dict[str, int] = {}
    fuzzy = False
    for name, value in parameters:
        if name == "includefield":
            fields.update(_field(word) for word in value.split(",") if word.strip())
        elif name in ("limit", "offset"):
            numbers[name] = _number(name, value)
        elif name == "fuzzymatching":
            fuzzy = _flag(name, value)
        elif name != "accept":
            keyword = keyword_of(name)
            if keyword in keys:
                raise InvalidQueryError(f"{keyword} is given more than once.")
            keys[keyword] = _listed(keyword, value)
    return Search(
        keys=keys,
        fields=frozenset(fields - {"all"}) | keys.keys(),
        every_field="all" in fields,
        fuzzy=fuzzy,
        limit=numbers.get("limit"),
        offset=numbers.get("offset", 0),
    )


def keyword_of(name: str) -> str:
    """Give the keyword of an attribute that is named by keyword or by eight hexadecimal digits.

    Raises
    ------
    UnknownQueryKeyError
        When it is no attribute, or one inside a sequence.
    """
    if "." in name:
        raise UnknownQueryKeyError(f"{name[:80]} is inside a sequence, which is not searched.")
    keyword = keyword_for_tag(int(name, 16)) if _TAG.fullmatch(name) else name
    if not keyword or tag_for_keyword(keyword) is None:
        raise UnknownQueryKeyError(f"{name[:80]} is neither a parameter nor a DICOM attribute.")
    return keyword


def results(
    matches: Iterable[Match],
    level: Level,
    search: Search,
    *,
    service_url: str,
    above: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Write the matches of a page.

    Parameters
    ----------
    service_url : str
        Where DICOMweb begins, without a slash at the end.
    above : mapping
        Keys that the path gave; the attributes of their level are not repeated.
    """
    fields = frozenset(_fields(level, search, above) - {"SpecificCharacterSet"})
    optional = _OPTIONAL - search.fields
    return [_result(match, level, search, fields, optional, service_url) for match in matches]


def _fields(level: Level, search: Search, above: Mapping[str, str]) -> set[str]:
    wanted = set(search.fields)
    if "StudyInstanceUID" not in above:
        wanted |= STUDY_FIELDS
    if level is not Level.STUDY:
        wanted |= {"StudyInstanceUID"}
        if "SeriesInstanceUID" not in above:
            wanted |= SERIES_FIELDS
    if level is Level.IMAGE:
        wanted |= INSTANCE_FIELDS | {"SeriesInstanceUID"}
    return wanted


def _result(
    match: Match,
    level: Level,
    search: Search,
    fields: frozenset[str],
    optional: frozenset[str],
    service_url: str,
) -> dict[str, Any]:
    url = f"{service_url}/studies/{match.study_instance_uid}"
    if level is not Level.STUDY:
        url += f"/series/{match.series_instance_uid}"
    if level is Level.IMAGE:
        url += f"/instances/{match.sop_instance_uid}"
    if search.every_field:
        fields |= match.attributes.keys() - {"SpecificCharacterSet"}
    if missing := (fields & optional) - match.attributes.keys():
        fields -= missing
    attributes = {**match.attributes, "RetrieveURL": url, "InstanceAvailability": "ONLINE"}
    return dicom_json(attributes, fields)


def _field(word: str) -> str:
    word = word.strip()
    return word if word == "all" else keyword_of(word)


def _listed(keyword: str, value: str) -> str:
    """Write a list of UIDs or codes as DICOM does."""
    return value.replace(",", "\\") if str(dictionary_VR(keyword)) in LISTS else value


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value, flags=re.ASCII):
        raise InvalidQueryError(f"{name} takes a number that is not negative.")
    return int(value)


def _flag(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise InvalidQueryError(f"{name} is true or false.")
    return value == "true"
