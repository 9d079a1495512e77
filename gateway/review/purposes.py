"""Which review a reader may begin: a report, one of two, the adjudication, or marks of his own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.exceptions import ConflictError, SignedMeanwhileError

MODES = ("single", "double", "teaching")
"""Of a partner's profile: one reader reports, two read independently, one learns."""

PURPOSES = ("report", "independent", "adjudication", "teaching", "study")

MARKING = ("teaching", "study")
"""Purposes of reviews that mark lesions in place of judging findings."""

REPORTING = ("report", "independent", "adjudication")
"""Purposes of reviews that lead to a final report."""

INDEPENDENT = 2
"""Readers who read without each other."""

Review = Mapping[str, Any]
"""``reader``, ``purpose``, ``state``, ``final``, ``predecessor``, ``signed_at``, ``review_id``."""


def purpose_for(mode: str, reviews: Sequence[Review], reader: str) -> str:
    """Say which review a reader may begin or go on with.

    Parameters
    ----------
    mode : str
        Of the reader's profile; once a screening is being reported on, its first review decides
        between one reader and two.
    reviews : sequence of mapping
        All of the screening.

    Raises
    ------
    SignedMeanwhileError
        When there is a final report, which can be amended.
    ConflictError
        When he has read it and another has to.
    """
    if mode == "teaching":
        return "teaching"
    if (final := final_of(reviews)) is not None:
        raise SignedMeanwhileError(
            f"{final['reader']} signed the final report {final['review_id']} at"
            f" {final['signed_at'].isoformat()}; amend it."
        )
    begun = {review["purpose"] for review in reviews}
    if "report" in begun or (mode == "single" and "independent" not in begun):
        return "report"
    signed = signed_independents(reviews)
    if any(review["reader"] == reader for review in signed):
        raise ConflictError("You have signed your review of it; another reader goes on.")
    return "independent" if len(signed) < INDEPENDENT else "adjudication"


def final_of(reviews: Sequence[Review]) -> Review | None:
    """Find the final report: the one that no signed review amends."""
    signed = [review for review in reviews if review["state"] == "signed"]
    amended = {review["predecessor"] for review in signed}
    finals = (r for r in signed if r["final"] and r["review_id"] not in amended)
    return next(finals, None)


def signed_independents(reviews: Sequence[Review]) -> list[Review]:
    """List the independent reviews that are signed, the first one first."""
    signed = [r for r in reviews if r["purpose"] == "independent" and r["state"] == "signed"]
    return sorted(signed, key=lambda review: review["signed_at"])


def is_shown(review: Review, reviews: Sequence[Review], reader: str) -> bool:
    """Whether a reader may see what a review says.

    His own, and what others signed; of two independent reviews only when both are signed.
    """
    if review["reader"] == reader:
        return True
    if review["state"] != "signed" or review["purpose"] in MARKING:
        return False
    if review["purpose"] != "independent" or final_of(reviews) is not None:
        return True
    return len(signed_independents(reviews)) >= INDEPENDENT
