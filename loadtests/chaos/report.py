"""The ledger of a run as lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from loadtests.chaos.checks import RECOVERY_SECONDS, STAT_SECONDS
from loadtests.chaos.ledger import Sums, balanced
from loadtests.chaos.run import Outcome

SENTENCES = 8
"""Of one fault that are printed; the file has them all."""


def lines(outcomes: Sequence[Outcome], *, summed: bool = False) -> list[str]:
    """Give a line a fault, with what was wrong below it, and the sums."""
    out = []
    for one in outcomes:
        out.append(_line(one))
        for check, sentences in one.wrong.items():
            out += [f"      {check}: {sentence}" for sentence in sentences[:SENTENCES]]
            if more := len(sentences) - SENTENCES:
                out += [f"      {check}: and {more} more"] if more > 0 else []
    return out + _sums(outcomes) if summed else out


def passed(outcomes: Sequence[Outcome], wanted: int) -> bool:
    """Tell whether all faults were brought and nothing was wrong."""
    brought = [one for one in outcomes if not one.skipped]
    return len(brought) == wanted and not any(one.wrong for one in brought)


def _line(one: Outcome) -> str:
    if one.skipped:
        return f"{one.number:3} {one.fault:20} {one.store:6} NOT BROUGHT: {one.skipped}"
    found = one.sums
    return (
        f"{one.number:3} {one.fault:20} {one.store:6} {'WRONG' if one.wrong else 'held '}"
        f" lasted {one.lasted_seconds:5.1f} s, recovered in {one.recovery_seconds:5.1f} s,"
        f" stat {one.stat_seconds:4.1f} s;"
        f" sent {found.sent}, stored {found.stored}, refused {found.store_refused};"
        f" ordered {found.ordered}, acknowledged {found.acknowledged},"
        f" refused {found.order_refused}, finished {found.finished}, failed {found.failed}"
    )


def _sums(outcomes: Sequence[Outcome]) -> list[str]:
    brought = [one for one in outcomes if not one.skipped]
    total = sum((one.sums for one in brought), Sums())
    wrong = sum(bool(one.wrong) for one in brought)
    recovered = sorted(one.recovery_seconds for one in brought)
    stat = sorted(one.stat_seconds for one in brought)
    out = [
        "",
        f"faults       {len(brought)} brought, {len(outcomes) - len(brought)} not,"
        f" {wrong} after which something was wrong",
        f"studies      {total.sent} sent = {total.stored} acknowledged"
        f" + {total.store_refused} refused",
        f"screenings   {total.ordered} ordered = {total.acknowledged} acknowledged"
        f" + {total.order_refused} refused",
        f"             {total.acknowledged} acknowledged = {total.finished} finished"
        f" + {total.failed} visibly failed",
    ]
    if brought:
        out += [
            f"recovery     median {recovered[len(recovered) // 2]:.1f} s, longest"
            f" {recovered[-1]:.1f} s of at most {RECOVERY_SECONDS:.0f} s",
            f"stat lane    median {stat[len(stat) // 2]:.1f} s, longest {stat[-1]:.1f} s"
            f" of at most {STAT_SECONDS:.0f} s",
        ]
    return out + [f"books        {sentence}" for sentence in balanced(total)]
