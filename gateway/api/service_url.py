"""Where this service is, as those who ask see it."""

from __future__ import annotations

from aiohttp import web

from gateway.api.keys import SETTINGS

ROOT = "/dicomweb"
"""Where DICOMweb begins."""


def service_url(request: web.Request) -> str:
    """Give the address of DICOMweb, without a slash at the end.

    That of the setting ``api.public_url``; without it, of the Host that the request names.
    Headers of proxies are not believed.
    """
    public = request.app[SETTINGS].api.public_url.rstrip("/")
    return (public or f"{request.scheme}://{request.host}") + ROOT
