"""What has to hold after every fault, as pure functions: facts in, what is wrong out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from loadtests.chaos.ledger import ACKNOWLEDGED, Sent, balanced, sums

STAT_SECONDS = 25.0
"""A stat study that is sent once the server has recovered, while routine ones come: what
``[small.seconds_at_most.stat]`` in targets.toml gives to ``stow`` and ``findings`` together."""

RECOVERY_SECONDS = 90.0
"""From a fault's end until a stat study that was sent then is finished. A child that cannot start
is tried again after up to 30 s (`gateway.runtime.supervisor.LAST_DELAY_SECONDS`), Triton takes ten
to load, and a study is tried three times."""

FINAL = ("done", "failed", "cancelled")

Answer = tuple[str, str | None, float | None]
"""State, reason and score of a check."""


@dataclass(frozen=True)
class Screened:
    """A screening as the database has it."""

    screening_id: str
    study: str
    version: int
    state: str
    attempt: int
    answers: Mapping[str, Answer]
    ends: int = 1
    """Events that say that it ended."""

    releases: Mapping[str, int] = field(default_factory=dict)
    """Check → events that say that its result is out."""


@dataclass(frozen=True)
class Process:
    """A process of the server."""

    pid: int
    name: str
    child: str
    """Name of the supervisor's child that it belongs to; empty when it belongs to none."""


@dataclass(frozen=True)
class Facts:
    """What the server holds once everything that was sent has ended.

    Attributes
    ----------
    instances : mapping
        Study → instances that are indexed.
    damaged : sequence of str
        Studies whose instances did not come back bit by bit.
    regions : sequence of str
        Shared memory of studies; there are none in hand.
    more_regions : mapping
        Kind → how many other regions there are more than before the first fault.
    stat_seconds, recovery_seconds : float
        Of the stat studies after the fault.
    """

    instances: Mapping[str, int]
    screenings: Sequence[Screened]
    processes: Sequence[Process] = ()
    missing: Sequence[str] = ()
    """Children that do not run."""

    damaged: Sequence[str] = ()
    regions: Sequence[str] = ()
    more_regions: Mapping[str, int] = field(default_factory=dict)
    stat_seconds: float = 0.0
    recovery_seconds: float = 0.0


@dataclass(frozen=True)
class Case:
    """Everything that is judged after one fault.

    Attributes
    ----------
    entries : sequence of Sent
        The whole ledger of this server.
    expected : mapping
        Template → check → answer of the unhurried screening.
    may_fail : frozenset of str
        Templates whose studies may fail visibly under this fault; what fails of others is wrong.
    """

    entries: Sequence[Sent]
    expected: Mapping[str, Mapping[str, Answer]]
    facts: Facts
    may_fail: frozenset[str] = frozenset()

    def by_study(self) -> dict[str, list[Screened]]:
        """Sort the screenings by study, the oldest version first."""
        found: dict[str, list[Screened]] = {}
        for one in sorted(self.facts.screenings, key=lambda s: s.version):
            found.setdefault(one.study, []).append(one)
        return found


def books_balance(case: Case) -> list[str]:
    """Sent = acknowledged + refused; acknowledged = finished + visibly failed."""
    return balanced(sums(case.entries))


def nothing_lost(case: Case) -> list[str]:
    """Every acknowledged study is there with all its instances, bit by bit."""
    wrong = [
        f"{entry.study} was acknowledged with {entry.instances} instances,"
        f" and {case.facts.instances.get(entry.study, 0)} are there"
        for entry in case.entries
        if entry.stored == ACKNOWLEDGED
        and case.facts.instances.get(entry.study, 0) != entry.instances
    ]
    return wrong + [f"{study} does not come back as it was sent" for study in case.facts.damaged]


def finished_once(case: Case) -> list[str]:
    """Every acknowledged order has one screening that ended; more only as a newer version.

    A study that came by DIMSE while the listener was away has a version for what was there
    before and one for all.
    """
    wrong, screenings = [], case.by_study()
    for entry in case.entries:
        found = screenings.get(entry.study, [])
        if entry.ordered != ACKNOWLEDGED:
            continue
        if not found:
            wrong.append(f"the order of {entry.study} was acknowledged, and it was never screened")
        if len(found) > 1 and entry.via == "stow":
            wrong.append(f"{entry.study} was ordered once and screened {len(found)} times")
        if [one.version for one in found] != list(range(1, len(found) + 1)):
            wrong.append(f"{entry.study} has versions {[one.version for one in found]}")
        wrong += [f"{entry.study} is still {one.state}" for one in found if one.state not in FINAL]
    return wrong


