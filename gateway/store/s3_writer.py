"""A segment on its way to S3: parts of a multipart upload, memory bounded."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from tempfile import SpooledTemporaryFile
from typing import Any

import obstore

from gateway.exceptions import StoreUnavailableError
from gateway.store.s3_client import s3_named
from gateway.store.segment import Buffer, full_disk_named

PART_BYTES = 8 * 1024**2
"""S3 takes parts of 5 MiB to 5 GiB and 10,000 of them; a segment has at most some 400 of these."""

PARTS_IN_FLIGHT = 2
"""Parts that are being sent at once; one more waits and one is being filled."""

OPEN_BYTES = 4 * 1024**2
"""What is not yet sealed is kept in memory up to here, then in an unlinked temporary file."""

_END = None
"""Ends the parts of an upload."""

_ABORT = "abort"
"""Ends an upload that is to leave nothing."""


class S3Writer:
    """Writes one segment; nobody sees it before `commit` returns.

    What was sealed is cut into parts and sent by a thread of its own. What was not, the instance
    in hand, stays here, so that `rewind` and `read_at` never need a byte that is gone: a large
    instance waits in a temporary file until it is known to be kept. A segment smaller than one
    part is sent by a single request at the end.
    """

    def __init__(self, client: Any, key: str) -> None:
        self.key = key
        self._client = client
        self._open = _spool()
        self._part = bytearray()
        self._sealed = 0
        self._offset = 0
        self._upload: _Upload | None = None
        self._done = False

    @property
    def offset(self) -> int:
        """Bytes written so far, those rewound not counted."""
        return self._offset

    def write(self, buffers: Sequence[Buffer]) -> None:
        """Append bytes."""
        with full_disk_named():
            self._open.seek(self._offset - self._sealed)
            for buffer in buffers:
                self._open.write(buffer)
                self._offset += len(buffer)

    def rewind(self, offset: int) -> None:
        """Forget what was written after `offset`, which is not before the last seal."""
        self._check_open(offset)
        self._open.seek(offset - self._sealed)
        self._open.truncate()
        self._offset = offset

    def read_at(self, offset: int, length: int) -> bytes:
        """Read back what was written since the last seal; shorter than `length` only at the end."""
        self._check_open(offset)
        self._open.seek(offset - self._sealed)
        return self._open.read(max(0, length))

    def seal(self) -> None:
        """Let what was written so far go; blocks while the bucket is slower than the sender.

        Raises
        ------
        StoreUnavailableError
            When the upload has failed.
        """
        self._open.seek(0)
        while chunk := self._open.read(PART_BYTES - len(self._part)):
            self._part += chunk
            if len(self._part) == PART_BYTES:
                self._send()
        if self._offset - self._sealed > OPEN_BYTES:  # gives the disk's space back
            self._open.close()
            self._open = _spool()
        else:
            self._open.seek(0)
            self._open.truncate()
        self._sealed = self._offset

    def commit(self) -> None:
        """Make the segment durable and visible; returns after S3's own answer.

        Raises
        ------
        StoreUnavailableError
            When S3 did not say that it has the object.
        """
        self.seal()
        if self._upload is None:
            with s3_named():
                obstore.put(self._client, self.key, bytes(self._part), use_multipart=False)
        else:
            self._upload.put(bytes(self._part))
            self._upload.finish()
        self._done = True
        self._close()

    def abort(self) -> None:
        """Leave nothing behind, of a failed `commit` neither; does nothing after a good one."""
        if self._done:
            return
        self._done = True
        if self._upload is not None:
            self._upload.abort()
        self._close()
        with suppress(StoreUnavailableError), s3_named():  # a lost answer; else the sweep finds it
            obstore.delete(self._client, self.key)

    def _send(self) -> None:
        if self._upload is None:
            self._upload = _Upload(self._client, self.key)
        self._upload.put(bytes(self._part))
        self._part.clear()

    def _check_open(self, offset: int) -> None:
        if not self._sealed <= offset <= self._offset:
            raise ValueError(f"{offset} is not between {self._sealed} and {self._offset}")

    def _close(self) -> None:
        self._open.close()
        self._part.clear()


def _spool() -> SpooledTemporaryFile[bytes]:
    return SpooledTemporaryFile(max_size=OPEN_BYTES)


class _Upload:
    """One multipart upload in a thread of its own; the client aborts it when its parts raise."""

    def __init__(self, client: Any, key: str) -> None:
        self._parts: queue.Queue[bytes | str | None] = queue.Queue(maxsize=1)
        self._failed: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(client, key), name="upload", daemon=True
        )
        self._thread.start()

    def put(self, part: bytes) -> None:
        """Hand over a part, as soon as there is room for it."""
        self._hand_over(part)
        self._raise_if_failed()

    def finish(self) -> None:
        """Complete the upload and wait for S3's answer."""
        self._hand_over(_END)
        self._thread.join()
        self._raise_if_failed()

    def abort(self) -> None:
        """Give the upload up and wait until S3 has been told."""
        self._hand_over(_ABORT)
        self._thread.join()

    def _hand_over(self, item: bytes | str | None) -> None:
        while self._thread.is_alive():
            with suppress(queue.Full):
                self._parts.put(item, timeout=0.2)
                return

    def _raise_if_failed(self) -> None:
        if not self._thread.is_alive() and self._failed is not None:
            raise self._failed

    def _run(self, client: Any, key: str) -> None:
        try:
            with s3_named():
                obstore.put(
                    client,
                    key,
                    self._each(),
                    use_multipart=True,
                    chunk_size=PART_BYTES,
                    max_concurrency=PARTS_IN_FLIGHT,
                )
        except BaseException as error:
            self._failed = error

    def _each(self) -> Iterator[bytes]:
        while (part := self._parts.get()) is not _END:
            if isinstance(part, str):
                raise _Aborted
            yield part


class _Aborted(Exception):
    """Makes the client abort its upload."""
