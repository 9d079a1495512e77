"""What a load test says on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from loadtests.records import ERROR, FINISHED, OPEN, REFUSED, WRONG, Found
from loadtests.verdict import Line, passed

SHOWN = 10
"""Of wrong answers and of errors."""


def tell(found: Found, lines: Sequence[Line], about: Mapping[str, Any]) -> None:
    """Print the targets, the ledger, the refusals and the verdict."""
    for line in lines:
        name = f"{line.group} {line.what}".strip()
        print(f"{'met   ' if line.is_met else 'MISSED'}  {name:<36} {line}")
    for kind, texts in (("wrong answer", found.wrong_answers), ("error", found.errors)):
        for text in texts[:SHOWN]:
            print(f"        {kind}: {text}")
    print(f"Studies: {ledger(found)}.")
    print(f"Refusals: {refusals(found)}.")
    print(f"Sent: {about['payload']}.")
    print(f"Machine: {machine(about)}.")
    print("PASS" if passed(lines) else "FAIL")


def ledger(found: Found) -> str:
    """Say what became of the studies; the sum is theirs."""
    counted = found.ledger()
    ends = [
        (FINISHED, "answered rightly"),
        (WRONG, "answered wrongly"),
        (ERROR, "failed"),
        (REFUSED, "refused to the end"),
        (OPEN, "still open"),
    ]
    told = ", ".join(f"{counted[end]} {words}" for end, words in ends)
    return f"{counted['arrived']} arrived, {counted['acknowledged']} acknowledged; {told}"


def refusals(found: Found) -> str:
    """Say how many requests were refused, by status."""
    if not found.refusals:
        return f"none of {found.asked} requests"
    by = Counter(status for _, _, status in found.refusals)
    told = ", ".join(f"{number} × {status_name(status)}" for status, number in sorted(by.items()))
    return f"{len(found.refusals)} of {found.asked} requests ({told})"


def status_name(status: int) -> str:
    """Write an HTTP status, or DIMSE's in its own digits."""
    return str(status) if status < 1000 else f"{status:04X}"


def machine(about: Mapping[str, Any]) -> str:
    """Say what machine the users ran on and who kept it busy."""
    told = about["machine"]
    ours = "the server and its users" if about["own_server"] else "the users"
    return (
        f"{told['cores']} cores of {told['processor']}, {told['memory_gb']} GiB; "
        f"{told['cores_busy']:.2f} cores busy, {told['cores_own']:.2f} with {ours}, "
        f"{told['cores_others']:.2f} with others"
    )
