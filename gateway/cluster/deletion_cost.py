"""What deleting this worker's pod would cost, written on the pod for the ReplicaSet to read.

When a pool shrinks, Kubernetes deletes the pods of the lowest cost first. This is a hint and no
more: a pod that goes all the same drains first, and nothing is lost.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from gateway.cluster.client import Cluster, open_cluster
from gateway.cluster.pools import DELETION_COST
from gateway.exceptions import ClusterForbiddenError, ClusterUnavailableError, OneScanError
from gateway.log import get_logger
from gateway.metrics import DELETION_COST_WRITES
from gateway.settings import Settings

COSTS: Mapping[str, int] = {"idle": 0, "short": 100, "long": 200, "stat": 300}
"""Bucket → cost; a pod without the annotation counts as 0, as an idle one."""

WRITE_SECONDS = 30.0
"""Between two writes at least, failed ones too: each is work for the API server."""

SHORT_SECONDS = 30.0
"""What ends within the time between two writes is about to end."""

LOOK_SECONDS = 1.0
"""How often the thread looks at what is in hand."""

REMEMBERED = 32
"""Screenings that ended here, whose median says how long one takes."""

FIELD_MANAGER = "onescan-worker"

log = get_logger("onescan.cluster.deletion_cost")


@dataclass(frozen=True, slots=True)
class InHand:
    """A screening in hand."""

    lane: str
    since: float
    """When it was begun, by `time.monotonic`."""


def bucket(in_hand: Mapping[str, InHand], usual_seconds: float | None, now: float) -> str:
    """Say in one word how much a deletion would disturb.

    Parameters
    ----------
    in_hand : mapping
        Claim to screening.
    usual_seconds : float or None
        How long a screening takes here; None when none has ended yet.
    now : float
        By `time.monotonic`.

    Returns
    -------
    str
        ``idle``: nothing in hand. ``stat``: something urgent. ``short``: all of it should end
        within `SHORT_SECONDS`. ``long``: anything else, a screening that has outlived the usual
        time among it.
    """
    if not in_hand:
        return "idle"
    if any(item.lane == "stat" for item in in_hand.values()):
        return "stat"
    if usual_seconds is None:
        return "long"
    left = [usual_seconds - (now - item.since) for item in in_hand.values()]
    return "short" if all(0 <= seconds <= SHORT_SECONDS for seconds in left) else "long"


class DeletionCost:
    """Writes the cost of one pod, on change of its bucket.

    Parameters
    ----------
    pod : str
        Name of the pod.
    look : callable
        Gives what is in hand, by claim; called in the thread.
    connect : callable
        Gives the cluster; called in the thread, again after it failed.
    clock : callable
        `time.monotonic`.
    """

    def __init__(
        self,
        pod: str,
        look: Callable[[], Mapping[str, InHand]],
        connect: Callable[[], Cluster],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pod = pod
        self._look = look
        self._connect = connect
        self._clock = clock
        self._cluster: Cluster | None = None
        self._before: Mapping[str, InHand] = {}
        self._lengths: deque[float] = deque(maxlen=REMEMBERED)
        self._written: str | None = None
        self._tried_at: float | None = None
        self._failing = False

    def step(self) -> None:
        """Look once, and write where there is something to write; raises nothing."""
        now = self._clock()
        in_hand = self._look()
        for claim, item in self._before.items():
            if claim not in in_hand:
                self._lengths.append(now - item.since)
        self._before = in_hand
        wanted = bucket(in_hand, median(self._lengths) if self._lengths else None, now)
        if wanted == self._written:
            return
        if self._tried_at is not None and now - self._tried_at < WRITE_SECONDS:
            return
        self._tried_at = now
        self._write(wanted)

    def close(self) -> None:
        """Close the connection."""
        if self._cluster is not None:
            self._cluster.close()

    def _write(self, wanted: str) -> None:
        try:
            if self._cluster is None:
                self._cluster = self._connect()
            self._cluster.annotate_pod(self._pod, {DELETION_COST: str(COSTS[wanted])})
        except Exception as error:  # whatever the client raises, the worker works on
            outcome = _outcome(error)
            DELETION_COST_WRITES.labels(outcome).inc()
            if not self._failing:  # once, not every half minute
                code = error.code if isinstance(error, OneScanError) else type(error).__name__
                log.warning("onescan.deletion_cost.failed", outcome=outcome, error=code)
            self._failing = True
            return
        self._written = wanted
        self._failing = False
        DELETION_COST_WRITES.labels("written").inc()


def _outcome(error: Exception) -> str:
    if isinstance(error, ClusterForbiddenError):
        return "forbidden"
    return "unavailable" if isinstance(error, ClusterUnavailableError) else "failed"


@contextmanager
def kept_deletion_cost(
    settings: Settings, look: Callable[[], Mapping[str, InHand]]
) -> Iterator[None]:
    """Keep the cost of this worker's pod true in a thread; nothing where no pod is named."""
    worker = settings.worker
    if not worker.pod_name:
        yield
        return

    def connect() -> Cluster:
        return open_cluster(settings.cluster, namespace=worker.pod_namespace, manager=FIELD_MANAGER)

    cost = DeletionCost(worker.pod_name, look, connect)
    stopping = threading.Event()

    def run() -> None:
        while not stopping.wait(LOOK_SECONDS):
            cost.step()
        cost.close()

    threading.Thread(target=run, name="deletion cost", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()  # and not joined: a call that hangs ends with the process
