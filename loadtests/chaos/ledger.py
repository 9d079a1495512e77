"""What was sent and what became of it: sent = acknowledged + refused, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

SENDING, ACKNOWLEDGED, REFUSED, UNANSWERED = "sending", "acknowledged", "refused", "unanswered"


@dataclass
class Sent:
    """One study on its way.

    Attributes
    ----------
    study : str
        Study Instance UID.
    template : str
        Phantom that it is a copy of.
    via : str
        ``stow`` or ``dimse``.
    stored, ordered : str
        Whether it, and its screening, were acknowledged, refused, or never answered. What comes
        by DIMSE is ordered by the partner's profile: stored is ordered.
    screening_id : str
        Of the last version, once it is known.
    state : str
        Of that screening when it ended; empty before.
    without_answer : bool
        Whether it ended as ``done`` with a check that failed.
    """

    study: str
    template: str
    via: str
    lane: str
    instances: int
    stored: str = SENDING
    ordered: str = ""
    screening_id: str = ""
    state: str = ""
    without_answer: bool = False
    seed: int = 0
    """Of its UIDs: `loadtests.fresh.Template.fresh` makes the same bytes again."""

    trouble: list[str] = field(default_factory=list)
    """Answers that were neither acknowledgement nor refusal; the client asked again."""

    @property
    def finished(self) -> bool:
        """Tell whether it ended with a result."""
        return self.state == "done" and not self.without_answer

    @property
    def failed(self) -> bool:
        """Tell whether it ended without one, and says so."""
        return self.state in ("failed", "cancelled") or (
            self.state == "done" and self.without_answer
        )


@dataclass(frozen=True)
class Sums:
    """The ledger in numbers."""

    sent: int = 0
    stored: int = 0
    store_refused: int = 0
    ordered: int = 0
    acknowledged: int = 0
    order_refused: int = 0
    finished: int = 0
    failed: int = 0

    def __add__(self, other: Sums) -> Sums:
        """Add up two parts of a ledger."""
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})

    def to_json(self) -> dict[str, Any]:
        """Give the numbers by name."""
        return dict(vars(self))


def sums(entries: Sequence[Sent]) -> Sums:
    """Count."""
    ordered = [entry for entry in entries if entry.ordered]
    return Sums(
        sent=len(entries),
        stored=sum(entry.stored == ACKNOWLEDGED for entry in entries),
        store_refused=sum(entry.stored == REFUSED for entry in entries),
        ordered=len(ordered),
        acknowledged=sum(entry.ordered == ACKNOWLEDGED for entry in ordered),
        order_refused=sum(entry.ordered == REFUSED for entry in ordered),
        finished=sum(entry.finished for entry in ordered),
        failed=sum(entry.failed for entry in ordered),
    )


def balanced(found: Sums) -> list[str]:
    """Say where the books do not balance.

    Returns
    -------
    list of str
        Sentences; empty when sent = acknowledged + refused and acknowledged = finished + failed.
    """
    lines = (
        ("studies sent", found.sent, "stored", found.stored, "refused", found.store_refused),
        (
            *("screenings ordered", found.ordered),
            *("acknowledged", found.acknowledged, "refused", found.order_refused),
        ),
        (
            *("screenings acknowledged", found.acknowledged),
            *("finished", found.finished, "visibly failed", found.failed),
        ),
    )
    return [
        f"{left} {what}, but {one} {name} and {other} {other_name}"
        for what, left, name, one, other_name, other in lines
        if left != one + other
    ]
