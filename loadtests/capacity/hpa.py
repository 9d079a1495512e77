"""The HorizontalPodAutoscaler's arithmetic: ratio, tolerance, stabilisation and policies.

As of Kubernetes 1.33, ``pkg/controller/podautoscaler`` and its documentation:
https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SYNC_SECONDS = 15.0
"""``--horizontal-pod-autoscaler-sync-period``, its default."""

TOLERANCE = 0.1
"""``--horizontal-pod-autoscaler-tolerance``, its default."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of ``behavior``: so many pods, or so many percent, in a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period_seconds: float


@dataclass(frozen=True, slots=True)
class Rules:
    """``scaleUp`` or ``scaleDown`` of ``behavior``."""

    window_seconds: float
    policies: tuple[Policy, ...]
    select: Literal["Max", "Min", "Disabled"] = "Max"


def wanted_average(value: float, target: float, current: int) -> int:
    """Pods for an external metric of type AverageValue: value ÷ target, rounded up.

    The pods of the scale's status count, ready or not; within the tolerance nothing changes.
    """
    if current > 0 and _within(value / (target * current)):
        return current
    return math.ceil(value / target)


def wanted_utilization(
    used: float, request: float, target: int, *, ready: int, unready: int
) -> int:
    """Pods for a resource metric of type Utilization.

    Parameters
    ----------
    used : float
        Cores that the ready pods use together.
    request : float
        Cores that one pod requests.
    target : int
        Percent of the request.
    ready, unready : int
        Pods; those that are not ready count as using nothing when more are wanted.
    """
    current = ready + unready
    if not ready:
        return current
    ratio = int(100 * used / (request * ready)) / target
    if unready and ratio > 1:
        ratio = int(100 * used / (request * current)) / target
        if ratio < 1 or _within(ratio):
            return current
        return math.ceil(ratio * current)
    if _within(ratio):
        return current
    return math.ceil(ratio * ready)


def _within(ratio: float) -> bool:
    return abs(1.0 - ratio) <= TOLERANCE + 1e-12


class Least:
    """The least recommendation of a window that ends now; the latest is always in it."""

    def __init__(self, window_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._falling: deque[tuple[float, int]] = deque()

    def add(self, now: float, pods: int) -> int:
        """Add a recommendation; gives the least."""
        line = self._falling
        while line and line[-1][1] >= pods:
            line.pop()
        line.append((now, pods))
        while len(line) > 1 and line[0][0] <= now - self._window_seconds:
            line.popleft()
        return line[0][1]


class Hpa:
    """One HorizontalPodAutoscaler with its memory of recommendations and of what it did.

    Parameters
    ----------
    least, most : int
        ``minReplicas`` (1 at least) and ``maxReplicas``.
    up, down : Rules
        Of ``behavior``.
    """

    def __init__(self, *, least: int, most: int, up: Rules, down: Rules) -> None:
        self.least, self.most = max(least, 1), most
        self._up, self._down = up, down
        self._least, self._most = Least(up.window_seconds), Least(down.window_seconds)
        self._added: list[tuple[float, int]] = []
        self._removed: list[tuple[float, int]] = []

    def sync(self, now: float, current: int, proposals: Iterable[int]) -> int:
        """Give the pods wanted after one look at the metrics.

        At zero pods the autoscaler is off; the largest proposal of all metrics goes.
        """
        if current == 0:
            return 0
        if current > self.most:
            wanted = self.most
        elif current < self.least:
            wanted = self.least
        else:
            wanted = self._limited(now, current, self._stable(now, current, max(proposals)))
        if wanted > current:
            self._added.append((now, wanted - current))
        elif wanted < current:
            self._removed.append((now, current - wanted))
        return wanted

    def _stable(self, now: float, current: int, desired: int) -> int:
        """Take the least of the window on the way up and the most of it on the way down."""
        up = self._least.add(now, desired)
        down = -self._most.add(now, -desired)
        return min(max(current, up), down)

    def _limited(self, now: float, current: int, desired: int) -> int:
        if desired > current:
            return min(desired, self.most, max(self.up_limit(now, current), current))
        if desired < current:
            return max(desired, self.least, min(self.down_limit(now, current), current))
        return desired

    def up_limit(self, now: float, current: int) -> int:
        """Most pods that the policies of ``scaleUp`` allow now."""
        if self._up.select == "Disabled":
            return current
        limits = []
        for policy in self._up.policies:
            start = self._at_start(now, current, policy.period_seconds)
            if policy.kind == "Pods":
                limits.append(start + policy.value)
            else:
                limits.append(math.ceil(start * (1 + policy.value / 100)))
        return min(limits) if self._up.select == "Min" else max(limits)

    def down_limit(self, now: float, current: int) -> int:
        """Fewest pods that the policies of ``scaleDown`` allow now; Max is the largest change."""
        if self._down.select == "Disabled":
            return current
        limits = []
        for policy in self._down.policies:
            start = self._at_start(now, current, policy.period_seconds)
            if policy.kind == "Pods":
                limits.append(start - policy.value)
            else:
                limits.append(int(start * (1 - policy.value / 100)))
        return max(limits) if self._down.select == "Min" else min(limits)

    def _at_start(self, now: float, current: int, period_seconds: float) -> int:
        """Pods at the start of a policy's period."""
        cutoff = now - period_seconds
        added = sum(pods for when, pods in self._added if when > cutoff)
        removed = sum(pods for when, pods in self._removed if when > cutoff)
        keep = now - max(p.period_seconds for p in (*self._up.policies, *self._down.policies))
        self._added = [event for event in self._added if event[0] > keep]
        self._removed = [event for event in self._removed if event[0] > keep]
        return current - added + removed
