"""A real Prometheus with a past: series are written into its database before it starts."""

from __future__ import annotations

import contextlib
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gateway.runtime.ports import free_port

START_SECONDS = 30.0

Series = tuple[str, Iterable[tuple[float, float]]]
"""Name with labels, then pairs of Unix time and value."""


@contextlib.contextmanager
def running_prometheus(
    need_tool: Callable[[str], str], folder: Path, series: Iterable[Series]
) -> Iterator[str]:
    """Run it on the series; gives its address. It scrapes nothing."""
    past = folder / "past.om"
    lines = [f"{name} {value} {at:.3f}\n" for name, pairs in series for at, value in pairs]
    kinds = sorted({line.partition("{")[0] for line in lines})
    with past.open("w") as file:
        for kind in kinds:  # a family's lines stand together
            file.write(f"# TYPE {kind} gauge\n")
            file.writelines(line for line in lines if line.startswith(kind + "{"))
        file.write("# EOF\n")
    data = folder / "data"
    subprocess.run(
        [need_tool("promtool"), "tsdb", "create-blocks-from", "openmetrics", past, data],
        check=True,
        capture_output=True,
    )
    configuration = folder / "prometheus.yml"
    configuration.write_text("global: {}\n")
    port = free_port("127.0.0.1")
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            need_tool("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(url + "/-/ready")
        yield url
    finally:
        process.kill()
        process.wait()


def _wait(url: str) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
