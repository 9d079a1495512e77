"""Who signed a result, as its forms tell it: what makes a preliminary report final."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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


def signature_of(report: Mapping[str, Any]) -> Signature:
    """Read who signed from a final report, as docs/review.md describes it."""
    return Signature(
        readers=tuple(report["readers"]),
        signed_at=report["signed_at"],
        comment=report["comment"],
        amends=report["predecessor"] is not None,
        decisions={
            check: Decision(
                decision="implied" if said.get("implied") else said["decision"],
                ai_state=said["ai_state"],
                comment=said["comment"],
            )
            for check, said in report["findings"].items()
        },
    )
