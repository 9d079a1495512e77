"""The api pods: studies are received, made durable and indexed, first come, first served."""

from __future__ import annotations

from collections import deque


class Intake:
    """As many studies at once as the api pods have cores.

    Parameters
    ----------
    cores : int
        Of all ready pods.
    """

    __slots__ = ("_busy", "_last", "cores", "used", "waiting")

    def __init__(self, cores: int) -> None:
        self.cores = cores
        self.waiting: deque[int] = deque()
        self.used = 0.0
        self._busy = 0
        self._last = 0.0

    def settle(self, now: float) -> float:
        """Give the core-seconds used until now."""
        self.used += (now - self._last) * self._busy
        self._last = now
        return self.used

    def offer(self, now: float, study: int) -> bool:
        """Begin a study where a core is free, else let it wait."""
        if self._busy < self.cores:
            self.settle(now)
            self._busy += 1
            return True
        self.waiting.append(study)
        return False

    def end(self, now: float) -> int | None:
        """End one; gives the next to begin, on the same core."""
        self.settle(now)
        self._busy -= 1
        return self.begin(now)

    def begin(self, now: float) -> int | None:
        """Begin the next one that waits, where a core is free."""
        if self.waiting and self._busy < self.cores:
            self.settle(now)
            self._busy += 1
            return self.waiting.popleft()
        return None
