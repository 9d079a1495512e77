"""What is asked of a study, and what is learnt of it beside the checks' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a study."""

    checks: Sequence[str]
    lane: str = "routine"
    exam_context: str = "unknown"
    clinical: Mapping[str, float] = field(default_factory=dict)
    report: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What was learnt of a study beside the checks' results, which were handed over one by one."""

    quality: Mapping[str, Any] = field(default_factory=dict)
    """Series key → quality control."""

    series: Sequence[Mapping[str, Any]] = ()
    anatomy: Mapping[str, Any] = field(default_factory=dict)
    """Series key → organs and phase."""

    timings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Stage → ``wall_seconds``, ``cpu_seconds``."""

    provenance: Mapping[str, Any] = field(
        default_factory=lambda: {"software_version": __version__, "inputs": {}}
    )

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "quality": dict(self.quality),
            "series": list(self.series),
            "anatomy": dict(self.anatomy),
            "timings": dict(self.timings),
            "provenance": dict(self.provenance),
        }
