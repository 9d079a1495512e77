"""Who signed a result, as its forms tell it: what makes a preliminary report final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a reader did with a check's finding."""

    decision: str
    """``accepted``, ``rejected`` or ``corrected``; ``implied`` where he did not touch it."""

    ai_state: str
    """State of the check before the review."""

    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The signature under a final report; the result beside it is as the readers left it."""

    readers: tuple[str, ...]
    """As they are known here, the one who signed last at the end."""

    signed_at: str
    """ISO 8601 with its offset."""

    comment: str = ""
    """On the study, in the reader's own words."""

    amends: bool = False
    """Whether an earlier final report stood in its place."""

    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """Check → what was done with it."""
