"""ct_preprocess, ct_detect and ct_postprocess with volumes on a device, without Triton.

A strict device in CuPy's place: what was uploaded, what came back, and by which way.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from preprocess.arrays import to_host
from preprocess.device import Device, Host, open_device
from preprocess.exceptions import RegionError
from tests.fake_pb_utils import Request, load_model
from tests.strict_arrays import StrictArray, strict, strict_device, transfers
from tests.unit.test_models import RECIPE, REPOSITORY, slab, text

SHAPE = [8, 64, 64]


@pytest.fixture
def waits() -> list[None]:
    """Give as many as the device was waited for."""
    return []


@pytest.fixture
def device(waits: list[None]) -> Device:
    return Device(strict_device(waits))


@pytest.fixture
def region() -> Iterator[Path]:
    """Hold a region of 8 slices under /dev/shm, slice n at n HU."""
    path = Path("/dev/shm") / f"onescan-vol-{uuid.uuid4().hex}"
    path.write_bytes(np.repeat(np.arange(8, dtype=np.int16), 64 * 64).tobytes())
    yield path
    path.unlink(missing_ok=True)


def source(region: Path, first: int = 0, slices: int = 8) -> str:
    return json.dumps(
        {"region": region.name, "offset": first * 64 * 64 * 2, "shape": [slices, 64, 64]}
    )


def test_a_slab_is_uploaded_once(device: Device, region: Path) -> None:
    """Whole and in parts; a part of other slices than those there is uploaded."""
    whole = device.slab(source(region))
    assert isinstance(whole, StrictArray)
    part = device.slab(source(region, 3, 4))
    assert to_host(part)[:, 0, 0].tolist() == [3, 4, 5, 6]
    assert device.slab(source(region).encode()).held is not None
    assert device.uploads == 1


def test_a_larger_part_is_uploaded_anew(device: Device, region: Path) -> None:
    """A check that asks for some slices before the whole is asked for."""
    device.slab(source(region, 3, 4))
    assert to_host(device.slab(source(region)))[0, 0, 0] == 0
    assert to_host(device.slab(source(region, 2, 2)))[:, 0, 0].tolist() == [2, 3]
    assert device.uploads == 2


def test_a_region_that_is_gone_is_refused_and_forgotten(device: Device, region: Path) -> None:
    """As on the host: a cached slab answers for nobody."""
    device.slab(source(region))
    region.unlink()
    with pytest.raises(RegionError, match="cannot be opened"):
        device.slab(source(region))
    region.write_bytes(np.full(8 * 64 * 64, 9, np.int16).tobytes())
    other = region.with_name(f"onescan-vol-{uuid.uuid4().hex}")
    other.write_bytes(region.read_bytes())
    try:
        device.slab(source(region))
        region.unlink()
        device.slab(source(other))
        assert list(device._slabs) == [other.name]
    finally:
        other.unlink()


def test_slabs_stay_within_their_bytes(region: Path) -> None:
    """The least recently used goes; one that is too large never stays."""
    small = Device(strict_device(), most_bytes=8 * 64 * 64)
    assert small.slab(source(region)).shape == (8, 64, 64)
    small.slab(source(region))
    assert small.uploads == 2
    assert not small._slabs


def test_triton_s_kind_of_instance_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """KIND_CPU is NumPy; KIND_GPU is CuPy on the device that Triton names."""
    used: list[int] = []
    fake = SimpleNamespace(
        cuda=SimpleNamespace(Device=lambda n: SimpleNamespace(use=lambda: used.append(n)))
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    assert type(open_device({"model_instance_kind": "CPU"})) is Host
    assert type(open_device({})) is Host
    opened = open_device({"model_instance_kind": "GPU", "model_instance_device_id": "1"})
    assert isinstance(opened, Device)
    assert used == [1]


def test_preprocessing_hands_device_tensors_on(
    device: Device, waits: list[None], region: Path
) -> None:
    """By DLPack, of one upload for two checks; what is small stays on the host."""
    model = load_model(REPOSITORY / "ct_preprocess/1/model.py")
    plain = slab(VOLUME=None, SOURCE=text(source(region)))
    (expected,) = model.execute([plain])
    model.device = device
    before = transfers.to_host
    first, second = model.execute([plain, plain])
    assert transfers.to_host == before
    assert len(waits) == 2
    assert device.uploads == 1
    for response in (first, second):
        for name, array in expected.arrays().items():
            given = response.arrays()[name]
            assert isinstance(given, np.ndarray) == (name == "grid_geometry")
            np.testing.assert_allclose(to_host(given), array, atol=2e-5)


def test_preprocessing_takes_a_volume_by_value(device: Device) -> None:
    """From the host or from a device."""
    model = load_model(REPOSITORY / "ct_preprocess/1/model.py")
    model.device = device
    volume = np.full((8, 64, 64), 40, np.int16)
    asked = [slab(VOLUME=volume), slab(VOLUME=strict.asarray(volume))]
    for response in model.execute(asked):
        assert (to_host(response.arrays()["grid_hu"]) == 40).all()


def test_a_refusal_is_the_same(device: Device) -> None:
    """An answer with Triton's code, not a dead stub."""
    model = load_model(REPOSITORY / "ct_preprocess/1/model.py")
    model.device = device
    (response,) = model.execute([slab(VOLUME=None, SOURCE=text(source(Path("other-name"))))])
    assert response.error().code() == "INVALID_ARG"


def test_postprocessing_reads_device_tensors(device: Device) -> None:
    """What leaves is NumPy's, and the same."""
    model = load_model(REPOSITORY / "ct_postprocess/1/model.py")
    labels = np.zeros((1, 32, 32, 32), np.uint8)
    labels[0, 2:18, 4:26, 4:26] = 5
    hu = np.random.default_rng(0).normal(50, 10, (20, 30, 30)).astype(np.int16)

    def asked(put: Any) -> Request:
        return Request(
            labels=put(labels), grid_hu=put(hu), grid_geometry=np.diag([3.0, 3.0, 3.0, 1.0]),
            RECIPE=text(json.dumps(RECIPE)),
        )  # fmt: skip

    (expected,) = model.execute([asked(np.asarray)])
    model.device = device
    # the network's answer may lie on the host, as that of ONNX Runtime on the CPU does
    for response in model.execute([asked(strict.asarray), asked(np.asarray)]):
        for name, array in expected.arrays().items():
            assert isinstance(response.arrays()[name], np.ndarray)
            np.testing.assert_array_equal(response.arrays()[name], array)
