"""Fetch a study from a bucket: the Part 10 files below a prefix, one after another."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from obstore import exceptions as s3_errors
from obstore.store import S3Store

from gateway.exceptions import (
    InstanceTooLargeError,
    NotDicomError,
    SeveralStudiesError,
    SourceNotFoundError,
    SourceRefusedError,
    SourceTooLargeError,
    SourceUnreachableError,
)
from gateway.fetcher.kit import FetchLimits
from gateway.intake.receiver import Bytes, Drop, Keep, Received, Receiver
from gateway.intake.remotes import S3Source
from gateway.intake.stow import BATCH_BYTES, MAX_PARTS, Index, commit, in_thread
from gateway.store.objects import ObjectStore

PREAMBLE_BYTES = 132
"""PS3.10, 7.1: 128 bytes of anything and ``DICM``."""


async def fetch_s3(
    source: S3Source,
    prefix: str,
    study_instance_uid: str,
    *,
    objects: ObjectStore,
    index: Index,
    limits: FetchLimits,
) -> list[Received]:
    """Fetch what lies below a prefix; of several studies only the one that is named.

    Objects that are no Part 10 files are told as refused; a failure leaves nothing.

    Raises
    ------
    SourceError
        And its leaves.
    """
    receiver = Receiver(objects, study_instance_uid=study_instance_uid)
    whole = "/".join(part for part in (source.prefix.strip("/"), prefix) if part)
    try:
        await _receive(_client(source, limits), whole, receiver, limits)
        if not receiver.received:
            raise SourceNotFoundError("Nothing lies below that prefix.")
        studies = {r.instance.study_instance_uid for r in receiver.received if r.instance}
        if len(studies) > 1:
            raise SeveralStudiesError
    except (s3_errors.PermissionDeniedError, s3_errors.UnauthenticatedError):
        await in_thread(receiver.abort)
        raise SourceRefusedError("The bucket refuses our credentials.") from None
    except (s3_errors.NotFoundError, FileNotFoundError):
        await in_thread(receiver.abort)
        raise SourceNotFoundError("There is no such bucket or object.") from None
    except (s3_errors.BaseError, OSError) as error:
        await in_thread(receiver.abort)
        raise SourceUnreachableError(
            f"The bucket cannot be reached ({type(error).__name__})."
        ) from None
    except BaseException:
        await in_thread(receiver.abort)
        raise
    return await commit(receiver, objects, index)


async def _receive(client: S3Store, prefix: str, receiver: Receiver, limits: FetchLimits) -> None:
    total = number = 0
    async for page in client.list(prefix or None):
        for entry in page:
            number += 1
            total += entry["size"]
            if number > MAX_PARTS or total > limits.max_study_bytes:
                raise SourceTooLargeError("More lies below the prefix than a study may have.")
            await _receive_one(client, entry["path"], entry["size"], receiver, limits)


async def _receive_one(
    client: S3Store, path: str, size: int, receiver: Receiver, limits: FetchLimits
) -> None:
    """Stream one object into the segment, `BATCH_BYTES` in memory at a time."""
    if size > limits.max_instance_bytes:
        await in_thread(receiver.perform, [Drop(InstanceTooLargeError())])
        return
    answer = await client.get_async(path)
    begun = False
    async for chunk in answer.stream(min_chunk_size=BATCH_BYTES):
        data = memoryview(bytes(chunk))
        if not begun and bytes(data[128:PREAMBLE_BYTES]) != b"DICM":
            await in_thread(receiver.perform, [Drop(NotDicomError())])
            return
        begun = True
        await in_thread(receiver.perform, [Bytes([data])])
    end = Keep() if begun else Drop(NotDicomError())
    await in_thread(receiver.perform, [end])


def _client(source: S3Source, limits: FetchLimits) -> S3Store:
    options: dict[str, Any] = {}
    if source.endpoint:
        options["endpoint"] = source.endpoint
    if source.access_key_id:
        try:
            secret = Path(source.secret_key_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            raise SourceRefusedError(
                f"The secret key file of source {source.name} is not there."
            ) from None
        options |= {"access_key_id": source.access_key_id, "secret_access_key": secret}
    return S3Store(
        source.bucket,
        region=source.region,
        client_options={
            "allow_http": source.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=limits.silence_seconds),
        },
        **options,
    )
