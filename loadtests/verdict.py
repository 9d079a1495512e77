"""Whether a load test met its targets: counts and percentiles against ``targets.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.arrivals import DIMSE, STOW
from loadtests.records import FINISHED, Found, percentile, seconds

TARGETS = Path(__file__).with_name("targets.toml")

PAGES, USERS = "pages", "users"
"""Under ``seconds_at_most`` what is no lane: the radiologist's pages, and the test itself."""

SAID = {
    "stow": "acknowledged, STOW-RS",
    "dimse": "acknowledged, C-STORE",
    "accepted": "order accepted",
    "late": "begun late",
}
"""Measures whose names in the targets say too little."""


@dataclass(frozen=True)
class Line:
    """A target, and what became of it.

    Attributes
    ----------
    group : str
        A lane, ``pages``, ``users``, or empty for the whole run.
    what : str
        Such as ``findings p95``.
    found : float, optional
        None where nothing was measured.
    target : float
    unit : str
        ``s``, or empty for counts and shares.
    at_least : bool
        Whether the target is a least, and else a most.
    number : int
        Of measured values, where it is a percentile.
    """

    group: str
    what: str
    found: float | None
    target: float
    unit: str = ""
    at_least: bool = False
    number: int = 0

    @property
    def is_met(self) -> bool:
        """Tell whether what was found is within the target."""
        if self.found is None:
            return False
        return self.found >= self.target if self.at_least else self.found <= self.target

    def __str__(self) -> str:
        bound = "at least" if self.at_least else "at most"
        target = f"{self.target:g}"
        if self.found is None:
            found = "none"
        elif self.unit == "s":
            found = f"{self.found:.2f} s"
        else:
            found = f"{self.found:.3g}"
        unit = f" {self.unit}" if self.unit else ""
        of = f" ({self.number} values)" if self.number else ""
        return f"{found} of {bound} {target}{unit}{of}"


def profile(name: str, shape: str = "") -> dict[str, Any]:
    """Read one profile of the targets, as it is for a shape.

    Raises
    ------
    SystemExit
        When there is no such profile.
    """
    profiles = tomllib.loads(TARGETS.read_text(encoding="utf-8"))
    if name not in profiles:
        raise SystemExit(f"No profile {name!r}; there are {', '.join(sorted(profiles))}.")
    found: dict[str, Any] = profiles[name]
    found["shape"] = shape or found["shape"]
    instead = found.pop("shapes", {}).get(found["shape"], {})
    found["seconds_at_most"] |= instead.get("seconds_at_most", {})
    return found


def judge(found: Found, targets: Mapping[str, Any]) -> list[Line]:
    """Hold what was found to the targets; a lane or way without a study has none."""
    finished = [study for study in found.studies if study.outcome == FINISHED]
    done = {
        "stored": sum(study.acknowledged is not None for study in found.studies),
        **{f"screened_{lane}": sum(s.lane == lane for s in finished) for lane in found.lanes()},
    }
    lines = [
        Line("", name.replace("_", " "), done.get(name, 0), least, at_least=True)
        for name, least in targets["least"].items()
    ]
    for group, measures in targets["seconds_at_most"].items():
        if group not in (*found.lanes(), PAGES, USERS):
            continue
        for measure, shares in measures.items():
            if measure in (STOW, DIMSE) and not _came(found, group, measure):
                continue
            values = measured(found, group, measure)
            lines += [_percentile(group, measure, name, values, shares[name]) for name in shares]
    for lane, budget in targets["error_budget"].items():
        studies = [study for study in found.studies if study.lane == lane]
        if studies:
            spent = sum(study.outcome != FINISHED for study in studies) / len(studies)
            lines.append(Line(lane, "error budget spent", spent, budget))
    counted = {
        "wrong_answers": len(found.wrong_answers),
        "errors": len(found.errors),
        "lost": len(found.lost),
        "refused_share": len(found.refusals) / max(1, found.asked),
    }
    for name, most in targets["most"].items():
        lines.append(Line("", name.replace("_", " "), counted[name], most))
    return lines


def measured(found: Found, group: str, measure: str) -> list[float]:
    """Give the seconds of a measure: of a lane, of a kind of page, or of the users' lateness."""
    if group == USERS:
        return found.late
    if group == PAGES:
        name = measure.replace("_", " ")
        return [page.seconds for page in found.pages if page.name == name]
    return seconds(found.studies, measure, group)


def _came(found: Found, lane: str, way: str) -> bool:
    """Tell whether any study of a lane came by a way."""
    return any(study.lane == lane and study.way == way for study in found.studies)


def passed(lines: Sequence[Line]) -> bool:
    """Tell whether every target was met."""
    return all(line.is_met for line in lines)


def _percentile(
    group: str, measure: str, name: str, values: Sequence[float], target: float
) -> Line:
    share = float(name.removeprefix("p")) / 100
    found = percentile(values, share) if values else None
    said = SAID.get(measure, measure.replace("_", " "))
    return Line(
        group,
        f"{said} {name}",
        found,
        target,
        unit="s",
        number=len(values),
    )
