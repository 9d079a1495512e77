"""Report text → token numbers, for networks that read English and Chinese.

No dictionary: a token's number is a hash of it. Latin words, pairs of neighbouring words, Chinese
characters and pairs of neighbouring characters are tokens, so that *no nodularity* differs from
*nodularity* and 肝硬化 needs no segmentation.
"""

from __future__ import annotations

import re
import unicodedata
import zlib

import numpy as np
import numpy.typing as npt

from preprocess.exceptions import ArrayError

BUCKETS = 4096
"""Token numbers run from 1 to this minus 1; 0 fills what is left over."""

LENGTH = 256
"""Tokens of a report that a network reads (pipelines.md §2.3); the rest is left out."""

_PIECE = re.compile(r"[^\W\d_一-鿿㐀-䶿]+|\d+(?:\.\d+)?|[一-鿿㐀-䶿]+")
"""A word of letters, a number, or a run of Chinese characters."""


def tokens(text: str, *, buckets: int = BUCKETS, length: int = LENGTH) -> npt.NDArray[np.int64]:
    """Turn a report into token numbers, the same on every machine.

    Parameters
    ----------
    text : str
        Any Unicode; compatibility forms (full-width letters) and case make no difference.
    buckets : int
        How many numbers there are, at least 2.
    length : int
        How many tokens to give.

    Returns
    -------
    (length,) ndarray of int64
        1 to `buckets` − 1 in the order of the text, then 0; all 0 for an empty text.
    """
    if buckets < 2 or length < 1:
        raise ValueError(f"buckets must be 2 or more and length 1 or more; {buckets}, {length}.")
    result = np.zeros(length, np.int64)
    numbers = [1 + zlib.crc32(piece.encode()) % (buckets - 1) for piece in _pieces(text, length)]
    result[: len(numbers)] = numbers
    return result


def report_tokens(report: bytes) -> npt.NDArray[np.int64]:
    """Turn the bytes of a REPORT tensor into the input of a network, (1, LENGTH).

    Raises
    ------
    ArrayError
        When they are not UTF-8.
    """
    try:
        return tokens(report.decode())[None]
    except UnicodeDecodeError:
        raise ArrayError("REPORT is not UTF-8.") from None


def _pieces(text: str, most: int) -> list[str]:
    """Return the first tokens as strings: each word or character, then its pair with the last."""
    found: list[str] = []
    before = ""
    for match in _PIECE.finditer(unicodedata.normalize("NFKC", text).casefold()):
        piece = match.group()
        parts = [piece] if piece < "㐀" else list(piece)
        for part in parts:
            found.append(part)
            if before:
                found.append(f"{before} {part}")
            before = part
        if len(found) >= most:
            break
    return found[:most]
