"""What a fault strikes: the server, what stands before and behind it, and its traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from loadtests.chaos.proxy import Proxy
from loadtests.chaos.server import Server
from loadtests.chaos.traffic import Traffic
from loadtests.fresh import Template


@dataclass
class Scene:
    """One server under load.

    Attributes
    ----------
    api, dimse : Proxy
        Between senders and server.
    objects : Proxy or None
        Between the server and its object store, where that is S3.
    """

    server: Server
    traffic: Traffic
    templates: Mapping[str, Template]
    random: Random
    api: Proxy
    dimse: Proxy
    objects: Proxy | None = None
