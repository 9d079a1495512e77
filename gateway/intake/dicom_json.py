"""Attributes of the index as DICOM JSON, PS3.18 annex F."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword

from gateway.store.folding import GROUPS

JSON = "application/dicom+json"

_NUMERIC = frozenset(("DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"))
_GROUP_NAMES = ("Alphabetic", "Ideographic", "Phonetic")


def dicom_json(attributes: Mapping[str, Any], keywords: Iterable[str]) -> dict[str, Any]:
    """Write attributes, sorted by tag.

    Parameters
    ----------
    attributes : mapping
        DICOM keyword → value or list of values.
    keywords : iterable of str
        Those to write; one that is missing is written without a value, as a search answers a key
        that it was asked for.
    """
    order = _order(frozenset(keywords))
    return {tag: element(keyword, attributes.get(keyword)) for tag, keyword in order}


def element(keyword: str, value: Any) -> dict[str, Any]:
    """Write one attribute with the VR that the dictionary gives it."""
    known = _known(keyword)
    vr = known[1] if known else "UN"
    plain = isinstance(value, int | float) if vr in _NUMERIC else isinstance(value, str)
    if plain and value != "" and vr != "PN":  # nearly all of a page
        return {"vr": vr, "Value": [value]}
    values = value if isinstance(value, list) else [] if value is None else [value]
    if " or " in vr:
        vr = "SS" if any(isinstance(v, int) and v < 0 for v in values) else vr.split(" or ")[0]
    if vr == "PN":
        values = [name(str(v)) for v in values]
    elif vr not in _NUMERIC:
        values = [str(v) or None for v in values]
    values = values if any(v not in (None, {}) for v in values) else []
    return {"vr": vr, "Value": values} if values else {"vr": vr}


@lru_cache(maxsize=256)
def _order(keywords: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Give (tag, keyword) in the order of tags; most results of a page have the same."""
    known = ((_known(keyword), keyword) for keyword in keywords)
    return tuple(sorted((tag[0], keyword) for tag, keyword in known if tag))


@lru_cache(maxsize=8192)
def _known(keyword: str) -> tuple[str, str] | None:
    """Look up tag, as eight digits, and VR; None for what is no keyword."""
    tag = tag_for_keyword(keyword)
    return None if tag is None else (f"{tag:08X}", str(dictionary_VR(tag)))


def name(value: str) -> dict[str, str]:
    """Write a person name by its component groups."""
    groups = value.split("=")[:GROUPS]
    return {key: group for key, group in zip(_GROUP_NAMES, groups) if group}
