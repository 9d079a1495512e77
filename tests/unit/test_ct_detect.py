"""The search as Triton runs it: chunks to other models, turns, an end when nobody waits."""

from __future__ import annotations

import asyncio
import json
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preprocess.device import Device
from tests.fake_pb_utils import InferenceRequest, Request, load_model
from tests.strict_arrays import StrictArray, strict_device

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT.parent / "model_repository/ct_detect/1/model.py"

KINDS = ["solid", "glass"]

RECIPE = {
    "name": "nodule",
    "grid": {"spacing_mm": [3.0, 3.0, 3.0]},
    "channels": [{"clip_hu": [-1024.0, 300.0]}, {"clip_hu": [-100.0, 900.0]}],
    "post": {
        "kind": "detections",
        "detector": "net",
        "classifier": "crops",
        "kinds": KINDS,
        "tile": [16, 32, 32],
        "margin": [2, 4, 4],
        "organs": ["lung"],
        "chunk": 2,
    },
}

GEOMETRY = np.array([[0, 0, 3.0, 0], [0, 3.0, 0, 0], [3.0, 0, 0, 0], [0, 0, 0, 1]])
SHAPE = (30, 90, 90)


class Networks:
    """A detector that marks the middle of each tile, and a classifier that is always sure."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.at_once = self.most_at_once = 0
        self.fail = False
        self.delay_seconds = 0.0

    async def net(self, volume: NDArray[np.float32]) -> dict[str, Any]:
        await self._seen("net", len(volume))
        middle = np.array(volume.shape[2:]) / 2
        row = [0.5, *middle, 6.0, 0.7, 0.3]
        return {"peaks": np.tile(np.array(row, np.float32), (len(volume), 1, 1))}

    async def crops(self, crops: NDArray[np.float32]) -> dict[str, Any]:
        await self._seen("crops", len(crops))
        chance = np.full((len(crops), 1), 0.9, np.float32)
        return {"chance": chance, "kinds": np.tile(np.float32([0.2, 0.8]), (len(crops), 1))}

    async def _seen(self, name: str, count: int) -> None:
        self.asked.append((name, count))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.delay_seconds)
        self.at_once -= 1
        if self.fail:
            raise RuntimeError("out of memory")


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    """Answer for the two models."""
    both = Networks()
    monkeypatch.setattr(InferenceRequest, "models", {"net": both.net, "crops": both.crops})
    return both


@pytest.fixture
def organs() -> Iterator[dict[str, Any]]:
    """Hold a label map that is lung, but for its border, under /dev/shm."""
    name = f"onescan-vol-{uuid.uuid4().hex}"
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:-2, 5:-5, 5:-5] = 1
    path = Path("/dev/shm") / name
    path.write_bytes(labels.tobytes())
    yield {
        "region": name,
        "offset": 0,
        "shape": list(SHAPE),
        "geometry": GEOMETRY.tolist(),
        "labels": ["background", "lung", "bone"],
    }
    path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(MODEL)


def text(value: Any) -> Any:
    return np.array([json.dumps(value).encode()], np.object_)


def request(organs: dict[str, Any] | None, **changes: Any) -> Request:
    inputs: dict[str, Any] = {
        "grid_hu": np.full(SHAPE, -850, np.int16),
        "grid_geometry": GEOMETRY,
        "ORGANS": organs and text(organs),
        "RECIPE": text(RECIPE),
    }
    return Request(**(inputs | changes))


def ask(model: Any, *requests: Request) -> list[Any]:
    """Run the model on requests of one batch."""
    return list(asyncio.run(model.execute(list(requests))))


def recipe(**post: Any) -> Any:
    return text(RECIPE | {"post": {**RECIPE["post"], **post}})  # type: ignore[dict-item]


def test_a_volume_becomes_marks(model: Any, networks: Networks, organs: dict[str, Any]) -> None:
    """Tiles go in chunks, their crops follow, and each mark is a row."""
    (response,) = ask(model, request(organs))
    peaks = response.arrays()["peaks"]
    tiles = sum(count for name, count in networks.asked if name == "net")
    assert peaks.shape == (tiles, 5 + len(KINDS))
    assert peaks.dtype == np.float32
    assert {count for name, count in networks.asked if name == "net"} <= {1, 2}
    # log odds of 0.5 and 0.9 have 0.75 in the middle
    np.testing.assert_allclose(peaks[:, 0], 0.75, atol=1e-6)
    np.testing.assert_allclose(peaks[:, 5:], [[0.2, 0.8]] * tiles, rtol=1e-6)


def test_tiles_of_a_device_are_asked_about_on_it(
    networks: Networks, organs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles and crops never come to the host; the marks are the same."""
    model = load_model(MODEL)
    (expected,) = ask(model, request(organs))
    model.device = Device(strict_device())
    shown = []

    async def net(volume: Any) -> dict[str, Any]:
        shown.append(type(volume))
        return await networks.net(np.empty(volume.shape, np.float32))

    async def crops(crops: Any) -> dict[str, Any]:
        shown.append(type(crops))
        return await networks.crops(np.empty(crops.shape, np.float32))

    monkeypatch.setattr(InferenceRequest, "models", {"net": net, "crops": crops})
    (response,) = ask(model, request(organs))
    assert set(shown) == {StrictArray}
    np.testing.assert_allclose(response.arrays()["peaks"], expected.arrays()["peaks"])


