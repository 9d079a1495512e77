"""What a study costs on a kind of pod: a TOML file, measured or marked as an assumption.

How quick a pod is with n studies in hand is measured (``seconds_per_study``) or follows from the
stages of one study by mean-value analysis of a closed network: host cores, one device, and time
that needs neither. Several cores count as one quicker core and a delay (Seidmann's approximation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gateway.toml_table import TomlTable
from loadtests.capacity.profile import read_toml

HERE = Path(__file__).parent / "costs"


@dataclass(frozen=True, slots=True)
class Cost:
    """One study of mean size on one kind of pod."""

    name: str
    title: str
    source: str
    measured: bool
    """Whether the device's seconds were measured; else they are assumptions."""

    gpu_type: str
    """As in prices.toml."""

    estimate_gpu_seconds: float
    """Of the manifests, which the autoscaler reads."""

    host_core_seconds: float
    device_seconds: float
    other_seconds: float
    """Queue, database, HTTP: neither host nor device is busy."""

    cores: int
    """Host cores of a pod."""

    concurrency: int
    """Studies in hand at once, the chart's ``concurrency``."""

    stat_first: bool
    """Whether stat studies in hand get first what they need, as by the priorities of Triton."""

    seconds_per_study: tuple[float, ...]
    """Measured: seconds a study of a pod with 1, 2, … always in hand; empty where it was not."""

    intake_core_seconds: float
    """Of the api, for receiving and indexing."""

    def rates(self) -> tuple[float, ...]:
        """Studies of mean size per second with 0, 1, … studies in hand."""
        found = [0.0]
        measured = self.seconds_per_study
        for in_hand in range(1, self.concurrency + 1):
            if measured:
                found.append(1 / measured[min(in_hand, len(measured)) - 1])
            else:
                found.append(self._rate(in_hand))
        return tuple(found)

    def speed(self) -> float:
        """Estimated GPU-seconds that a busy pod does in a second: the chart's ``speed``."""
        return self.estimate_gpu_seconds * self.rates()[-1]

    def dearer(self, factor: float) -> Cost:
        """Give the cost of a model version that takes so many times as long on the device.

        The manifests' estimates stay as they were: nobody has told the autoscaler.
        """
        measured = self.seconds_per_study
        more = self.device_seconds * (factor - 1)
        return replace(
            self,
            device_seconds=self.device_seconds * factor,
            seconds_per_study=tuple(seconds + more for seconds in measured),
        )

    def _rate(self, in_hand: int) -> float:
        core = self.host_core_seconds / self.cores
        delay = self.other_seconds + core * (self.cores - 1)
        lengths = [0.0, 0.0]
        rate = 0.0
        for number in range(1, in_hand + 1):
            host = core * (1 + lengths[0])
            device = self.device_seconds * (1 + lengths[1])
            rate = number / (host + device + delay)
            lengths = [rate * host, rate * device]
        return rate


def read_cost(name: str) -> Cost:
    """Read a cost file that comes with OneScan, by its name, or a file.

    Raises
    ------
    CapacityFileError
        When there is no such file or something in it is wrong.
    """
    return parse_cost(*read_toml(name, HERE))


def parse_cost(table: TomlTable, name: str) -> Cost:
    """Read a cost from its table, strictly."""
    stages, pod = table.table("stages"), table.table("pod")
    found = Cost(
        name=name,
        title=table.text("title"),
        source=table.text("source"),
        measured=table.flag("measured", default=False),
        gpu_type=table.text("gpu_type"),
        estimate_gpu_seconds=table.number("estimate_gpu_seconds"),
        host_core_seconds=stages.number("host_core_seconds"),
        device_seconds=stages.number("device_seconds"),
        other_seconds=stages.number("other_seconds"),
        intake_core_seconds=stages.number("intake_core_seconds"),
        cores=int(pod.number("cores")),
        concurrency=int(pod.number("concurrency")),
        stat_first=pod.flag("stat_first", default=True),
        seconds_per_study=pod.numbers("seconds_per_study"),
    )
    for part in (stages, pod, table):
        part.done()
    times = (found.host_core_seconds, found.device_seconds, found.other_seconds)
    if min(times) < 0 or found.device_seconds <= 0 or found.intake_core_seconds <= 0:
        stages.refuse("seconds are 0 or more, device_seconds and intake_core_seconds above 0")
    if found.cores < 1 or not 1 <= found.concurrency <= 64 or found.estimate_gpu_seconds <= 0:
        pod.refuse("cores and concurrency are 1 or more, estimate_gpu_seconds above 0")
    if any(seconds <= 0 for seconds in found.seconds_per_study):
        pod.refuse("seconds_per_study holds a number that is not above 0")
    return found
