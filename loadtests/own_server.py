"""An embedded server on an empty home, for a proof that needs one of its own."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from gateway.runtime.home import discard
from gateway.runtime.ports import free_port
from gateway.runtime.stack import Server, embedded
from gateway.settings import Settings


@asynccontextmanager
async def own_server(
    *, dimse: bool = False, model_repository: Path | None = None
) -> AsyncIterator[Server]:
    """Run it on a free port; its home, on a short path for its sockets, goes with it.

    Parameters
    ----------
    dimse : bool
        With a listener, on another free port, that takes what anybody on this machine sends.
    model_repository : Path, optional
        Another one than ours.
    """
    home = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    settings = Settings(home=home)
    settings = dataclasses.replace(settings, api=dataclasses.replace(settings.api, port=0))
    if dimse:
        listener = dataclasses.replace(
            settings.dimse, port=free_port(settings.dimse.host), open_tenant="default"
        )
        settings = dataclasses.replace(settings, dimse=listener)
    if model_repository is not None:
        triton = dataclasses.replace(settings.triton, model_repository=str(model_repository))
        settings = dataclasses.replace(settings, triton=triton)
    try:
        async with embedded(settings) as server:
            yield server
    finally:
        discard(home)
