"""What the api's own handlers find in the application, beside `gateway.api.keys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.api.addresses import Failures, Network
from gateway.api.request_leases import RequestLeases
from gateway.delivery.maker import ResultMaker
from gateway.oidc.provider import Provider
from gateway.screening.manifest import Manifest
from gateway.study.viewed import Viewer


@dataclass
class Lifecycle:
    """Whether this process still takes work."""

    draining: bool = False


MANIFESTS: web.AppKey[Mapping[str, Manifest]] = web.AppKey("manifests")
"""The pipelines that are installed."""

LIFECYCLE: web.AppKey[Lifecycle] = web.AppKey("lifecycle", Lifecycle)
"""Changes once, when the process begins to stop."""

FAILURES: web.AppKey[Failures] = web.AppKey("failures", Failures)
"""Addresses that sent wrong credentials."""

TRUSTED_PROXIES: web.AppKey[tuple[Network, ...]] = web.AppKey("trusted_proxies")
"""Whose ``X-Forwarded-For`` is believed."""

OIDC: web.AppKey[Provider | None] = web.AppKey("oidc")
"""The identity provider, where there is one."""

LEASES: web.AppKey[RequestLeases] = web.AppKey("leases", RequestLeases)
"""What tenants have left of their requests."""

ARCHIVES: web.AppKey[Mapping[str, Any]] = web.AppKey("archives")
"""One client of each archive for the life of the process: it keeps the archive's pace."""

MAKER: web.AppKey[ResultMaker] = web.AppKey("maker", ResultMaker)
"""Makes results into DICOM objects, in a process of its own."""

VIEWER: web.AppKey[Viewer] = web.AppKey("viewer", Viewer)
"""Volumes that people look at."""
