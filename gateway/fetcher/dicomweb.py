"""Fetch a study by WADO-RS, PS3.18 10.4: one request, streamed into the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import aiohttp

from gateway.exceptions import (
    RequestError,
    SourceError,
    SourceNotFoundError,
    SourceRefusedError,
    SourceTooLargeError,
    SourceUnreachableError,
)
from gateway.fetcher.kit import FetchLimits
from gateway.intake.multipart import boundary_of
from gateway.intake.receiver import Received
from gateway.intake.remotes import DicomwebSource
from gateway.intake.stow import PART_TYPE, Index, store
from gateway.store.objects import ObjectStore

ACCEPT = f'multipart/related; type="{PART_TYPE}"; transfer-syntax=*'
"""As it is stored there: nothing is transcoded for us."""

BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
"""Beside 5xx: worth asking again."""


async def fetch_dicomweb(
    source: DicomwebSource,
    study_instance_uid: str,
    *,
    objects: ObjectStore,
    index: Index,
    limits: FetchLimits,
) -> list[Received]:
    """Fetch a study; a body that breaks off leaves nothing.

    Redirects are not followed: the file names whom we ask, and nobody else does.

    Raises
    ------
    SourceError
        And its leaves.
    """
    headers = {"Accept": ACCEPT}
    if source.token_file:
        headers["Authorization"] = f"Bearer {_token(source)}"
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=limits.silence_seconds, sock_read=limits.silence_seconds
    )
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
            session.get(
                f"{source.url}/studies/{study_instance_uid}",
                headers=headers,
                allow_redirects=False,
            ) as answer,
        ):
            _check(answer.status)
            return await store(
                _bounded(answer.content.iter_any(), limits.max_study_bytes),
                boundary=boundary_of(answer.headers.get("Content-Type", ""), part_type=PART_TYPE),
                objects=objects,
                index=index,
                max_instance_bytes=limits.max_instance_bytes,
                study_instance_uid=study_instance_uid,
            )
    except RequestError as error:  # of the multipart parser: here the answer is at fault
        raise SourceError(f"The source's answer is not a study: {error}") from None
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise SourceUnreachableError(
            f"The remote source cannot be reached or broke off ({type(error).__name__})."
        ) from None


def _check(status: int) -> None:
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.NO_CONTENT):
        raise SourceNotFoundError
    if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise SourceUnreachableError(f"The remote source answers {status}.")
    raise SourceRefusedError(f"The remote source answers {status}.")


def _token(source: DicomwebSource) -> str:
    try:
        return Path(source.token_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        raise SourceRefusedError(f"The token file of source {source.name} is not there.") from None


async def _bounded(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """Pass a body on until it is longer than a study can be."""
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise SourceTooLargeError(f"The remote source sends more than {limit} bytes.")
        yield chunk
