"""The books of a run balance, or say where they do not."""

from __future__ import annotations

import dataclasses

import pytest

from loadtests.chaos.ledger import ACKNOWLEDGED, REFUSED, SENDING, UNANSWERED, Sent, balanced, sums


def sent(stored: str, ordered: str = "", state: str = "") -> Sent:
    """Make an entry."""
    return Sent("1.2", "healthy", "stow", "routine", 3, stored, ordered, state=state)


BOOKS = [
    sent(ACKNOWLEDGED, ACKNOWLEDGED, "done"),
    sent(ACKNOWLEDGED, ACKNOWLEDGED, "failed"),
    sent(ACKNOWLEDGED, REFUSED),
    sent(REFUSED),
]


def test_what_was_answered_and_ended_balances() -> None:
    """Four sent are three and one; three ordered are two and one; two are one and one."""
    found = sums(BOOKS)
    assert found.to_json() == {
        "sent": 4, "stored": 3, "store_refused": 1, "ordered": 3, "acknowledged": 2,
        "order_refused": 1, "finished": 1, "failed": 1,
    }  # fmt: skip
    assert balanced(found) == []


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (sent(SENDING), "5 studies sent, but 3 stored and 1 refused"),
        (sent(UNANSWERED), "5 studies sent, but 3 stored and 1 refused"),
        (
            sent(ACKNOWLEDGED, UNANSWERED),
            "4 screenings ordered, but 2 acknowledged and 1 refused",
        ),
        (
            sent(ACKNOWLEDGED, ACKNOWLEDGED),
            "3 screenings acknowledged, but 1 finished and 1 visibly failed",
        ),
    ],
)
def test_what_is_open_is_told(entry: Sent, sentence: str) -> None:
    """Whoever has no answer, and what has no end, is missing on the right."""
    assert balanced(sums([*BOOKS, entry])) == [sentence]


def test_done_without_an_answer_is_no_finish() -> None:
    """It is visible, and so it is counted among what failed."""
    ended = dataclasses.replace(BOOKS[0], without_answer=True)
    found = sums([ended])
    assert (found.finished, found.failed) == (0, 1)
    assert balanced(found) == []


def test_parts_of_a_ledger_add_up() -> None:
    """The sums of two faults are the sums of both."""
    assert sums(BOOKS[:1]) + sums(BOOKS[1:]) == sums(BOOKS)
    assert dataclasses.replace(sums(BOOKS), finished=0) != sums(BOOKS)
