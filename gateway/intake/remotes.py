"""Servers that we ask: archives by DIMSE, remote sources by DICOMweb or S3.

Named in the partners file, since a request may name one of them and never an address of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One table ``[archives.NAME]``: a DIMSE peer."""

    name: str
    tenants: tuple[str, ...]
    """Whose screenings may name it."""

    raw: Mapping[str, Any] = field(default_factory=dict)
    """Every other key as it stands: host, port, ae_title, method, limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomwebSource:
    """One table ``[sources.NAME]`` with a ``url``: a DICOMweb server, asked by WADO-RS."""

    name: str
    tenants: tuple[str, ...]
    url: str
    """Base, before ``/studies``."""

    token_file: str = ""
    """Holds a bearer token, read anew for each request; empty sends none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Source:
    """One table ``[sources.NAME]`` with a ``bucket``."""

    name: str
    tenants: tuple[str, ...]
    bucket: str
    prefix: str = ""
    """A request's prefix is below it."""

    endpoint: str = ""
    """Empty asks the provider's own."""

    region: str = "us-east-1"
    access_key_id: str = ""
    """Empty takes what the environment gives, such as the role of the pod."""

    secret_key_file: str = ""


RemoteSource = DicomwebSource | S3Source
