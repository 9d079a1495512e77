"""What the api's own handlers find in the application, beside `gateway.api.keys`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from gateway.screening.manifest import Manifest


@dataclass
class Lifecycle:
    """Whether this process still takes work."""

    draining: bool = False


MANIFESTS: web.AppKey[Mapping[str, Manifest]] = web.AppKey("manifests")
"""The pipelines that are installed."""

LIFECYCLE: web.AppKey[Lifecycle] = web.AppKey("lifecycle", Lifecycle)
"""Changes once, when the process begins to stop."""
