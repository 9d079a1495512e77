"""``onescan models compile --target torch`` on the CPU, served by the real Triton."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.exceptions import ModelError
from gateway.runtime.backends.onnxruntime import engine
from gateway.runtime.home import Home, discard
from gateway.runtime.triton import EmbeddedTriton
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT, TritonSettings
from gateway.triton.client import TritonClient
from gateway.triton.repository import networks_without_weights, read_config, verify
from tests.served import onescan
from tests.tiny_nets import PANCREAS, write_net

pytestmark = [pytest.mark.triton, pytest.mark.timeout(240)]

REPOSITORY = ROOT / "model_repository"

CROPS = "nodule_crops"
"""A trained network, whose batches are mixed."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository of one check with a tiny network, and of a trained network."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("ct_preprocess", "ct_postprocess", "pancreas", CROPS):
        shutil.copytree(
            REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "pancreas_net").mkdir()
    shutil.copy(REPOSITORY / "pancreas_net" / "config.pbtxt", folder / "pancreas_net")
    write_net(PANCREAS, folder / "pancreas_net" / "1" / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def compiled(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the command; give its report and where it wrote."""
    base = tmp_path_factory.mktemp("torch")
    words = ["models", "compile", "--target", "torch", "--device", "cpu", "--json",
             f"--cache={base / 'cache'}", f"--output={base / 'out'}"]  # fmt: skip
    environ = {
        "ONESCAN_HOME": str(base / "home"), "ONESCAN_TRITON__MODEL_REPOSITORY": str(source),
    }  # fmt: skip
    done = onescan(*words, environ=environ)
    assert done.returncode == 0, done.stderr
    return {**json.loads(done.stdout), "output": base / "out"}


def test_the_report_tells_parity_and_way(compiled: dict[str, Any]) -> None:
    """In fp32, held to ONNX Runtime at two shapes; the machine is the CPU and PyTorch."""
    rows = {row["network"]: row for row in compiled["networks"]}
    assert set(rows) == {"pancreas_net", CROPS}
    for row in rows.values():
        assert (row["outcome"], row["precision"], row["way"]) == ("built", "fp32", "exported")
        assert row["parity"]["holds"]
        assert "usual shapes" in row["parity"]["measured"]
    assert set(compiled["machine"]) == {"architecture", "torch"}


def test_the_repository_keeps_its_contract(compiled: dict[str, Any], source: Path) -> None:
    """The same tensors and queue for the Python backend; traced to the same weights."""
    output = compiled["output"]
    assert verify(output) == {}
    for name in ("pancreas_net", CROPS):
        made, before = (read_config(f / name / "config.pbtxt") for f in (output, source))
        assert (made.backend, made.platform) == ("python", "")
        assert made.dynamic_batching == before.dynamic_batching
        for one, other in ((made.input, before.input), (made.output, before.output)):
            assert [(t.name, t.data_type, list(t.dims)) for t in one] == [
                (t.name, t.data_type, list(t.dims)) for t in other
            ]
    models = [load_manifests(folder)["pancreas"].models for folder in (source, output)]
    assert models[0] == models[1]


def test_a_package_that_was_changed_is_told(compiled: dict[str, Any], tmp_path: Path) -> None:
    """And one that is missing leaves its check without weights."""
    copy = tmp_path / "copy"
    shutil.copytree(compiled["output"], copy)
    package = copy / CROPS / "1" / "model.pt2"
    package.write_bytes(package.read_bytes()[:-1])
    assert verify(copy)[CROPS] == ["1/model.pt2 is not the engine that engine.json tells of"]
    package.unlink()
    assert CROPS in networks_without_weights(copy)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    path = Path(tempfile.mkdtemp(prefix="os-", dir="/tmp"))
    yield Home(path)
    discard(path)


@pytest.fixture
async def client(home: Home, compiled: dict[str, Any]) -> AsyncIterator[TritonClient]:
    with home.lock():
        settings = TritonSettings(exit_timeout_seconds=3)
        triton = EmbeddedTriton(home, settings, compiled["output"])
        try:
            async with TritonClient(await triton.start()) as made:
                yield made
        finally:
            await triton.stop()


async def test_triton_serves_what_onnxruntime_answers(
    client: TritonClient, compiled: dict[str, Any]
) -> None:
    """Boxes of two shapes, crops of several requests in one batch; a bad one fails alone."""
    rng = np.random.default_rng(0)

    async def same(name: str, tensor: str, array: Any) -> None:
        path = compiled["output"] / name / "1" / "model.onnx"
        expected = engine.load(path, openvino=False, threads=os.cpu_count() or 1).run(
            {tensor: array}
        )
        given = await client.call(name, {tensor: array}, outputs=list(expected), timeout_seconds=60)
        for output, value in expected.items():
            assert given[output].dtype == value.dtype
            np.testing.assert_allclose(given[output], value, rtol=1e-3, atol=1e-4)

    for shape in ((1, 2, 32, 48, 64), (1, 2, 16, 32, 32)):
        await same("pancreas_net", "volume", rng.random(shape, np.float32))
    crops = [rng.random((count, 2, 32, 32, 32), np.float32) for count in (1, 2, 3, 1)]
    await asyncio.gather(*(same(CROPS, "crops", one) for one in crops))
    with pytest.raises(ModelError):
        await client.call(
            CROPS, {"crops": rng.random((1, 2, 8, 8, 8), np.float32)},
            outputs=["chance"], timeout_seconds=60,
        )  # fmt: skip
    await same(CROPS, "crops", crops[0])
