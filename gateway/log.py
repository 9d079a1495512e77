"""Logs: JSON lines of dotted events, with no patient in them.

Every UID becomes a keyed hash before a line is written, wherever it stands; what PostgreSQL
says of values is cut off. Names and IDs are never given to a logger.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

from gateway import traces

UID = re.compile(r"(?<![\d.])(?:\d+(?:\.\d+){4,}|(?=[\d.]{20})\d+(?:\.\d+){2,})")
"""Dotted numbers of five components and more, or long ones such as 2.25 with a UUID after it;
versions, addresses and figures are shorter."""

DATABASE_DETAIL = re.compile(r"(?m)^(?:DETAIL|CONTEXT|LINE \d+):.*$\n?")
"""Lines of a PostgreSQL error that may repeat values of a row."""

HASH_DIGITS = 12
"""48 bits tell the studies of a deployment apart."""


class Scrubber:
    """Replaces every UID in a value by a hash under a key of this deployment.

    Parameters
    ----------
    key : bytes
        The same key gives the same hash, so that lines of one study can be found together.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def uid(self, uid: str) -> str:
        """Hash a UID."""
        digest = hmac.new(self._key, uid.encode(), hashlib.sha256).hexdigest()
        return f"uid:{digest[:HASH_DIGITS]}"

    def value(self, value: Any) -> Any:
        """Scrub text at any depth of a value."""
        if isinstance(value, str):
            return UID.sub(lambda match: self.uid(match[0]), DATABASE_DETAIL.sub("", value))
        if isinstance(value, Mapping):
            return {self.value(key): self.value(item) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.value(item) for item in value]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self.value(str(value))

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Scrub a whole event, as structlog's processor."""
        return {key: self.value(item) for key, item in event.items()}


def deployment_key(home: Path, shared: str = "") -> bytes:
    """Give the key under which UIDs are hashed: the shared one, or this home's, made on first use.

    Processes of one deployment on several nodes share one (``ONESCAN_LOG__KEY``), so that a study
    can be followed through their logs.
    """
    from gateway.runtime.home import secret

    if shared:
        return shared.encode()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return secret(home / "log-key").encode()


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Give a logger whose events are ``onescan.<noun>.<verb>`` with fields."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


_SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    traces.log_fields,
)

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)


def _is_readable(record: logging.LogRecord) -> bool:
    """Drop what aiohttp says of a request that it could not parse: it repeats a part of it."""
    error = record.exc_info[1] if record.exc_info else None
    return type(error).__module__ != "aiohttp.http_exceptions"


def configure_logging(service: str, key: bytes, *, stream: TextIO | None = None) -> None:
    """Send every log line of this process to one stream as scrubbed JSON.

    Parameters
    ----------
    service : str
        ``api`` or ``worker``, a field of every line.
    key : bytes
        See `Scrubber`.
    stream : TextIO, optional
        Standard error by default.
    """

    def named(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"service": service, **event}

    handler = logging.StreamHandler(stream or sys.stderr)
    handler.addFilter(_is_readable)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=list(_SHARED),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                named,
                Scrubber(key),
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # They tell every request and every job; ours say it once and without addresses.
    for noisy in ("procrastinate", "aiohttp.access", "psycopg.pool", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
