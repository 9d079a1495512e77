"""Objects in an S3 bucket; what a study needs is fetched once, in few large ranges."""

from __future__ import annotations

import os
import re
import tempfile
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import obstore
from obstore.exceptions import GenericError

from gateway.exceptions import NotFoundError
from gateway.settings import StoreSettings
from gateway.store.s3_blocks import Blocks
from gateway.store.s3_client import connect, s3_named
from gateway.store.s3_writer import S3Writer
from gateway.store.segment import full_disk_named, read_range

KEY = re.compile(r"\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.seg")
"""Keys that are ours; whatever else lies in the bucket is neither read nor deleted."""

FETCH_BYTES = 8 * 1024**2
"""One range request: long beside its first byte, which S3 sends after some 0.1 s."""

FETCH_THREADS = 6
"""Ranges of one study fetched at once."""

NEAR_BYTES = 1024**2
"""Ranges with a smaller gap are fetched as one."""

AT_HAND = 4
"""Series that may be fetched into temporary files at once, in one process."""

BEHIND_THE_END = "416 Range Not Satisfiable"
"""What S3 answers to a range of which the object has nothing."""

Ranges = Sequence[tuple[int, int]]
"""(offset, length) of each."""


class S3Objects:
    """Objects below a prefix of a bucket.

    Parameters
    ----------
    settings : StoreSettings
        `objects` is ``s3://bucket/prefix``.

    Raises
    ------
    UsageError
        When the address or the credentials file make no sense. Nothing is sent yet.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._client: Any = connect(settings)
        self._blocks = Blocks(lambda *wanted: bytes(self._range(*wanted)))
        self._hands = threading.BoundedSemaphore(AT_HAND)

    def begin(self, *, expected_bytes: int = 0) -> S3Writer:
        """Begin a segment; a bucket has room for any `expected_bytes`."""
        return S3Writer(self._client, f"{datetime.now(UTC):%Y/%m/%d}/{uuid.uuid4()}.seg")

    def begin_at(self, key: str, *, expected_bytes: int = 0) -> S3Writer:
        """Begin an object under the key that it had in another store; one there is replaced."""
        self._blocks.forget(key)
        return S3Writer(self._client, _checked(key))

    def open(self, key: str) -> int:
        """Fetch a whole object and give a file descriptor of it, which the caller closes.

        Where it is known what will be read, `at_hand` fetches that alone, and once.
        """
        with s3_named(_checked(key)):
            size = int(obstore.head(self._client, key)["size"])
        return self._fetch({key: [(0, size)]})[key]

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range of an object; shorter than `length` only at the object's end."""
        return self._blocks.read(_checked(key), offset, length)

    @contextmanager
    def at_hand(self, ranges: Mapping[str, Ranges]) -> Iterator[FetchedObjects]:
        """Fetch ranges of objects and give a reader of them; it waits for a free hand.

        Parameters
        ----------
        ranges : mapping
            Key → (offset, length) of what will be read. It is read from unlinked temporary files,
            at the objects' own offsets.

        Raises
        ------
        NotFoundError, StoreUnavailableError
            When an object is gone or the bucket cannot be reached.
        StorageFullError
            When the disk of temporary files has no room.
        """
        with self._hands, ExitStack() as stack:
            files = self._fetch({_checked(key): merged(wanted) for key, wanted in ranges.items()})
            for file in files.values():
                stack.callback(os.close, file)
            yield FetchedObjects(self, files, ranges)

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no error."""
        self._blocks.forget(key)
        with s3_named():
            obstore.delete(self._client, _checked(key))

    def is_being_written(self, key: str) -> bool:
        """Tell that nobody adds to it: an object of a bucket is whole when it is seen."""
        return False

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Give every finished object's key and when it was written (UTC)."""
        pages = obstore.list(self._client, chunk_size=1000)
        while True:
            with s3_named():
                page = next(pages, None)
            if page is None:
                return
            for item in page:
                if KEY.fullmatch(item["path"]):
                    yield item["path"], item["last_modified"]

    def sweep_temporary(self) -> int:
        """Sweep nothing: the uploads of writers that died are hidden from us.

        They expire by the bucket's own rule (AbortIncompleteMultipartUpload, docs/storage.md).
        """
        return 0

    def _fetch(self, ranges: Mapping[str, Ranges]) -> dict[str, int]:
        """Fetch ranges into temporary files without names, one an object."""
        pieces = [
            (key, start, min(FETCH_BYTES, offset + length - start))
            for key, wanted in ranges.items()
            for offset, length in wanted
            for start in range(offset, offset + length, FETCH_BYTES)
        ]
        files: dict[str, int] = {}
        try:
            for key in ranges:
                files[key] = _unlinked()

            def fetch(piece: tuple[str, int, int]) -> None:
                key, start, length = piece
                view = memoryview(self._range(key, start, length))
                with full_disk_named():
                    while view:
                        done = os.pwrite(files[key], view, start)
                        view, start = view[done:], start + done

            with ThreadPoolExecutor(min(FETCH_THREADS, max(1, len(pieces)))) as pool:
                for _ in pool.map(fetch, pieces):
                    pass
        except BaseException:
            for file in files.values():
                os.close(file)
            raise
        return files

    def _range(self, key: str, start: int, length: int) -> Any:
        if length <= 0:
            return b""
        with s3_named(key):
            try:
                return obstore.get_range(self._client, key, start=start, length=length)
            except GenericError as error:
                if BEHIND_THE_END not in str(error):
                    raise
                return b""


class FetchedObjects:
    """Ranges of objects in temporary files; what was not fetched still comes from the bucket."""

    def __init__(
        self, objects: S3Objects, files: Mapping[str, int], ranges: Mapping[str, Ranges]
    ) -> None:
        self._objects = objects
        self._files = files
        self._held = {key: set(wanted) for key, wanted in ranges.items()}

    def open(self, key: str) -> int:
        """Give a file descriptor in which the fetched ranges may be read; the caller closes it."""
        return os.dup(self._files[key]) if key in self._files else self._objects.open(key)

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range of an object; shorter than `length` only at the object's end."""
        if (offset, length) in self._held.get(key, ()):
            return read_range(os.dup(self._files[key]), offset, length)
        return self._objects.read(key, offset, length)


def merged(ranges: Ranges) -> list[tuple[int, int]]:
    """Join ranges that overlap or lie near each other."""
    out: list[tuple[int, int]] = []
    for offset, length in sorted(ranges):
        if out and offset <= sum(out[-1]) + NEAR_BYTES:
            first, held = out[-1]
            out[-1] = (first, max(held, offset + length - first))
        else:
            out.append((offset, length))
    return out


def _checked(key: str) -> str:
    if not KEY.fullmatch(key):
        raise NotFoundError(f"There is no object {key!r}.")
    return key


def _unlinked() -> int:
    """Make a temporary file without a name: it is gone with its last descriptor."""
    with full_disk_named(), tempfile.TemporaryFile(prefix="onescan-") as file:
        return os.dup(file.fileno())
