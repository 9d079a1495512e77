"""Send objects to an archive (C-STORE) or a DICOMweb server (STOW-RS, PS3.18 10.5)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from gateway.exceptions import SourceRefusedError, SourceUnreachableError, UnknownSourceError
from gateway.intake.partners import Partners
from gateway.intake.remotes import DicomwebSource

if TYPE_CHECKING:
    from gateway.dimse.scu import ArchiveClient

SILENCE_SECONDS = 60.0
FAILED_SOP = "00081198"
"""*Failed SOP Sequence* of an answer."""

_READ_BYTES = 1024**2


async def send(
    files: Sequence[bytes],
    name: str,
    tenant: str,
    *,
    partners: Partners,
    archives: Mapping[str, ArchiveClient],
) -> None:
    """Send Part 10 files to an archive or a source of the partners file.

    Raises
    ------
    UnknownSourceError
        When the file does not name it for this tenant any more.
    PacsError, SourceError
        When it does not take them all.
    """
    archive, source = partners.archives.get(name), partners.sources.get(name)
    if archive is not None and tenant in archive.tenants:
        await archives[name].store(files)
    elif isinstance(source, DicomwebSource) and tenant in source.tenants:
        await send_stow(source, files)
    else:
        raise UnknownSourceError("send_results_to is no longer in the partners file.")


async def send_stow(source: DicomwebSource, files: Sequence[bytes]) -> None:
    """Store by STOW-RS; redirects are not followed.

    Raises
    ------
    SourceUnreachableError
        When it is away or busy.
    SourceRefusedError
        When it does not take all of them.
    """
    boundary = uuid.uuid4().hex
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    if source.token_file:
        headers["Authorization"] = f"Bearer {_token(source)}"
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + data + b"\r\n" for data in files) + f"--{boundary}--\r\n".encode()
    timeout = aiohttp.ClientTimeout(sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(
                f"{source.url}/studies", data=body, headers=headers, allow_redirects=False
            ) as answer,
        ):
            _check(answer.status, await answer.content.read(_READ_BYTES))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SourceUnreachableError(
            f"The server cannot be reached or broke off ({type(error).__name__})."
        ) from None


def _check(status: int, said: bytes) -> None:
    if status == HTTPStatus.OK:
        return
    if status == HTTPStatus.ACCEPTED:  # stored, with warnings or with failures
        with suppress(ValueError):
            told = json.loads(said)
            if isinstance(told, dict) and FAILED_SOP not in told:
                return
    busy = status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
    if busy or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SourceUnreachableError(f"The server answers {status}.")
    raise SourceRefusedError(f"The server answers {status}.")


def _token(source: DicomwebSource) -> str:
    try:
        return Path(source.token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SourceRefusedError(f"The token file of source {source.name} is not there.") from None
