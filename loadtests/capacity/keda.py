"""KEDA's part: activity, from zero, back to zero after the cool-down, and the clock.

Between one and the maximum KEDA only feeds a HorizontalPodAutoscaler. As of KEDA 2.17,
``pkg/scaling/executor`` and ``pkg/scalers/cron_scaler.go``; https://keda.sh/docs/2.17/concepts/.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HOUR = 3600.0
DAY = 86_400.0

OUTSIDE = 1
"""What the cron scaler asks for outside of its window (``defaultDesiredReplicas``)."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron trigger of each working day: so many pods between two times of the day."""

    start_seconds: float
    end_seconds: float
    replicas: int

    def active(self, now: float) -> bool:
        """Whether the clock is within the window; time 0 is midnight."""
        return self.start_seconds <= now % DAY < self.end_seconds

    def proposal(self, now: float) -> int:
        """Pods that it asks for, as a metric with the target 1."""
        return self.replicas if self.active(now) else OUTSIDE


@dataclass(slots=True)
class Keda:
    """What a ScaledObject does between zero and one.

    ``cooldown_seconds`` counts from the last look that found a trigger active, and only for the
    way to zero; with a minimum above zero it means nothing.
    """

    least: int
    cooldown_seconds: float
    last_active: float | None = field(default=None)

    def poll(self, now: float, replicas: int, *, active: bool) -> int:
        """Give the pods wanted after one look at the triggers."""
        if active:
            self.last_active = now
            return max(self.least, 1) if replicas == 0 else replicas
        if replicas > 0 and self.least == 0:
            since = self.last_active
            over = since is None or since + self.cooldown_seconds < now
            return 0 if over else replicas
        return max(replicas, self.least)
