"""When networks execute: the embedded server's backend with a clock around each of its runs.

The engine that is shipped is copied with a few lines more, which append the name, beginning and end
of every run to a file, by the clock that all processes of a machine share. Triton's own statistics
do not do: they give sums, and networks run at once; its traces leave out what ``ct_detect`` asks.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.runtime import triton as embedded_triton

ADDED = '''

_shipped_load = load
_clock_file = {file!r}


def load(path: Path, **options: Any) -> Engine:
    """Load as shipped, and note when the network runs."""
    import time
    from dataclasses import replace

    shipped = _shipped_load(path, **options)
    log = os.open(_clock_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    name = Path(path).parent.parent.name

    def run(inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        begun = time.monotonic_ns()
        try:
            return shipped.run(inputs)
        finally:
            os.write(log, f"{{name}} {{begun}} {{time.monotonic_ns()}}\\n".encode())

    return replace(shipped, run=run)
'''


@dataclass(frozen=True, order=True)
class Ran:
    """One execution of a network, in seconds of the monotonic clock."""

    begin: float
    end: float
    network: str


class NetworkClock:
    """The executions that were noted so far."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self, begin: float = 0.0, end: float = float("inf")) -> list[Ran]:
        """Give the executions that touch a stretch of time, cut to it."""
        if not self._file.is_file():
            return []
        found = []
        for line in self._file.read_text().splitlines():
            network, first, last = line.split()
            begun, ended = int(first) / 1e9, int(last) / 1e9
            if ended > begin and begun < end:
                found.append(Ran(max(begun, begin), min(ended, end), network))
        return sorted(found)


@contextmanager
def network_clock() -> Iterator[NetworkClock]:
    """Note the executions of every embedded server that starts within this block."""
    shipped = embedded_triton.OUR_BACKENDS
    with tempfile.TemporaryDirectory(prefix="os-clock-", dir="/tmp") as scratch:
        backends, file = Path(scratch) / "backends", Path(scratch) / "ran"
        shutil.copytree(shipped, backends, ignore=shutil.ignore_patterns("__pycache__"))
        with (backends / "onnxruntime" / "engine.py").open("a", encoding="utf-8") as engine:
            engine.write(ADDED.format(file=str(file)))
        embedded_triton.OUR_BACKENDS = backends
        try:
            yield NetworkClock(file)
        finally:
            embedded_triton.OUR_BACKENDS = shipped


def covered_seconds(ran: Iterable[Ran]) -> float:
    """Add up the time during which at least one network executed."""
    total, until = 0.0, float("-inf")
    for one in sorted(ran):
        if one.end > until:
            total += one.end - max(one.begin, until)
            until = one.end
    return total


def by_network(ran: Sequence[Ran]) -> dict[str, dict[str, float]]:
    """Give runs and their seconds by network, the longest first; they overlap."""
    found: dict[str, list[float]] = {}
    for one in ran:
        found.setdefault(one.network, []).append(one.end - one.begin)
    ordered = sorted(found.items(), key=lambda item: -sum(item[1]))
    return {name: {"runs": len(taken), "seconds": round(sum(taken), 3)} for name, taken in ordered}
