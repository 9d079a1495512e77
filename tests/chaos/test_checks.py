"""Every check of a run can fail: a lost study, a doubled result, an orphan, and each by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from loadtests.chaos.checks import (
    CHECKS,
    RECOVERY_SECONDS,
    STAT_SECONDS,
    Case,
    Facts,
    Process,
    Screened,
    judge,
)
from loadtests.chaos.ledger import ACKNOWLEDGED, REFUSED, Sent

EXPECTED = {
    "healthy": {"liver": ("negative", None, 2.3)},
    "fatty": {"liver": ("positive", None, 20.3)},
}


def entry(study: str, template: str = "healthy", via: str = "stow") -> Sent:
    """Make the entry of a study that was screened."""
    ended = Sent(study, template, via, "routine", 97, ACKNOWLEDGED, ACKNOWLEDGED)
    ended.state = "done"
    return ended


def screened(study: str, template: str = "healthy", version: int = 1) -> Screened:
    """Make its screening."""
    return Screened(
        f"s-{study}-{version}", study, version, "done", 1, EXPECTED[template], 1, {"liver": 1}
    )


def right() -> Case:
    """Give a case in which nothing is wrong, a refused study and a partial version among it."""
    refused = Sent("1.4", "fatty", "stow", "stat", 97, REFUSED)
    partial = dataclasses.replace(
        screened("1.3", "fatty"), answers={"liver": ("not_evaluated", "coverage", None)}
    )
    facts = Facts(
        instances={"1.1": 97, "1.2": 97, "1.3": 97},
        screenings=[
            screened("1.1"),
            screened("1.2", "fatty"),
            partial,
            screened("1.3", "fatty", version=2),
        ],
        processes=[Process(7, "python", "api"), Process(8, "tritonserver", "triton")],
        more_regions={"triton": 0, "postgres": -1},
        stat_seconds=3.0,
        recovery_seconds=9.0,
    )
    entries = [entry("1.1"), entry("1.2", "fatty"), entry("1.3", "fatty", "dimse"), refused]
    return Case(entries, EXPECTED, facts, may_fail=frozenset({"poison"}))


def facts(case: Case, **changes: object) -> Case:
    """Change the facts of a case."""
    return dataclasses.replace(case, facts=dataclasses.replace(case.facts, **changes))


def changed(case: Case, **changes: object) -> Case:
    """Change the first screening, which is the healthy one's."""
    first, *others = case.facts.screenings
    return facts(case, screenings=[dataclasses.replace(first, **changes), *others])


def entered(case: Case, **changes: object) -> Case:
    """Change the first entry of the ledger."""
    first, *others = case.entries
    return dataclasses.replace(case, entries=[dataclasses.replace(first, **changes), *others])


def negative_in_one_version(case: Case) -> Case:
    """Call what is planted negative while only a part of the study was there."""
    one, two, partial, last = case.facts.screenings
    answers = {"liver": ("negative", None, 2.0)}
    return facts(case, screenings=[one, two, dataclasses.replace(partial, answers=answers), last])


MUTATIONS: dict[str, tuple[Callable[[Case], Case], str]] = {
    "nobody answered": (lambda c: entered(c, stored="unanswered", ordered=""), "books_balance"),
    "a screening never ended": (lambda c: entered(c, state=""), "books_balance"),
    "a study is gone": (
        lambda c: facts(c, instances={k: v for k, v in c.facts.instances.items() if k != "1.2"}),
        "nothing_lost",
    ),
    "an instance is gone": (
        lambda c: facts(c, instances={**c.facts.instances, "1.1": 96}),
        "nothing_lost",
    ),
    "an instance was changed": (lambda c: facts(c, damaged=["1.1"]), "nothing_lost"),
    "never screened": (
        lambda c: facts(c, screenings=c.facts.screenings[1:]),
        "finished_once",
    ),
    "ordered once, screened twice": (
        lambda c: facts(c, screenings=[*c.facts.screenings, screened("1.1", version=2)]),
        "finished_once",
    ),
    "a version is missing": (lambda c: changed(c, version=2), "finished_once"),
    "still running": (lambda c: changed(c, state="running"), "finished_once"),
    "ended twice": (lambda c: changed(c, ends=2), "nothing_doubled"),
    "ended without a word": (lambda c: changed(c, ends=0), "nothing_doubled"),
    "a result is out twice": (lambda c: changed(c, releases={"liver": 2}), "nothing_doubled"),
    "a negative is invented": (negative_in_one_version, "no_negative_invented"),
    "a positive is invented": (
        lambda c: changed(c, answers={"liver": ("positive", None, 20.3)}),
        "as_unhurried",
    ),
    "another score": (
        lambda c: changed(c, answers={"liver": ("negative", None, 2.4)}),
        "as_unhurried",
    ),
    "a check without an answer": (lambda c: changed(c, answers={}), "as_unhurried"),
    "somebody else's study failed": (lambda c: changed(c, state="failed"), "others_unharmed"),
    "somebody else's check failed": (
        lambda c: changed(c, answers={"liver": ("failed", "timeout", None)}),
        "others_unharmed",
    ),
    "an error 500": (
        lambda c: entered(c, trouble=["/v1/screenings: 500"]),
        "nobody_strange_answers",
    ),
    "an orphan": (
        lambda c: facts(c, processes=[*c.facts.processes, Process(9, "stub", "")]),
        "no_orphan",
    ),
    "a child is down": (lambda c: facts(c, missing=["worker"]), "no_orphan"),
    "a volume is left": (lambda c: facts(c, regions=["onescan-vol-x-1-2-3"]), "no_region_left"),
    "a stub's region is left": (
        lambda c: facts(c, more_regions={"triton": 1}),
        "no_region_left",
    ),
    "recovery is slow": (
        lambda c: facts(c, recovery_seconds=RECOVERY_SECONDS + 1),
        "urgent_in_time",
    ),
    "stat is slow": (lambda c: facts(c, stat_seconds=STAT_SECONDS + 1), "urgent_in_time"),
}


def test_nothing_is_wrong_where_nothing_is() -> None:
    assert judge(right()) == {}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_check_fails_over(name: str) -> None:
    """The check that is there for it says a sentence."""
    mutate, check = MUTATIONS[name]
    found = judge(mutate(right()))
    assert check in found
    assert all(sentence for sentence in found[check])


def test_every_check_has_a_mutation_that_it_alone_finds() -> None:
    """None of them is there for nothing."""
    alone = {
        next(iter(found))
        for mutate, _ in MUTATIONS.values()
        if len(found := judge(mutate(right()))) == 1
    }
    assert alone == {check.__name__ for check in CHECKS}


def test_poison_may_fail() -> None:
    """And only where the fault is about it."""
    poison = entry("1.9", "poison")
    poison.state = "failed"
    failed = dataclasses.replace(
        screened("1.9"), state="failed", answers={"liver": ("failed", "crashed", None)}
    )
    case = right()
    case = facts(
        dataclasses.replace(case, entries=[*case.entries, poison]),
        instances={**case.facts.instances, "1.9": 97},
        screenings=[*case.facts.screenings, failed],
    )
    assert judge(case) == {}
    assert set(judge(dataclasses.replace(case, may_fail=frozenset()))) == {"others_unharmed"}
