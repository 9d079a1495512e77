"""The way of the studies: arrival, intake, lanes, pods, result; an event loop of its own.

The control plane (`loadtests.capacity.cluster`) lets it advance to each of its own events and
changes the pods then. A study in the queue is a number in the deque of its lane; workers pull as
procrastinate has them do: the most urgent lane first, within a lane the order of arrival, and one
slot of a worker of two and more is kept for the stat lane (`gateway.worker.slots`).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from typing import Any

from loadtests.capacity.arrivals import LANES, Arrivals
from loadtests.capacity.intake import Intake
from loadtests.capacity.pod import NEVER, Pod

STAT = 0
"""Number of the stat lane; the smaller, the more urgent."""


class Side:
    """One pool as the queue sees it: who has room, for what.

    Parameters
    ----------
    lanes : sequence of int
        From which its pods take.
    """

    __slots__ = ("lanes", "room", "stat_room")

    def __init__(self, lanes: Sequence[int]) -> None:
        self.lanes = tuple(sorted(lanes))
        self.room: dict[Pod, None] = {}
        self.stat_room: dict[Pod, None] = {}


class Plant:
    """Studies, queue and pods.

    Parameters
    ----------
    arrivals : Arrivals
        Sorted by time.
    sides : sequence of Side
        The pools.
    intake : Intake
        The api pods.
    intake_seconds : float
        Core-seconds of a study of mean size.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        sides: Sequence[Side],
        intake: Intake,
        intake_seconds: float,
    ) -> None:
        self._times: list[float] = arrivals.times.tolist()
        self.lanes: list[int] = arrivals.lanes.tolist()
        self.works: list[float] = arrivals.works.tolist()
        count = len(self._times)
        self.queued: list[float] = [NEVER] * count
        self.started: list[float] = [NEVER] * count
        self.ended: list[float] = [NEVER] * count
        self.waiting: list[deque[int]] = [deque() for _ in LANES]
        self.open = [0] * len(LANES)
        self.done = self.again = self._next = self._serial = 0
        self.now = 0.0
        self.sides = list(sides)
        self.intake = intake
        self._intake_seconds = intake_seconds
        self._sides_of = [[s for s in sides if lane in s.lanes] for lane in range(len(LANES))]
        self._heap: list[tuple[float, int, int, Any, int]] = []
        self._side_of: dict[Pod, Side] = {}

    @property
    def complete(self) -> bool:
        """Whether every study has its result."""
        return self.done == len(self._times)

    @property
    def arrived(self) -> int:
        """Studies that have come."""
        return self._next

    def advance(self, until: float) -> None:
        """Let everything happen up to and at a time."""
        times, heap, count = self._times, self._heap, len(self._times)
        while True:
            arrival = times[self._next] if self._next < count else NEVER
            event = heap[0][0] if heap else NEVER
            if arrival <= event:
                if arrival > until:
                    break
                study = self._next
                self._next += 1
                if self.intake.offer(arrival, study):
                    self._receive(arrival, study)
                continue
            if event > until:
                break
            now, _, kind, subject, extra = heapq.heappop(heap)
            if kind == 0:
                if subject.version == extra >> 1:
                    self._finish(now, subject, urgent=bool(extra & 1))
            elif kind == 1:
                self._enqueue(now, subject)
                following = self.intake.end(now)
                if following is not None:
                    self._receive(now, following)
            else:
                self._offer(now, subject)
        self.now = until

    def demand(self, side: Side, gpu_seconds: float) -> float:
        """Estimated GPU-seconds queued and in flight, as the autoscaler reads them."""
        return gpu_seconds * sum(self.open[lane] for lane in side.lanes)

    def oldest_stat(self, now: float) -> float:
        """Seconds that the oldest stat study has waited; 0 where none waits."""
        line = self.waiting[STAT]
        return now - min(self.queued[study] for study in line) if line else 0.0

    def set_cores(self, now: float, cores: int) -> None:
        """Have so many cores of ready api pods."""
        self.intake.settle(now)
        self.intake.cores = cores
        while (study := self.intake.begin(now)) is not None:
            self._receive(now, study)

    def add(self, now: float, pod: Pod, side: Side) -> None:
        """Let a pod take studies."""
        pod.last = now
        self._side_of[pod] = side
        self._room(pod, side)
        while pod.taking and (pod.reserved > 0 or pod.general > 0):
            if not self._pull(now, pod, side):
                break

    def stop(self, pod: Pod) -> None:
        """Let it take nothing more; what it has in hand goes on."""
        pod.taking = False
        side = self._side_of.get(pod)
        if side is not None:
            side.room.pop(pod, None)
            side.stat_room.pop(pod, None)

    def lose(self, now: float, pod: Pod, after_seconds: float) -> int:
        """Take a pod's studies from it; they are in the queue again after so many seconds."""
        self.stop(pod)
        held = pod.drop(now)
        for study in held:
            self._serial += 1
            self.again += 1
            when = now + after_seconds
            heapq.heappush(self._heap, (when, self._serial, 2, study, 0))
        self._side_of.pop(pod, None)
        return len(held)

    def _receive(self, now: float, study: int) -> None:
        self._serial += 1
        end = now + self._intake_seconds * self.works[study]
        heapq.heappush(self._heap, (end, self._serial, 1, study, 0))

    def _enqueue(self, now: float, study: int) -> None:
        self.queued[study] = now
        self.open[self.lanes[study]] += 1
        self._offer(now, study)

    def _offer(self, now: float, study: int) -> None:
        """Give a study to a pod with room, the one that had none given longest, or to the queue."""
        lane = self.lanes[study]
        for side in self._sides_of[lane]:
            if lane == STAT and side.stat_room:
                self._begin(now, next(iter(side.stat_room)), side, study, reserved=True)
                return
            if side.room:
                self._begin(now, next(iter(side.room)), side, study, reserved=False)
                return
        self.waiting[lane].append(study)

    def _begin(self, now: float, pod: Pod, side: Side, study: int, *, reserved: bool) -> None:
        if self.started[study] == NEVER:
            self.started[study] = now
        lane = self.lanes[study]
        pod.take(now, study, self.works[study], urgent=lane == STAT, reserved=reserved)
        room = side.stat_room if reserved else side.room
        room.pop(pod, None)
        if (pod.reserved if reserved else pod.general) > 0:
            room[pod] = None
        self._plan(pod)

    def _plan(self, pod: Pod) -> None:
        pod.version += 1
        if pod.urgent or pod.normal:
            when, urgent = pod.next_end()
            self._serial += 1
            token = pod.version << 1 | urgent
            heapq.heappush(self._heap, (when, self._serial, 0, pod, token))

    def _finish(self, now: float, pod: Pod, *, urgent: bool) -> None:
        study, _ = pod.finish(now, urgent=urgent)
        self.ended[study] = now
        self.done += 1
        self.open[self.lanes[study]] -= 1
        side = self._side_of[pod]
        if pod.taking:
            self._room(pod, side)
            if self._pull(now, pod, side):
                return
        self._plan(pod)

    def _room(self, pod: Pod, side: Side) -> None:
        if pod.general > 0:
            side.room.setdefault(pod)
        if pod.reserved > 0:
            side.stat_room.setdefault(pod)

    def _pull(self, now: float, pod: Pod, side: Side) -> bool:
        """Take the most urgent study that waits and that a free slot may hold."""
        if pod.reserved > 0 and STAT in side.lanes and self.waiting[STAT]:
            self._begin(now, pod, side, self.waiting[STAT].popleft(), reserved=True)
            return True
        if pod.general > 0:
            for lane in side.lanes:
                if self.waiting[lane]:
                    self._begin(now, pod, side, self.waiting[lane].popleft(), reserved=False)
                    return True
        return False
