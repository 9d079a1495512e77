"""A pod's studies in hand: how they share it, and when the next one is done.

The pod is a server whose speed depends on how many studies it has in hand (a flow-equivalent
server), measured or derived by `loadtests.capacity.cost`. All share it alike, but what the stat
studies need they get first, as in Triton's queues, and the others share the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

NEVER = float("inf")


class Pod:
    """Slots of one worker.

    Parameters
    ----------
    number : int
        Its name.
    rates : sequence of float
        Studies of mean size per second with 0, 1, 2, … in hand.
    slots : int
        Studies in hand at once.
    reserved : int
        Of them, kept for the stat lane.
    stat_first : bool
        Whether the stat studies in hand get first what they need; else all share alike.
    """

    __slots__ = (
        "clock",
        "general",
        "last",
        "normal",
        "number",
        "rates",
        "reserved",
        "stat_first",
        "taking",
        "urgent",
        "urgent_clock",
        "version",
    )

    def __init__(
        self,
        number: int,
        rates: Sequence[float],
        slots: int,
        reserved: int,
        *,
        stat_first: bool = True,
    ) -> None:
        self.number = number
        self.rates = rates
        self.general = slots - reserved
        self.reserved = reserved
        self.urgent: list[tuple[float, int, bool]] = []
        self.normal: list[tuple[float, int, bool]] = []
        self.clock = self.urgent_clock = self.last = 0.0
        self.version = 0
        self.taking = True
        self.stat_first = stat_first

    @property
    def in_hand(self) -> int:
        """Studies that it works on."""
        return len(self.urgent) + len(self.normal)

    def settle(self, now: float) -> None:
        """Let the time since the last change pass."""
        passed = now - self.last
        self.last = now
        urgent, normal = len(self.urgent), len(self.normal)
        if urgent:
            mine = self.rates[urgent]
            self.urgent_clock += passed * mine / urgent
            rest = self.rates[urgent + normal] - mine
            if normal and rest > 0:
                self.clock += passed * rest / normal
        elif normal:
            self.clock += passed * self.rates[normal] / normal

    def take(self, now: float, study: int, work: float, *, urgent: bool, reserved: bool) -> None:
        """Begin a study; the slot it takes has to be free."""
        self.settle(now)
        if reserved:
            self.reserved -= 1
        else:
            self.general -= 1
        if urgent and self.stat_first:
            self.urgent.append((self.urgent_clock + work, study, reserved))
        else:
            self.normal.append((self.clock + work, study, reserved))

    def next_end(self) -> tuple[float, bool]:
        """When the next study ends if nothing changes, and whether it is an urgent one."""
        urgent, normal = len(self.urgent), len(self.normal)
        mine = self.rates[urgent]
        first = NEVER
        if urgent:
            first = (min(self.urgent)[0] - self.urgent_clock) * urgent / mine
        if normal:
            rest = self.rates[urgent + normal] - mine
            if rest > 1e-12:
                other = (min(self.normal)[0] - self.clock) * normal / rest
                if other < first:
                    return self.last + max(other, 0.0), False
        return self.last + max(first, 0.0), True

    def finish(self, now: float, *, urgent: bool) -> tuple[int, bool]:
        """End the study that is due; gives it and whether its slot is a reserved one."""
        self.settle(now)
        mine = self.urgent if urgent else self.normal
        item = min(mine)
        mine.remove(item)
        _, study, reserved = item
        if reserved:
            self.reserved += 1
        else:
            self.general += 1
        return study, reserved

    def drop(self, now: float) -> list[int]:
        """Let go of everything, as when the pod dies or hands back."""
        self.settle(now)
        held = [study for _, study, _ in (*self.urgent, *self.normal)]
        self.urgent.clear()
        self.normal.clear()
        self.taking = False
        self.version += 1
        return held
