"""The model.py files, without Triton: they translate, and answer errors one by one."""

from __future__ import annotations

import ast
import json
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fake_pb_utils import Request, load_model

ROOT = Path(__file__).resolve().parents[2]
REPOSITORY = ROOT / "model_repository"
MODELS = sorted(REPOSITORY.glob("*/1/model.py"))
RECIPE = tomllib.loads((REPOSITORY / "anatomy/pipeline.toml").read_text())["recipe"]


def text(value: str | bytes) -> Any:
    return np.array([value.encode() if isinstance(value, str) else value], np.object_)


@pytest.fixture(scope="module")
def preprocess() -> Any:
    return load_model(REPOSITORY / "ct_preprocess/1/model.py")


@pytest.fixture(scope="module")
def postprocess() -> Any:
    return load_model(REPOSITORY / "ct_postprocess/1/model.py")


@pytest.fixture
def region() -> Iterator[str]:
    """Hold a region of 8 slices, 40 HU, under /dev/shm."""
    name = f"onescan-vol-{uuid.uuid4().hex}"
    path = Path("/dev/shm") / name
    path.write_bytes(np.full((8, 64, 64), 40, np.int16).tobytes())
    yield name
    path.unlink()


def slab(**changes: Any) -> Request:
    """Ask for a slab of 8 slices by value."""
    inputs: dict[str, Any] = {
        "VOLUME": np.full((8, 64, 64), 40, np.int16),
        "GEOMETRY": np.diag([3.0, 1.5, 1.5, 1.0]),
        "ROI": np.array([0, 8, 0, 64, 0, 64], np.int32),
        "RECIPE": text(json.dumps(RECIPE)),
        "outputs": ("volume", "grid_hu", "grid_geometry"),
    }
    return Request(**(inputs | changes))


def answer(**changes: Any) -> Request:
    """Ask to postprocess an answer of the network that is liver all over."""
    inputs: dict[str, Any] = {
        "labels": np.full((1, 32, 32, 32), 5, np.uint8),
        "grid_hu": np.full((20, 30, 30), 47, np.int16),
        "grid_geometry": np.diag([3.0, 3.0, 3.0, 1.0]),
        "RECIPE": text(json.dumps(RECIPE)),
    }
    return Request(**(inputs | changes))


def test_a_slab_by_value_becomes_the_inner_tensors(preprocess: Any) -> None:
    """8 × 32 × 32 voxels of 3 mm, padded to 32³, two windows."""
    (response,) = preprocess.execute([slab()])
    arrays = response.arrays()
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == {
        "volume": ((1, 2, 32, 32, 32), "float32"),
        "grid_hu": ((8, 32, 32), "int16"),
        "grid_geometry": ((4, 4), "float64"),
    }
    assert (arrays["grid_hu"] == 40).all()


def test_a_slab_by_name_becomes_the_same(preprocess: Any, region: str) -> None:
    """SOURCE in place of VOLUME."""
    source = text(json.dumps({"region": region, "offset": 0, "shape": [8, 64, 64]}))
    by_name, by_value = preprocess.execute([slab(VOLUME=None, SOURCE=source), slab()])
    for name, array in by_value.arrays().items():
        np.testing.assert_array_equal(by_name.arrays()[name], array)


def test_only_what_is_asked_for_is_made(preprocess: Any) -> None:
    """A check without a rule on its own pixels pays for none."""
    (response,) = preprocess.execute([slab(outputs=("grid_geometry",))])
    assert set(response.arrays()) == {"grid_geometry"}


def test_the_scan_s_own_pixels_are_thin_slices_averaged(preprocess: Any) -> None:
    """16 slices of 1.5 mm become 8 of 3 mm; rows and columns stay."""
    recipe = text(json.dumps(RECIPE | {"scan": {"increment_mm": 3.0}}))
    volume = np.repeat(np.array([[[0]], [[100]]], np.int16), 8, 0) * np.ones((1, 64, 64), np.int16)
    (response,) = preprocess.execute([
        slab(
            VOLUME=volume,
            GEOMETRY=np.diag([1.5, 0.7, 0.7, 1.0]),
            ROI=np.array([0, 16, 2, 64, 4, 64], np.int32),
            RECIPE=recipe,
            outputs=("scan_hu", "scan_geometry"),
        )
    ])  # fmt: skip
    arrays = response.arrays()
    assert arrays["scan_hu"].shape == (8, 62, 60)
    assert arrays["scan_hu"][:, 0, 0].tolist() == [0] * 4 + [100] * 4
    np.testing.assert_allclose(np.diag(arrays["scan_geometry"]), [3.0, 0.7, 0.7, 1.0])
    np.testing.assert_allclose(arrays["scan_geometry"][:3, 3], [0.75, 1.4, 2.8])


