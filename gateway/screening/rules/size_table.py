"""A row of sizes as guidelines print it. Each rule has its own; none is shared."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTable:
    """Rows by rising size; a size on a limit belongs to the row above it."""

    limits_mm: tuple[float, ...]
    limits_mm3: tuple[float, ...] = ()
    """The same limits as volumes; empty where the guideline has none."""

    rows: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a table that is not one."""
        for limits in (self.limits_mm, self.limits_mm3 or self.limits_mm):
            if len(self.rows) != len(limits) + 1 or list(limits) != sorted(set(limits)):
                raise ValueError("A size table needs rising limits and one row more.")

    def row(self, diameter_mm: float | None, volume_mm3: float | None = None) -> str | None:
        """Find the row; the diameter decides where both are known, None where neither is."""
        if diameter_mm is not None:
            return self.rows[bisect_right(self.limits_mm, diameter_mm)]
        if volume_mm3 is not None and self.limits_mm3:
            return self.rows[bisect_right(self.limits_mm3, volume_mm3)]
        return None