def nothing_doubled(case: Case) -> list[str]:
    """Each screening ends once, and each of its results is released once."""
    wrong = []
    for one in case.facts.screenings:
        if one.state in FINAL and one.ends != 1:
            wrong.append(f"{one.study} ended {one.ends} times")
        wrong += [
            f"{check} of {one.study} was released {count} times"
            for check, count in one.releases.items()
            if count > 1
        ]
    return wrong


def no_negative_invented(case: Case) -> list[str]:
    """Nothing that is planted becomes negative, in no version."""
    template = {entry.study: entry.template for entry in case.entries}
    return [
        f"{check} of {one.study} is positive and was called negative"
        for one in case.facts.screenings
        for check, answer in one.answers.items()
        if answer[0] == "negative"
        and case.expected.get(template.get(one.study, ""), {}).get(check, ("",))[0] == "positive"
    ]


def as_unhurried(case: Case) -> list[str]:
    """Every finished screening says what it says when nobody is in a hurry."""
    wrong, screenings = [], case.by_study()
    for entry in case.entries:
        last = screenings.get(entry.study, [])[-1:]
        expected = case.expected.get(entry.template)
        if not last or expected is None or last[0].state != "done":
            continue
        answers = {
            check: answer for check, answer in last[0].answers.items() if answer[0] != "failed"
        }
        wrong += [
            f"{check} of {entry.study} says {answer} instead of {expected.get(check)}"
            for check, answer in answers.items()
            if answer != expected.get(check)
        ]
        wrong += [
            f"{check} of {entry.study} has no answer"
            for check in expected
            if check not in last[0].answers
        ]
    return wrong


def others_unharmed(case: Case) -> list[str]:
    """Only studies that the fault is about fail, if any."""
    wrong, screenings = [], case.by_study()
    for entry in case.entries:
        for one in screenings.get(entry.study, [])[-1:]:
            failed = one.state != "done" or any(a[0] == "failed" for a in one.answers.values())
            if one.state in FINAL and failed and entry.template not in case.may_fail:
                said = sorted({f"{a[0]}: {a[1]}" for a in one.answers.values()})
                wrong.append(f"{entry.study} ({entry.template}) ended {one.state}, {said}")
    return wrong


def nobody_strange_answers(case: Case) -> list[str]:
    """Clients meet acknowledgements, refusals and broken connections, and no other errors."""
    return [f"{entry.study}: {text}" for entry in case.entries for text in entry.trouble]


def no_orphan(case: Case) -> list[str]:
    """Every process belongs to a child that the supervisor knows, each child once."""
    wrong = [
        f"process {process.pid} ({process.name}) belongs to nobody"
        for process in case.facts.processes
        if not process.child
    ]
    return wrong + [f"{name} does not run" for name in case.facts.missing]


def no_region_left(case: Case) -> list[str]:
    """With nothing in hand no study's shared memory is left, and no other has become more."""
    wrong = [f"{name} is left in /dev/shm" for name in case.facts.regions]
    return wrong + [
        f"{count} more regions of {kind} than at the beginning"
        for kind, count in case.facts.more_regions.items()
        if count > 0
    ]


def urgent_in_time(case: Case) -> list[str]:
    """Stat studies are back within their time, and then as quick as ever."""
    wrong = []
    for what, seconds, most in (
        ("after the fault's end", case.facts.recovery_seconds, RECOVERY_SECONDS),
        ("once recovered", case.facts.stat_seconds, STAT_SECONDS),
    ):
        if seconds > most:
            wrong.append(f"a stat study {what} took {seconds:.1f} s of at most {most:.0f} s")
    return wrong


CHECKS: tuple[Callable[[Case], list[str]], ...] = (
    books_balance,
    nothing_lost,
    finished_once,
    nothing_doubled,
    no_negative_invented,
    as_unhurried,
    others_unharmed,
    nobody_strange_answers,
    no_orphan,
    no_region_left,
    urgent_in_time,
)


def judge(case: Case) -> dict[str, list[str]]:
    """Give what is wrong, by the name of the check; empty when all holds."""
    found = {check.__name__: check(case) for check in CHECKS}
    return {name: wrong for name, wrong in found.items() if wrong}