def test_scan_pixels_without_a_rule_for_them_are_refused(preprocess: Any) -> None:
    """The recipe says how they are averaged."""
    (response,) = preprocess.execute([slab(outputs=("scan_hu",))])
    assert response.error().code() == "INVALID_ARG"
    assert "table scan" in response.error().message()


def test_clinical_values_and_a_report_become_tensors(preprocess: Any) -> None:
    """A batch of one; missing stays missing; no report is no token."""
    values = np.array([57.0, np.nan], np.float32)
    (told,) = preprocess.execute(
        [slab(CLINICAL=values, REPORT=text("脂肪肝"), outputs=("clinical", "tokens"))]
    )
    np.testing.assert_array_equal(told.arrays()["clinical"], values[None])
    assert told.arrays()["tokens"].shape == (1, 256)
    assert np.count_nonzero(told.arrays()["tokens"]) == 5  # three characters, two pairs
    (silent,) = preprocess.execute([slab(outputs=("tokens",))])
    assert not silent.arrays()["tokens"].any()


def test_a_check_with_clinical_values_refuses_a_request_without(preprocess: Any) -> None:
    """Missing values are NaN; a missing tensor is a mistake."""
    (response,) = preprocess.execute([slab(outputs=("clinical",))])
    assert response.error().code() == "INVALID_ARG"
    assert "CLINICAL" in response.error().message()


@pytest.mark.parametrize("given", [{"VOLUME": None}, {"SOURCE": text("{}")}])
def test_neither_and_both_of_source_and_volume_are_refused(
    preprocess: Any, given: dict[str, Any]
) -> None:
    """Exactly one."""
    (response,) = preprocess.execute([slab(**given)])
    assert response.error().code() == "INVALID_ARG"
    assert "exactly one of SOURCE and VOLUME" in response.error().message()


def test_an_organ_map_becomes_the_outer_tensors(postprocess: Any) -> None:
    """Scores, JSON, mask and its geometry."""
    (response,) = postprocess.execute([answer()])
    arrays = response.arrays()
    assert arrays["SCORES"].tolist() == [1.0]
    assert arrays["MASK"].shape == (20, 30, 30)
    assert arrays["LESIONS"].shape == (1,)
    liver = json.loads(arrays["LESIONS"][0])["measures"]["organs"]["liver"]
    assert liver["median_hu"] == 47.0
    np.testing.assert_array_equal(arrays["MASK_GEOMETRY"], np.diag([3.0, 3.0, 3.0, 1.0]))


def test_a_missing_network_output_is_refused(postprocess: Any) -> None:
    """It is optional to Triton and not to the recipe."""
    (response,) = postprocess.execute([answer(labels=None)])
    assert response.error().code() == "INVALID_ARG"
    assert "labels" in response.error().message()


def test_one_bad_request_leaves_its_neighbours_whole(preprocess: Any, postprocess: Any) -> None:
    """As many responses as requests, in order."""
    for model, good, bad in (
        (preprocess, slab(), slab(RECIPE=text("{"))),
        (postprocess, answer(), answer(RECIPE=text("{"))),
    ):
        first, second, third = model.execute([good, bad, good])
        assert first.arrays().keys() == third.arrays().keys()
        assert second.error().code() == "INVALID_ARG"


def test_a_defect_of_ours_is_an_answer_without_data(preprocess: Any, postprocess: Any) -> None:
    """No stub dies of it, and what it says has no value of the study in it."""
    requests = ((preprocess, slab(ROI=None)), (postprocess, answer(grid_hu=None)))
    for model, request in requests:
        (response,) = model.execute([request])
        assert response.error().code() == "INTERNAL"
        assert response.error().message().endswith("Error.")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.parent.name)
def test_numpy_2_is_refused_at_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it this Triton reads zeros and sends empty tensors, silently."""
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(AssertionError, match="not below 2"):
        load_model(path)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.parent.name)
def test_a_model_does_no_arithmetic(path: Path) -> None:
    """No operator on numbers; ``|`` of types is none."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    arithmetic = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult)
    assert not [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.BinOp | ast.AugAssign) and isinstance(n.op, arithmetic)
    ]
