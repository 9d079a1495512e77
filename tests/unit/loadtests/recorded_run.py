"""A run as its users would have recorded it, for tests of what is made of it."""

from __future__ import annotations

from loadtests.records import Found, Page, Study


def study(
    number: int, *, lane: str = "routine", way: str = "stow", wait: float = 2.0, **change: object
) -> Study:
    """Make a study that arrived at second `number` and was answered after `wait`."""
    due = float(number)
    made = Study(
        lane=lane,
        way=way,
        template="healthy",
        due=due,
        begun=due + 0.01,
        acknowledged=due + 0.5,
        accepted=due + 0.6,
        running=due + 0.6 + wait / 2,
        aorta=due + 0.5 + wait * 0.75,
        ended=due + 0.4 + wait,
        fetched=due + 0.5 + wait,
        outcome="finished",
        study=f"2.25.{number}",
        instances=97,
    )
    for name, value in change.items():
        setattr(made, name, value)
    return made


def recorded() -> Found:
    """Twenty studies of each live lane, a third of them by C-STORE, and ten visits."""
    studies = [
        study(5 * number, lane=lane, way="dimse" if number % 3 == 0 else "stow")
        for number in range(20)
        for lane in ("stat", "routine")
    ]
    names = ("worklist", "study page", "slice")
    pages = [Page(name, 10.0 * n, 0.05) for n in range(10) for name in names]
    return Found(studies, pages, late=[0.01] * 50, asked=200)
