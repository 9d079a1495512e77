"""Whether a result under load is the one that the same study has when nobody is in a hurry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EARLY = "aorta"
"""The check that is released before all others."""


def faults(
    shown: Mapping[str, Any], expected: Mapping[str, str], released: Mapping[str, str]
) -> list[str]:
    """Say what is wrong with a result; nothing when it is right.

    Parameters
    ----------
    shown : mapping
        The screening as ``GET /v1/screenings/{id}`` gives it.
    expected : mapping
        Check → state, of the same phantom screened alone.
    released : mapping
        Check → state, as events have told it before the end.
    """
    got = {check["check"]: check["state"] for check in shown["checks"]}
    found = []
    if shown["state"] != "done":
        found.append(f"ended as {shown['state']}")
    if got != expected:
        found.append(f"{got} instead of {dict(expected)}")
    differing = {check: state for check, state in released.items() if got.get(check) != state}
    if differing:
        found.append(f"released {differing} and then {got}")
    if EARLY in got and EARLY not in released:
        found.append(f"{EARLY} was not released by itself")
    return found
