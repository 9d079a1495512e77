"""Objects on their way: each is read once, and its digest is of the bytes that were written."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from gateway.backup.manifest import CHUNK_BYTES, Listed
from gateway.exceptions import BackupError, NotFoundError, ObjectMissingError
from gateway.store.objects import ObjectReader, Writer

COPIES = 4
"""Objects at once: one waits for a disk or a bucket while another is hashed."""

T = TypeVar("T")
R = TypeVar("R")


def copy(source: ObjectReader, key: str, length: int, begin: Callable[[], Writer]) -> Listed:
    """Copy the first bytes of an object durably; it is seen whole or not at all.

    Raises
    ------
    ObjectMissingError
        When the source has not got so much of it.
    """
    writer = begin()
    try:
        digest = hashlib.sha256()
        for piece in read(source, key, length):
            digest.update(piece)
            writer.write([piece])
            writer.seal()
        writer.commit()
    except BaseException:
        writer.abort()
        raise
    return Listed(key, length, digest.hexdigest())


def digest(source: ObjectReader, key: str, length: int) -> Listed:
    """Hash the first bytes of an object; raises ObjectMissingError."""
    found = hashlib.sha256()
    for piece in read(source, key, length):
        found.update(piece)
    return Listed(key, length, found.hexdigest())


def read(source: ObjectReader, key: str, length: int) -> Iterator[bytes]:
    """Read the first bytes of an object, piece by piece.

    Raises
    ------
    ObjectMissingError
        When there are not so many.
    """
    offset = 0
    while offset < length:
        try:
            piece = source.read(key, offset, min(CHUNK_BYTES, length - offset))
        except NotFoundError:
            raise ObjectMissingError(f"The object {key} is missing.") from None
        if not piece:
            raise ObjectMissingError(f"The object {key} ends at {offset} of {length} bytes.")
        offset += len(piece)
        yield piece


def each(work: Callable[[T], R], items: Iterable[T], stop: threading.Event) -> Iterator[R]:
    """Do some work for each item in threads, few ahead; gives what is done as it is done.

    Raises
    ------
    BackupError
        When `stop` was set.
    """
    waiting = iter(items)
    running: set[Future[R]] = set()
    with ThreadPoolExecutor(COPIES, thread_name_prefix="copy") as pool:
        try:
            while True:
                for item in waiting:
                    running.add(pool.submit(work, item))
                    if len(running) >= 2 * COPIES:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
                if stop.is_set():
                    raise BackupError("It was stopped.")
        finally:
            for future in running:
                future.cancel()
