"""The shared volume in the real /dev/shm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.contract import REGION_PREFIX
from gateway.exceptions import StorageFullError
from gateway.runtime.janitor import leftovers
from gateway.triton.shared_memory import SHM, SharedLabels, SharedVolume, sweep
from preprocess.organs import open_organs
from preprocess.region import open_slab


def test_a_region_is_private_and_goes_when_closed(tmp_path: Path) -> None:
    """It carries our prefix, is readable by its owner only, starts as zeros and is unlinked."""
    with SharedVolume.create((4, 5, 6), home=tmp_path) as volume:
        assert volume.name.startswith(REGION_PREFIX)
        assert (SHM / volume.name).stat().st_mode & 0o777 == 0o600
        assert (SHM / volume.name).stat().st_size == 2 * 4 * 5 * 6
        assert not volume.array.any()
        assert leftovers(tmp_path) == [volume.name]
    assert leftovers(tmp_path) == []


def test_preprocess_maps_the_slab_that_source_names(tmp_path: Path) -> None:
    """Both sides agree on names, offsets in bytes and the order of axes."""
    with SharedVolume.create((4, 5, 6), home=tmp_path) as volume:
        volume.array[:] = np.arange(120).reshape(4, 5, 6)
        slab = open_slab(volume.source(1, 3).to_json())
        np.testing.assert_array_equal(slab, volume.array[1:3])
        volume.array[1, 0, 0] = -7
        assert slab[0, 0, 0] == -7


def test_preprocess_maps_the_label_map_that_organs_names(tmp_path: Path) -> None:
    """Values, names, and where it lies."""
    geometry = np.array([[0, 0, 3, -9], [0, 3, 0, -8], [3, 0, 0, 7], [0, 0, 0, 1]], np.float64)
    with SharedLabels.create((3, 4, 5), home=tmp_path) as labels:
        assert (SHM / labels.name).stat().st_size == 3 * 4 * 5
        labels.array[:] = np.arange(60).reshape(3, 4, 5) % 2
        organs = open_organs(labels.organs(geometry, ("background", "liver")).to_json())
        np.testing.assert_array_equal(organs.labels, labels.array)
        np.testing.assert_array_equal(organs.grid.affine, geometry)
        assert organs.names == ("background", "liver")
    assert leftovers(tmp_path) == []


def test_an_open_view_outlives_the_name(tmp_path: Path) -> None:
    """Closing takes the name away, not memory that somebody still reads."""
    volume = SharedVolume.create((2, 2, 2), home=tmp_path)
    view = volume.array
    view[:] = 5
    volume.close()
    volume.close()
    assert view.sum() == 40


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (2, 2), (0, 5)])
def test_a_slab_outside_the_volume_is_refused(tmp_path: Path, first: int, last: int) -> None:
    """Such a slab would be read from beyond the region."""
    with SharedVolume.create((4, 5, 6), home=tmp_path) as volume:
        with pytest.raises(ValueError, match="is not within 4 slices"):
            volume.source(first, last)


def test_a_full_dev_shm_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    """Memory is reserved at once, so writing later never meets SIGBUS; nothing stays behind."""
    status = os.statvfs(SHM)
    slices = status.f_blocks * status.f_frsize // (2 * 1024 * 1024) + 1
    with pytest.raises(StorageFullError):
        SharedVolume.create((slices, 1024, 1024), home=tmp_path)
    assert leftovers(tmp_path) == []


OWNER = """
import os, sys
from pathlib import Path
from gateway.triton.shared_memory import SharedVolume
print(SharedVolume.create((1, 1, 1), home=Path(sys.argv[1])).name, flush=True)
os.kill(os.getpid(), 9)
"""


def test_sweep_unlinks_what_lost_its_owner_and_nothing_else(tmp_path: Path) -> None:
    """Living owners and other homes keep their regions."""
    home, other = tmp_path / "a", tmp_path / "b"
    orphans = [
        subprocess.run(
            [sys.executable, "-c", OWNER, str(place)], capture_output=True, text=True, check=False
        ).stdout.strip()
        for place in (home, other)
    ]
    with SharedVolume.create((1, 1, 1), home=home) as living:
        assert sweep(home) == 1
        assert leftovers(home) == [living.name]
    assert leftovers(other) == [orphans[1]]
    assert sweep(other) == 1


ELSEWHERE = """
import os, sys
from pathlib import Path
from gateway.runtime.processes import ProcessIdentity
from gateway.triton import shared_memory
shared_memory.ProcessIdentity.of = lambda pid: ProcessIdentity(1, 1)  # its pid over there
region = shared_memory.SharedVolume.create((1, 1, 1), home=Path(sys.argv[1]))
print(region.name, flush=True)
sys.stdin.readline()
if sys.argv[2] == "close":
    region.close()
else:
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(("end", "left"), [("close", 0), ("die", 1)])
def test_sweep_spares_an_owner_in_another_container(tmp_path: Path, end: str, left: int) -> None:
    """Its pid is nobody's here, but it holds its lock; dead or done it holds none."""
    command = [sys.executable, "-c", ELSEWHERE, str(tmp_path), end]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        name = owner.stdout.readline().strip()
        assert sweep(tmp_path) == 0
        assert leftovers(tmp_path) == [name]
        owner.communicate("\n")
    assert len(leftovers(tmp_path)) == left
    assert sweep(tmp_path) == left
    assert leftovers(tmp_path) == []


def test_a_closed_region_holds_no_descriptor(tmp_path: Path) -> None:
    """A worker opens thousands of them."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        SharedVolume.create((1, 1, 1), home=tmp_path).close()
    assert len(os.listdir("/proc/self/fd")) == before
