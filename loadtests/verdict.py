"""Whether a load test met its targets: counts and percentiles against ``targets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TARGETS = Path(__file__).with_name("targets.toml")

Line = tuple[str, str, bool]
"""What was asked, what was found against what was wanted, and whether it was met."""


def profile(name: str) -> dict[str, Any]:
    """Read one profile of the targets."""
    profiles = tomllib.loads(TARGETS.read_text(encoding="utf-8"))
    if name not in profiles:
        raise SystemExit(f"No profile {name!r}; there are {', '.join(sorted(profiles))}.")
    found: dict[str, Any] = profiles[name]
    return found


def percentile(seconds: Sequence[float], share: float) -> float:
    """Give the smallest value that at least this share does not exceed."""
    ordered = sorted(seconds)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def judge(found: Mapping[str, Any], targets: Mapping[str, Any]) -> list[Line]:
    """Hold what was found to the targets.

    Parameters
    ----------
    found : mapping
        ``seconds`` (transaction → seconds of each), ``wrong_answers``, ``errors``, ``lost``,
        ``refused`` and ``asked``.
    """
    seconds = found["seconds"]
    done = {
        "stored": len(seconds.get("store", ())),
        "screened_routine": len(seconds.get("screen_routine", ())),
        "screened_stat": len(seconds.get("screen_stat", ())),
    }
    lines: list[Line] = []
    for name, least in targets["least"].items():
        lines.append((name, f"{done[name]} of at least {least}", done[name] >= least))
    for name, most in targets["p95_seconds"].items():
        if not seconds.get(name):
            lines.append((f"{name} p95", f"none of at most {most:g} s", False))
            continue
        p95 = percentile(seconds[name], 0.95)
        lines.append((f"{name} p95", f"{p95:.2f} s of at most {most:g} s", p95 <= most))
    counted = {
        "wrong_answers": len(found["wrong_answers"]),
        "errors": len(found["errors"]),
        "lost": len(found["lost"]),
        "refused_share": found["refused"] / max(1, found["asked"]),
    }
    for name, most in targets["most"].items():
        lines.append((name, f"{counted[name]:g} of at most {most:g}", counted[name] <= most))
    return lines
