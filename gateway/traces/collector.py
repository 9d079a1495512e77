"""Where spans go: an OTLP receiver over HTTP, asked with a deadline, never through a proxy."""

from __future__ import annotations

import http.client
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gateway import __version__
from gateway.exceptions import UsageError
from gateway.settings import TraceSettings

DEFAULT_PATH = "/v1/traces"
"""Of an address without one, as OTLP has it."""

TIMEOUT_SECONDS = 5.0
"""Of connecting, and of each wait after it."""

READ_BYTES = 4096
"""Of an answer; nothing is done with them."""

BUSY = (429, 502, 503, 504)
"""The statuses that OTLP calls retryable."""

HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x20-\x7e]*)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the collector said to a batch."""

    says: str
    """Its status, or what kept it from saying one."""

    taken: bool = False
    worth_another_try: bool = False


class Collector:
    """An OTLP receiver.

    Raises
    ------
    UsageError
        When its address, the file of headers or the CA makes no sense.
    """

    def __init__(self, settings: TraceSettings) -> None:
        parts = urlsplit(settings.endpoint)
        try:
            self._port = parts.port
        except ValueError:
            raise UsageError("ONESCAN_TRACES__ENDPOINT has no port that could be.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("ONESCAN_TRACES__ENDPOINT must begin with http:// or https://.")
        if parts.username is not None or parts.query or parts.fragment:
            raise UsageError(
                "ONESCAN_TRACES__ENDPOINT is host, port and path; a secret goes into"
                " ONESCAN_TRACES__HEADERS_FILE."
            )
        self._host = parts.hostname
        self._path = parts.path if parts.path.strip("/") else DEFAULT_PATH
        self._headers_file = settings.headers_file
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            try:
                self._tls = ssl.create_default_context(cafile=settings.ca_file or None)
            except (OSError, ssl.SSLError) as error:
                raise UsageError(f"ONESCAN_TRACES__CA_FILE cannot be used: {error}.") from error
        self._headers()

    def send(self, body: bytes) -> Answer:
        """Send a batch once; never raises."""
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connect()
            connection.request("POST", self._path, body, self._headers())
            answer = connection.getresponse()
            status = answer.status
            answer.read(READ_BYTES)
        except (OSError, http.client.HTTPException, UsageError) as error:
            return Answer(type(error).__name__, worth_another_try=True)
        finally:
            if connection is not None:
                connection.close()
        taken = 200 <= status < 300
        return Answer(f"HTTP {status}", taken=taken, worth_another_try=status in BUSY)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=TIMEOUT_SECONDS, context=self._tls
        )

    def _headers(self) -> dict[str, str]:
        """Give the headers of a batch; the file is read each time, since secrets are rotated."""
        headers = {
            "Content-Type": "application/x-protobuf",
            "User-Agent": f"OneScan/{__version__}",
        }
        if not self._headers_file:
            return headers
        try:
            lines = Path(self._headers_file).read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeError) as error:
            raise UsageError(
                f"ONESCAN_TRACES__HEADERS_FILE cannot be read ({type(error).__name__})."
            ) from error
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            match = HEADER.fullmatch(line.rstrip())
            if match is None:
                raise UsageError(
                    f"Line {number} of ONESCAN_TRACES__HEADERS_FILE is no 'Name: value'."
                )
            headers[match[1]] = match[2]
        return headers
