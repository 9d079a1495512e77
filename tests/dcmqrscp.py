"""dcmtk's archive, dcmqrscp, as a child of a test."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gateway.runtime.ports import free_port

AE_TITLE = "QR"

START_SECONDS = 10.0


@contextmanager
def running_dcmqrscp(
    need_tool: Callable[[str], str], folder: Path, files: Sequence[bytes]
) -> Iterator[int]:
    """Run it with some instances in it; gives its port on loopback."""
    port = free_port("127.0.0.1")
    (folder / "db").mkdir(parents=True)
    (folder / "qr.cfg").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 4\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{AE_TITLE} {folder / 'db'} RW (9, 1024mb) ANY\nAETable END\n"
    )
    paths = []
    for index, data in enumerate(files):
        paths.append(folder / f"{index}.dcm")
        paths[-1].write_bytes(data)
    server = subprocess.Popen(
        [need_tool("dcmqrscp"), "-c", folder / "qr.cfg"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        command = [need_tool("storescu"), "-aec", AE_TITLE, "127.0.0.1", str(port)]
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run([*command, *map(str, paths)], capture_output=True).returncode:
            assert time.monotonic() < deadline, "dcmqrscp takes nothing"
            time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()
