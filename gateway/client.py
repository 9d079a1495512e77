"""A small client of the gateway's own HTTP interface, as any partner could write it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway.exceptions import OneScanError, RequestError
from gateway.instance import Instance

BATCH_BYTES = 256 * 1024**2
"""One STOW request: large enough that the fsync is shared, small enough to repeat."""

CHUNK_BYTES = 1024**2
"""Read from disk at once."""

POLL_SECONDS = 0.1
"""Between two looks at a screening; each is one indexed row."""

FINAL_STATES = ("done", "failed")

ERROR_CODE = "00991001"
"""Our private tag in a failed item: the stable code."""

ERROR_SENTENCE = "00991002"
"""And the sentence."""


class GatewayError(OneScanError):
    """The gateway could not be reached or answered with an error."""

    code = "client.gateway"
    status = 502


class GatewayClient:
    """Send instances, ask for screenings, wait for results.

    Parameters
    ----------
    url
        Base address of the gateway, such as ``http://127.0.0.1:8042``.
    key
        API key.
    """

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def store(
        self, instances: Sequence[Instance], *, advance: Callable[[int], None] = lambda _: None
    ) -> list[dict[str, Any]]:
        """Send Part 10 files by STOW-RS.

        Parameters
        ----------
        instances
            Whole files: `object_key` is the path, offset and length say where.
        advance
            Called with the number of bytes sent so far in each step.

        Returns
        -------
        list of dict
            The failed instances: ``sop_instance_uid`` (empty where it could not be read),
            ``failure_reason``, ``code`` and ``message``.
        """
        failed: list[dict[str, Any]] = []
        for batch in _batches(instances):
            boundary = uuid.uuid4().hex
            answer = await self._request(
                "POST",
                "/dicomweb/studies",
                expect=(200, 202, 409),
                data=_multipart(batch, boundary, advance),
                headers={
                    "Content-Type": 'multipart/related; type="application/dicom"; '
                    f"boundary={boundary}",
                    "Accept": "application/dicom+json",
                },
            )
            failed += _failures(answer)
        return failed

    async def create_screening(self, body: dict[str, Any]) -> dict[str, Any]:
        """Ask for a study to be screened."""
        return await self._request("POST", "/v1/screenings", expect=(202,), json=body)

    async def screening(self, screening_id: str) -> dict[str, Any]:
        """Look at a screening."""
        return await self._request("GET", f"/v1/screenings/{screening_id}", expect=(200,))

    async def mask(self, screening_id: str, check: str) -> bytes:
        """Fetch the mask of a check's lesions, gzipped NIfTI-1."""
        assert self._session is not None
        path = f"/v1/screenings/{screening_id}/masks/{check}"
        try:
            async with self._session.get(self._url + path) as response:
                if response.status != 200:
                    raise GatewayError(f"{self._url}{path} answered {response.status}.")
                return await response.read()
        except aiohttp.ClientError as error:
            raise GatewayError(f"{self._url} cannot be reached: {error}") from None

    async def wait(
        self, screening_id: str, *, seen: Callable[[dict[str, Any]], None] = lambda _: None
    ) -> dict[str, Any]:
        """Look at a screening until it is final."""
        while True:
            screening = await self.screening(screening_id)
            seen(screening)
            if screening["state"] in FINAL_STATES:
                return screening
            await asyncio.sleep(POLL_SECONDS)

    async def _request(
        self, method: str, path: str, *, expect: tuple[int, ...], **arguments: Any
    ) -> dict[str, Any]:
        assert self._session is not None
        try:
            async with self._session.request(method, self._url + path, **arguments) as response:
                if "json" not in response.content_type:
                    raise GatewayError(
                        f"{self._url}{path} answered {response.status} "
                        f"with {response.content_type}, not JSON."
                    )
                body: dict[str, Any] = await response.json(content_type=None)
        except aiohttp.ClientError as error:
            raise GatewayError(f"{self._url} cannot be reached: {error}") from None
        if response.status in expect and "code" not in body:
            return body
        message = str(body.get("detail") or body.get("title") or response.reason)
        if response.status < 500:
            raise _remote(RequestError, body, message)
        raise _remote(GatewayError, body, message)


def _remote(kind: type[OneScanError], body: dict[str, Any], message: str) -> OneScanError:
    """Carry the server's own code into the error raised here."""
    error = kind(message)
    error.code = str(body.get("code", kind.code))  # type: ignore[misc]
    return error


def _batches(instances: Sequence[Instance]) -> list[list[Instance]]:
    batches: list[list[Instance]] = []
    size = BATCH_BYTES
    for instance in instances:
        if size + instance.object_length > BATCH_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(instance)
        size += instance.object_length
    return batches


async def _multipart(
    instances: Sequence[Instance], boundary: str, advance: Callable[[int], None]
) -> AsyncIterator[bytes]:
    for instance in instances:
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        with Path(instance.object_key).open("rb") as file:  # noqa: ASYNC230 - local, 1 MB at once
            file.seek(instance.object_offset)
            left = instance.object_length
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
                advance(len(chunk))
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _failures(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Read both failure sequences of a STOW answer (DICOM JSON, PS3.18 I.2).

    *Failed SOP Sequence* names instances, *Other Failures Sequence* (0008,119A) parts that
    could not be read as instances.
    """

    def value(item: dict[str, Any], tag: str) -> str:
        return str((item.get(tag, {}).get("Value") or [""])[0])

    return [
        {
            "sop_instance_uid": value(item, "00081155"),
            "failure_reason": value(item, "00081197"),
            "code": value(item, ERROR_CODE),
            "message": value(item, ERROR_SENTENCE),
        }
        for sequence in ("00081198", "0008119A")
        for item in answer.get(sequence, {}).get("Value", [])
    ]
