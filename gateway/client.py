"""A small client of the gateway's own HTTP interface, as any partner could write it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from gateway.exceptions import OneScanError, RequestError
from gateway.instance import Instance
from gateway.tls import pinned_context

BATCH_BYTES = 256 * 1024**2
"""One STOW request: large enough that the fsync is shared, small enough to repeat."""

CHUNK_BYTES = 1024**2
"""Read from disk at once."""

LOOK_SECONDS = 10.0
"""A screening is looked at so often though no event has come."""

RECONNECT_SECONDS = 0.5
"""Pause before a broken stream of events is taken up again."""

FINAL_STATES = ("done", "failed", "cancelled")

ERROR_CODE = "00991001"
"""Our private tag in a failed item: the stable code."""

ERROR_SENTENCE = "00991002"
"""And the sentence."""


class GatewayError(OneScanError):
    """The gateway could not be reached or answered with an error."""

    code = "client.gateway"
    status = 502


@dataclass(frozen=True, slots=True)
class Address:
    """Where a gateway is and how one is let in."""

    url: str
    """Base address, such as ``http://127.0.0.1:8042``."""

    key: str = field(repr=False)
    """API key."""

    certificate: str = ""
    """PEM file of the one certificate by which it is known; empty trusts what the machine does."""


class GatewayClient:
    """Send instances, ask for screenings, wait for results.

    Parameters
    ----------
    url
        Base address of the gateway, such as ``http://127.0.0.1:8042``.
    key
        API key.
    certificate
        PEM file of the one certificate by which it is known, whatever its name; empty trusts the
        authorities that the machine does (or ``SSL_CERT_FILE``).
    """

    def __init__(self, url: str, key: str, certificate: str = "") -> None:
        self._tls = pinned_context(certificate) if certificate else True
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls),
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

    async def create_screening(
        self, body: dict[str, Any], *, idempotency_key: str | None = None
    ) -> dict[str, Any]:
        """Ask for a study to be screened; with a key once, however often it is repeated."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self._request(
            "POST", "/v1/screenings", expect=(202,), json=body, headers=headers
        )

    async def screenings(self, **filters: str) -> AsyncIterator[dict[str, Any]]:
        """List screenings, newest first, by ``state``, ``lane``, ``check`` and so on."""
        cursor: dict[str, str] = {}
        while True:
            page = await self._request(
                "GET", "/v1/screenings", expect=(200,), params=filters | cursor
            )
            for one in page["screenings"]:
                yield one
            if page["next_cursor"] is None:
                return
            cursor = {"cursor": page["next_cursor"]}

    async def cancel(self, screening_id: str) -> dict[str, Any]:
        """End a screening that is not wanted any more."""
        return await self._request("POST", f"/v1/screenings/{screening_id}/cancel", expect=(200,))

    async def rerun(self, screening_id: str) -> dict[str, Any]:
        """Screen the same study for the same checks again."""
        return await self._request("POST", f"/v1/screenings/{screening_id}/rerun", expect=(202,))

    async def screening(self, screening_id: str) -> dict[str, Any]:
        """Look at a screening."""
        return await self._request("GET", f"/v1/screenings/{screening_id}", expect=(200,))

    async def fhir(self, screening_id: str) -> dict[str, Any]:
        """Fetch a screening as a FHIR R4 Bundle."""
        return await self._request("GET", f"/v1/screenings/{screening_id}/fhir", expect=(200,))

    async def objects(self, screening_id: str, kind: str) -> list[bytes]:
        """Fetch a screening's DICOM objects of a kind: ``sr``, ``seg`` or ``sc``; maybe none."""
        assert self._session is not None
        path = f"/v1/screenings/{screening_id}/{kind}"
        try:
            async with self._session.get(self._url + path) as response:
                if response.status == 404:
                    return []
                if response.status != 200:
                    raise GatewayError(f"{self._url}{path} answered {response.status}.")
                if response.content_type == "application/dicom":
                    return [await response.read()]
                found: list[bytes] = []
                async for part in aiohttp.MultipartReader.from_response(response):
                    assert isinstance(part, aiohttp.BodyPartReader)
                    found.append(bytes(await part.read()))
                return found
        except aiohttp.ClientError as error:
            raise GatewayError(f"{self._url} cannot be reached: {error}") from None

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
        """Look at a screening with each of its events, until it is final."""
        events = self.events(screening_id)
        try:
            while True:
                screening = await self.screening(screening_id)
                seen(screening)
                if screening["state"] in FINAL_STATES:
                    return screening
                try:
                    async with asyncio.timeout(LOOK_SECONDS):
                        if await anext(events, None) is None:  # nobody tells, so look
                            await asyncio.sleep(RECONNECT_SECONDS)
                except TimeoutError:
                    await events.aclose()
                    events = self.events(screening_id)
        finally:
            await events.aclose()

    async def events(self, screening_id: str) -> AsyncGenerator[dict[str, Any], None]:
        """Give what happened and happens to a screening until it ends, over broken connections."""
        assert self._session is not None
        last = "0"
        while True:
            try:
                async with self._session.get(
                    f"{self._url}/v1/screenings/{screening_id}/events",
                    headers={"Last-Event-ID": last},
                ) as response:
                    if response.status in (204, 404):
                        return
                    if response.status == 200:
                        async for identifier, event in _events(response.content):
                            last = identifier
                            yield event
                            if event["event"] in FINAL_STATES:
                                return
                    elif response.status not in (429, 503):
                        raise GatewayError(f"The stream was answered {response.status}.")
            except (aiohttp.ClientError, TimeoutError):
                pass  # whether it can be reached at all is told by `screening`
            await asyncio.sleep(RECONNECT_SECONDS)

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


async def _events(
    lines: aiohttp.StreamReader,
) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Read server-sent events: the id, and the data as JSON."""
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name:
            fields[name] = value
            continue
        if "data" in fields:
            yield fields["id"], json.loads(fields["data"])
        fields = {}


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
