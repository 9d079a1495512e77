"""The cage: small disks that only those inside see, and a clock that only they go by."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from loadtests.chaos.cage import Cage, SmallDisk, may_mount
from loadtests.chaos.clocks import Clock
from loadtests.chaos.models import corrupt, corrupt_weights, repair
from loadtests.chaos.studies import data_set, parts
from loadtests.fresh import BOUNDARY
from tests.tiny_repository import write_double

SMALL_BYTES = 4 * 1024**2


def test_a_small_disk_is_full_for_those_inside_and_nobody_else(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Filled from outside to the last byte, and emptied again."""
    if not may_mount():
        if request.config.getoption("--forbid-missing-tools"):
            pytest.fail("no mount namespace is allowed here")
        pytest.skip("no mount namespace is allowed here")
    folder = tmp_path / "disk"
    folder.mkdir()
    wait = "import sys, pathlib; sys.stdin.readline(); pathlib.Path(sys.argv[1]).write_text('x')"
    command = Cage({folder: SMALL_BYTES}).command([sys.executable, "-c", wait, str(folder / "own")])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        disk = SmallDisk(process.pid, folder)
        deadline = time.monotonic() + 10
        while disk.path.stat().st_dev == folder.stat().st_dev and time.monotonic() < deadline:
            time.sleep(0.02)
        assert disk.fill(leave_bytes=1024**2) > SMALL_BYTES / 2
        assert disk.free_bytes() <= 1024**2
        disk.fill()
        assert disk.free_bytes() == 0
        assert disk.names() == []
        assert list(folder.iterdir()) == []
        _, errors = process.communicate(b"\n")
    assert b"No space left on device" in errors


def test_the_clock_is_set_by_a_file(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The worker's jumps alone; its monotonic clock does not."""
    clock = Clock(tmp_path)
    if clock.library is None:
        if request.config.getoption("--forbid-missing-tools"):
            pytest.fail("libfaketime is not installed")
        pytest.skip("libfaketime is not installed")
    interpreter = clock.interpreter()
    clock.set(3600, only="worker")
    module = tmp_path / "gateway"
    module.mkdir()
    (module / "__init__.py").touch()
    (module / "cli.py").write_text("import time; print(time.time(), time.monotonic())")

    def told(command: str) -> tuple[float, float]:
        done = subprocess.run(
            [interpreter, "-m", "gateway.cli", command],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        wall, monotonic = map(float, done.stdout.split())
        return wall - time.time(), monotonic - time.monotonic()

    for command, by_seconds in (("worker", 3600), ("serve", 0), ("audit", 0)):
        wall, monotonic = told(command)
        assert abs(wall - by_seconds) < 5
        assert abs(monotonic) < 5


def test_a_corrupt_file_has_its_length_and_is_repaired(tmp_path: Path) -> None:
    """A quarter of it is other bytes."""
    file = tmp_path / "model.onnx"
    file.write_bytes(bytes(range(200)))
    kept = corrupt(file)
    damaged = file.read_bytes()
    assert len(damaged) == 200
    assert sum(a != b for a, b in zip(damaged, kept, strict=True)) == 50
    repair(file, kept)
    assert file.read_bytes() == bytes(range(200))


def test_corrupt_weights_still_load(tmp_path: Path) -> None:
    """The network is there, and says something else."""
    file = write_double(tmp_path).joinpath("double", "1", "model.onnx")
    model = onnx.load(file)
    weights = onnx.numpy_helper.from_array(np.arange(100_000, dtype=np.float32), "weights")
    model.graph.initializer.append(weights)
    onnx.save(model, file)
    kept = corrupt_weights(file)
    assert kept != file.read_bytes()
    *_, damaged = onnx.load(file).graph.initializer
    values = onnx.numpy_helper.to_array(damaged)
    assert 10_000 < (values != np.arange(100_000)).sum() < 20_000


def test_a_body_is_taken_apart_into_what_c_store_needs() -> None:
    """File meta information goes, the UID is found in it."""
    uid = b"2.25.1234567\0"
    element = b"\x02\x00\x03\x00UI" + len(uid).to_bytes(2, "little") + uid
    meta = b"\x02\x00\x00\x00UL\x04\x00" + len(element).to_bytes(4, "little") + element
    file = bytes(128) + b"DICM" + meta + b"data\r\n"
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = head + file + b"\r\n" + head + file + b"\r\n" + f"--{BOUNDARY}--\r\n".encode()
    assert parts(body) == [file, file]
    assert data_set(file) == ("2.25.1234567", b"data\r\n")
