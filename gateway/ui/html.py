"""Writes HTML; whatever is not HTML already is text and is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias


class Html(str):
    """Text that is HTML already; only `tag` and `join` make it."""

    __slots__ = ()


Child: TypeAlias = "str | int | float | Iterable[Child] | None"

VOID = frozenset(("br", "img", "input", "link", "meta"))

UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
)
"""Control characters, and those that turn the direction of what follows."""

LONGEST = 120
"""Characters of a name or description that are shown."""


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """Make an element.

    Parameters
    ----------
    name : str
        Of the element; never from outside.
    *children
        Html stays, text is escaped, None is nothing, lists are joined.
    **attributes
        ``class_`` is ``class``, ``data_x`` is ``data-x``; True has no value, False and None are
        left out.
    """
    opened = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        said = "" if value is True else html.escape(str(value))
        opened.append(label if value is True else f'{label}="{said}"')
    if name in VOID:
        return Html(f"<{' '.join(opened)}>")
    return Html(f"<{' '.join(opened)}>{join(children)}</{name}>")


def join(children: Child) -> Html:
    """Put children behind each other."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str | int | float):
        return Html(html.escape(str(children)))
    return Html("".join(join(child) for child in children))


def plain(value: object, longest: int = LONGEST) -> str:
    """Give a text from outside as one short line without characters that nobody sees."""
    text = " ".join(UNSEEN.sub("", str(value or "")[: 8 * longest]).split())
    return text if len(text) <= longest else text[: longest - 1] + "…"


def outside(value: object, longest: int = LONGEST) -> Html:
    """Show a text from outside, its direction kept to itself."""
    return tag("bdi", plain(value, longest))
