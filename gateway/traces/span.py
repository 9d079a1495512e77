"""What can be done with a span, recorded or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

Kind = Literal["internal", "server", "client", "consumer"]
"""As OpenTelemetry names them; a producer's part is told by its request's span."""

Attribute = str | bool | int | float
"""Numbers and words; a UID among them leaves the process as a keyed hash only."""

Attributes = Mapping[str, Attribute]


class Span:
    """A span that is not recorded, and the form of those that are.

    As a context manager it is the current one for a block of code and ends with it; what leaves
    the block is told by its code or type, never by its message.
    """

    def set(self, attributes: Attributes) -> None:
        """Add attributes."""

    def fail(self, reason: str) -> None:
        """Mark it as failed, in one word."""

    def end(self) -> None:
        """End it, when it was begun outside of a ``with``."""

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make it the current one for a block of code, which does not end it."""
        yield

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


NOTHING = Span()
"""Every span of a process without traces."""
