"""Remote sources that a screening may name: those of the partners file, and no address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.exceptions import InvalidJsonError, UnknownSourceError
from gateway.intake.partners import Partners
from gateway.intake.remotes import DicomwebSource

KINDS = ("dicomweb", "dimse", "s3")

MAX_PREFIX_CHARACTERS = 1024
"""The longest key of S3."""


def read_source(body: Mapping[str, Any]) -> dict[str, str] | None:
    """Read the field ``source`` of an order.

    Raises
    ------
    InvalidJsonError
        When it is not one kind with a name, and for S3 a prefix.
    """
    source = body.get("source")
    if source is None:
        return None
    kinds = [kind for kind in KINDS if isinstance(source, dict) and kind in source]
    allowed = {*kinds, "prefix"} if kinds == ["s3"] else set(kinds)
    if len(kinds) != 1 or set(source) - allowed:
        raise InvalidJsonError(
            'source must be {"dicomweb": NAME}, {"dimse": NAME} or {"s3": NAME, "prefix": TEXT}.'
        )
    if not all(isinstance(value, str) for value in source.values()):
        raise InvalidJsonError("source holds names, and nothing but text.")
    prefix = source.get("prefix", "")
    if len(prefix) > MAX_PREFIX_CHARACTERS or not prefix.isprintable():
        raise InvalidJsonError("The prefix is no key of an object.")
    if kinds == ["s3"] and not prefix.strip("/"):
        raise InvalidJsonError("A source in S3 needs a prefix; a whole bucket is no study.")
    if ".." in prefix.split("/"):
        raise InvalidJsonError("The prefix may not climb.")
    return dict(source)


def check_source(source: Mapping[str, str], partners: Partners, tenant: str) -> None:
    """Refuse a source that is not there, or not for this tenant: both are told alike.

    Raises
    ------
    UnknownSourceError
        Without saying which names there are.
    """
    if "dimse" in source:
        archive = partners.archives.get(source["dimse"])
        if archive is None or tenant not in archive.tenants:
            raise UnknownSourceError
        return
    kind = "dicomweb" if "dicomweb" in source else "s3"
    found = partners.sources.get(source[kind])
    if found is None or tenant not in found.tenants:
        raise UnknownSourceError
    if isinstance(found, DicomwebSource) != (kind == "dicomweb"):
        raise UnknownSourceError
