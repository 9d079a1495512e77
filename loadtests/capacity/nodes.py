"""Nodes with GPUs: they come when a pod finds no room, go when idle, and die with their zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gateway.exceptions import CapacityFileError
from gateway.toml_table import TomlTable
from loadtests.capacity.profile import read_toml

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Ground:
    """What the cluster stands on; cluster.toml says where each figure is from."""

    zones: int
    gpus_per_node: int
    node_start_seconds: float
    image_pull_seconds: float
    model_load_seconds: float
    node_idle_seconds: float
    eviction_seconds: float
    stalled_seconds: float
    drain_seconds: float
    api_start_seconds: float


def read_ground(name: str = "cluster") -> Ground:
    """Read cluster.toml, or a file of the same form.

    Raises
    ------
    CapacityFileError
        When there is no such file or something in it is wrong.
    """
    table, _ = read_toml(name, HERE)
    return parse_ground(table)


def parse_ground(table: TomlTable) -> Ground:
    """Read it from its table, strictly."""
    zones, gpus = table.number("zones"), table.number("gpus_per_node")
    if not 1 <= zones <= 20 or not 1 <= gpus <= 16:
        table.refuse("zones are from 1 to 20, gpus_per_node from 1 to 16")
    names = [name for name in Ground.__dataclass_fields__ if name.endswith("_seconds")]
    seconds = {name: table.number(name) for name in names}
    table.done()
    if min(seconds.values()) < 0:
        raise CapacityFileError("cluster: seconds are 0 or more.")
    return Ground(zones=int(zones), gpus_per_node=int(gpus), **seconds)


@dataclass(slots=True, eq=False)
class Node:
    """One machine; it is paid from the moment it is asked for."""

    zone: int
    since: float
    ready_at: float
    pods: int = 0
    idle_since: float | None = None
    warm: bool = False
    dead: bool = False
    gone_at: float | None = None


@dataclass(slots=True)
class Nodes:
    """All machines of one kind of pod."""

    ground: Ground
    nodes: list[Node] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)
    """Zones that are away."""

    def place(self, now: float, pods_by_zone: list[int]) -> Node | None:
        """Find a node for a pod, or ask for a new one; None while every zone is away.

        As with a topology spread of ScheduleAnyway: a free place is taken before a new node is
        asked for, in the zone with the fewest pods of the pool.
        """
        free = [
            node
            for node in self.nodes
            if not node.dead and node.gone_at is None and node.pods < self.ground.gpus_per_node
        ]
        if free:
            node = min(free, key=lambda n: (pods_by_zone[n.zone], n.since, n.zone))
        else:
            zones = [zone for zone in range(self.ground.zones) if zone not in self.closed]
            if not zones:
                return None
            zone = min(zones, key=lambda z: (pods_by_zone[z], z))
            node = Node(zone, now, now + self.ground.node_start_seconds)
            self.nodes.append(node)
        node.pods += 1
        node.idle_since = None
        return node

    def leave(self, now: float, node: Node) -> None:
        """Take a pod off its node."""
        node.pods -= 1
        if node.pods == 0:
            node.idle_since = now

    def sweep(self, now: float) -> None:
        """Give back nodes that have been idle for long enough."""
        for node in self.nodes:
            idle = node.idle_since
            if node.gone_at is not None or idle is None:
                continue
            if now - max(idle, node.ready_at) >= self.ground.node_idle_seconds:
                node.gone_at = now

    def kill_zone(self, now: float, zone: int) -> None:
        """Lose every node of a zone; none comes there until it is opened."""
        self.closed.add(zone)
        for node in self.nodes:
            if node.zone == zone and node.gone_at is None:
                self.kill(now, node)

    def kill(self, now: float, node: Node) -> None:
        """Lose one node."""
        node.dead = True
        node.gone_at = now

    def gpu_hours(self, until: float) -> float:
        """GPU-hours that were paid until then."""
        seconds = sum(
            (until if node.gone_at is None else min(node.gone_at, until)) - node.since
            for node in self.nodes
        )
        return seconds * self.ground.gpus_per_node / 3600
