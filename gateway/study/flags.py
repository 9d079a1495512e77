"""What quality control found: flags, measures, and whether the series may go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.exceptions import (
    AgeUnknownError,
    AirOutOfRangeError,
    IdentityConflictError,
    PatientTooYoungError,
    SeriesError,
)

Severity = Literal["refuse", "warn", "note"]

_ERRORS: dict[str, type[SeriesError]] = {
    "air_out_of_range": AirOutOfRangeError,
    "patient_too_young": PatientTooYoungError,
    "age_unknown": AgeUnknownError,
    "identity_conflict": IdentityConflictError,
    "mixed_frame_of_reference": IdentityConflictError,
}
"""Every flag that refuses has its error."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One finding of quality control."""

    code: str
    severity: Severity
    """``refuse``: nothing is measured; ``warn``: a reader should know; ``note``: recorded."""

    message: str
    value: float | str | None = None
    """What was measured, in the unit that the message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Flags and measures of one series."""

    flags: tuple[Flag, ...] = ()
    measures: dict[str, float | str | None] = field(default_factory=dict)
    """Name with unit → value; None where it could not be measured."""

    def __add__(self, other: Quality) -> Quality:
        return Quality(flags=self.flags + other.flags, measures=self.measures | other.measures)

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the flags."""
        return tuple(flag.code for flag in self.flags)

    def error(self) -> SeriesError | None:
        """Give the error of the first flag that refuses; None where none does."""
        for flag in self.flags:
            if flag.severity == "refuse":
                return _ERRORS[flag.code](flag.message)
        return None

    def raise_if_refused(self) -> None:
        """Raise the error of the first flag that refuses."""
        if (error := self.error()) is not None:
            raise error

    def to_json(self) -> dict[str, Any]:
        """Give plain values."""
        return {
            "flags": [
                {
                    "code": flag.code,
                    "severity": flag.severity,
                    "message": flag.message,
                    "value": flag.value,
                }
                for flag in self.flags
            ],
            "measures": dict(self.measures),
        }
