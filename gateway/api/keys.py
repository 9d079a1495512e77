"""What handlers find in the application; whoever makes it puts it there."""

from __future__ import annotations

from aiohttp import web

from gateway.intake.partners import Partners
from gateway.principal import Principal
from gateway.settings import Settings
from gateway.store.database import Database
from gateway.store.objects import ObjectStore

DATABASE: web.AppKey[Database] = web.AppKey("database", Database)
"""The open pool of connections."""

OBJECTS: web.AppKey[ObjectStore] = web.AppKey("objects")
"""Where the bytes of instances are kept."""

SETTINGS: web.AppKey[Settings] = web.AppKey("settings", Settings)
"""The settings of this process."""

PARTNERS: web.AppKey[Partners] = web.AppKey("partners", Partners)
"""Profiles of who sends, and the servers that requests may name."""

PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
"""Whom authentication found; in the request."""
