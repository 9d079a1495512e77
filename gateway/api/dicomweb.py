"""DICOMweb, the Studies Service: store, search and retrieve (PS3.18 10)."""

from __future__ import annotations

from gateway.api import qido, stow, wado, wado_frames

routes = [*stow.routes, *qido.routes, *wado.routes, *wado_frames.routes]
"""All of them."""
