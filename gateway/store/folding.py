"""Person names as they are compared: without case, accents and empty components."""

from __future__ import annotations

import unicodedata
from typing import Any

GROUPS = 3
"""Alphabetic, ideographic and phonetic, PS3.5 6.2.1."""

_LATIN_MARKS = range(0x0300, 0x0370)
"""Combining diacritical marks; those of other scripts tell letters apart and stay."""


def fold(text: str) -> str:
    """Make text comparable: no case, no Latin accents, width and ligatures alike.

    The fold of a fold is itself, and ``*`` and ``?`` stay what they are.
    """
    apart = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", apart) if ord(c) not in _LATIN_MARKS)
    return unicodedata.normalize("NFC", bare)


def name_groups(value: Any) -> tuple[str, str, str]:
    """Give the folded component groups of a person name, empty where there is none.

    Parameters
    ----------
    value : object
        As the index keeps it: a text, a list of which the first counts, or nothing.
    """
    if isinstance(value, list):
        value = value[0] if value else ""
    groups = [_group(part) for part in str(value or "").split("=")[:GROUPS]]
    first, second, third = [*groups, "", "", ""][:GROUPS]
    return first, second, third


def _group(text: str) -> str:
    components = [" ".join(part.split()) for part in fold(text).split("^")]
    return "^".join(components).rstrip("^")