def test_few_requests_are_under_way_at_once(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """Each holds its tiles in shared memory."""
    networks.delay_seconds = 0.001
    ask(model, request(organs))
    assert networks.most_at_once == model.execute.__globals__["IN_FLIGHT"]


def test_an_organ_that_is_not_in_the_volume_has_no_marks(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """No network is asked, and a row of score 0 says so."""
    (response,) = ask(model, request(organs, RECIPE=recipe(organs=["bone"])))
    assert response.arrays()["peaks"].tolist() == [[0.0] * 7]
    assert networks.asked == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ORGANS": None}, "ORGANS is needed"),
        ({"RECIPE": text({})}, "recipe lacks"),
        ({"RECIPE": recipe(organs=["lingula"])}, "ORGANS has no 'lingula'"),
        ({"RECIPE": recipe(kinds=["solid", "glass", "calcified"])}, "3 kinds"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Any,
    networks: Networks,
    organs: dict[str, Any],
    change: dict[str, Any],
    said: str,
) -> None:
    """By a sentence, and the next request is answered."""
    bad, good = ask(model, request(organs, **change), request(organs))
    assert bad.error().code() == "INVALID_ARG"
    assert said in bad.error().message()
    assert good.arrays()["peaks"].size


def test_a_recipe_without_tiles_is_refused(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """That of another kind of check."""
    anatomy = ROOT.parent / "model_repository/anatomy/pipeline.toml"
    other = text(tomllib.loads(anatomy.read_text())["recipe"])
    (response,) = ask(model, request(organs, RECIPE=other))
    assert "post.kind is detections" in response.error().message()


def test_a_network_that_fails_fails_its_search_and_stops_it(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """What it said is handed on, and no chunk follows those under way."""
    networks.fail, networks.delay_seconds = True, 0.001
    (response,) = ask(model, request(organs))
    assert response.error().code() == "INTERNAL"
    assert response.error().message() == "net: out of memory"
    assert len(networks.asked) == model.execute.__globals__["IN_FLIGHT"]


def test_a_cancelled_search_asks_no_more(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """As soon as Triton says that the request is."""
    (response,) = ask(model, request(organs, cancelled=lambda: len(networks.asked) >= 3))
    assert response.error().code() == "CANCELLED"
    assert len(networks.asked) == 3


def test_a_search_ends_with_its_study(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """Its region is gone: behind an ensemble nobody says that the request was cancelled."""
    path = Path("/dev/shm") / organs["region"]

    def lost() -> bool:
        if len(networks.asked) >= 2:
            path.unlink(missing_ok=True)
        return False

    (response,) = ask(model, request(organs, cancelled=lost))
    assert response.error().code() == "CANCELLED"
    assert len(networks.asked) == 2


def test_a_search_ends_when_its_client_has_given_up(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """By the timeout that came with the request."""
    networks.delay_seconds = 0.05
    (response,) = ask(model, request(organs, timeout_us=20_000))
    assert response.error().code() == "CANCELLED"
    assert len(networks.asked) == model.execute.__globals__["IN_FLIGHT"]


def test_no_routine_chunk_begins_while_a_stat_search_lasts(
    model: Any, networks: Networks, organs: dict[str, Any]
) -> None:
    """Whichever instance runs it; the routine search goes on afterwards."""
    order: list[str] = []

    async def go() -> None:
        other = load_model(MODEL)
        networks.delay_seconds = 0.002

        async def run(name: str, instance: Any, **changes: Any) -> None:
            (response,) = await instance.execute([request(organs, **changes)])
            assert response.arrays()["peaks"].size
            order.append(name)

        stat = asyncio.create_task(run("stat", model, parameters={"onescan_priority": 1}))
        await asyncio.sleep(0)
        await asyncio.gather(
            stat, run("routine", other, parameters={"onescan_priority": 2}), return_exceptions=False
        )

    asyncio.run(go())
    assert order == ["stat", "routine"]
    assert networks.most_at_once == model.execute.__globals__["IN_FLIGHT"]


def test_a_file_system_that_cannot_lock_keeps_nobody_waiting(
    model: Any,
    networks: Networks,
    organs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stat and routine searches are answered all the same."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", refuse)
    for priority in (1, 2):
        (response,) = ask(model, request(organs, parameters={"onescan_priority": priority}))
        assert response.arrays()["peaks"].size
