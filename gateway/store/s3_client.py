"""The connection to an S3 bucket: its address, its credentials, its patience, its errors."""

from __future__ import annotations

import configparser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from obstore import exceptions as s3_errors
from obstore.store import S3Store

from gateway.exceptions import NotFoundError, StoreUnavailableError, UsageError
from gateway.log import get_logger
from gateway.settings import StoreSettings

SCHEME = "s3://"
"""What an address of objects in S3 begins with."""

PROFILE = "default"
"""The section of a credentials file that is read."""

REREAD_SECONDS = 300
"""A credentials file is read again so often, so that it may be rotated."""

REQUEST_SECONDS = 60.0
"""One request; 8 MiB arrive in it over 1.1 Mbit/s."""

RETRY = {
    "max_retries": 6,
    "retry_timeout": timedelta(seconds=60),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=3),
        "base": 2,
    },
}
"""Answers of 5xx, lost connections and, for reads, timeouts are tried again for some ten seconds;
a sender waits no longer, and sends again."""

log = get_logger("onescan.objects")


def connect(settings: StoreSettings) -> S3Store:
    """Make the client of a bucket; nothing is sent yet.

    Parameters
    ----------
    settings : StoreSettings
        `objects` is ``s3://bucket`` or ``s3://bucket/prefix``. Without `s3_credentials_file`
        credentials come from the ``AWS_`` variables, a web identity or the machine's own role.

    Raises
    ------
    UsageError
        When the address names no bucket.
    """
    address = urlsplit(settings.objects)
    if address.scheme != "s3" or not address.netloc or address.query or address.fragment:
        raise UsageError(
            f"ONESCAN_STORE__OBJECTS={settings.objects!r} is not s3://bucket or s3://bucket/prefix."
        )
    options: dict[str, Any] = {}
    if settings.s3_endpoint:
        options["endpoint"] = settings.s3_endpoint
    if settings.s3_region:
        options["region"] = settings.s3_region
    if settings.s3_credentials_file:
        options["credential_provider"] = credentials_from(Path(settings.s3_credentials_file))
    return S3Store(
        address.netloc,
        prefix=address.path.strip("/") or None,
        client_options={
            "allow_http": settings.s3_endpoint.startswith("http://"),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
        },
        retry_config=RETRY,
        disable_bulk_delete=True,  # one key at a time; some S3 servers know no other way
        **options,
    )


def credentials_from(file: Path) -> Callable[[], dict[str, Any]]:
    """Give what reads a file in the form of ``~/.aws/credentials``, now and again.

    Raises
    ------
    UsageError
        When the file holds no credentials.
    """

    def read() -> dict[str, Any]:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            found = parser.read(file)
            section = parser[PROFILE]
            credentials: dict[str, Any] = {
                "access_key_id": section["aws_access_key_id"],
                "secret_access_key": section["aws_secret_access_key"],
                "token": section.get("aws_session_token"),
            }
        except (configparser.Error, KeyError, UnicodeDecodeError):
            found = []
        if not found:
            raise UsageError(f"{file} holds no credentials in a section [{PROFILE}].") from None
        expires = datetime.now(UTC) + timedelta(seconds=REREAD_SECONDS)
        return {**credentials, "expires_at": expires}

    read()
    return read


@contextmanager
def s3_named(key: str = "") -> Iterator[None]:
    """Turn what the client raises into our errors; credentials and addresses are not repeated.

    Parameters
    ----------
    key : str
        The object that is read; without one nothing can be missing but the bucket.
    """
    try:
        yield
    except FileNotFoundError as error:
        if key and "NoSuchBucket" not in str(error):
            raise NotFoundError(f"There is no object {key!r}.") from None
        raise _unavailable("There is no such bucket.") from None
    except (s3_errors.PermissionDeniedError, s3_errors.UnauthenticatedError):
        raise _unavailable("The object store refuses our credentials.") from None
    except s3_errors.BaseError as error:
        log.warning("onescan.objects.away", error=type(error).__name__)
        raise _unavailable("The object store cannot be reached; try again.") from None


def _unavailable(sentence: str) -> StoreUnavailableError:
    return StoreUnavailableError(sentence)
