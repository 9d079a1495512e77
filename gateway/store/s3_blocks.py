"""The last blocks that were read from a bucket: who compares or sends a study reads on and on."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

BLOCK_BYTES = 4 * 1024**2
"""Eight slices of 512² and one request; a slice alone costs the same first byte."""

BLOCKS = 6
"""24 MB: a known study and its copy are compared side by side, for a few requests at once."""

Fetch = Callable[[str, int, int], bytes]
"""Gives a range (key, offset, length) of an object; shorter only at its end."""


class Blocks:
    """Small reads, answered from whole blocks; an object never changes, so neither does a block."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._held: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, key: str, offset: int, length: int) -> bytes:
        """Read a range; one of more than a block is fetched as it is."""
        if length > BLOCK_BYTES:
            return self._fetch(key, offset, length)
        parts = []
        end = offset + length
        while offset < end:
            number, start = divmod(offset, BLOCK_BYTES)
            block = self._block(key, number)
            part = block[start : start + end - offset]
            parts.append(part)
            offset += len(part)
            if len(block) < BLOCK_BYTES:  # the object ends here
                break
        return b"".join(parts)

    def forget(self, key: str) -> None:
        """Forget a deleted object."""
        with self._lock:
            for held in [item for item in self._held if item[0] == key]:
                del self._held[held]

    def _block(self, key: str, number: int) -> bytes:
        with self._lock:
            if (block := self._held.get((key, number))) is not None:
                self._held.move_to_end((key, number))
                return block
        block = self._fetch(key, number * BLOCK_BYTES, BLOCK_BYTES)
        with self._lock:
            self._held[key, number] = block
            while len(self._held) > BLOCKS:
                self._held.popitem(last=False)
        return block
