"""What a PromQL expression asks for: metrics, and the labels that it names.

Enough of the language for our own rules and dashboards; promtool judges the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<range>\[[^\]]*\])
    | (?P<grouping>\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\))
    | (?P<number>\b\d[\w.]*)
    | (?P<function>\b[a-zA-Z_]\w*\s*\()
    | (?P<selector>\b[a-zA-Z_:][\w:]*(?:\s*\{(?:[^}"]|"(?:[^"\\]|\\.)*")*\})?)
    """,
    re.VERBOSE,
)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')

_WORDS = frozenset({"and", "or", "unless", "bool", "offset"})
_WORDS |= {"sum", "min", "max", "avg", "count", "group", "topk", "quantile"}  # before `by (…)`


@dataclass(frozen=True)
class Selector:
    """One metric of an expression."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    """Label, operator and value of each."""


def selectors(expression: str) -> Iterator[Selector]:
    """Give every metric of an expression with its matchers."""
    for token in _TOKEN.finditer(expression):
        if token.lastgroup == "selector":
            name = re.split(r"[\s{]", token.group(), maxsplit=1)[0]
            if name not in _WORDS:
                yield Selector(name, tuple(_MATCHER.findall(token.group())))


def groupings(expression: str) -> set[str]:
    """Give every label that an expression groups or joins by."""
    return {
        label.strip()
        for token in _TOKEN.finditer(expression)
        if token.lastgroup == "grouping"
        for label in token.group().partition("(")[2].rstrip(")").split(",")
        if label.strip()
    }
