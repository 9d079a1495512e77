"""Tables ordered by score are compared as what they are, and a peak that is gone is seen."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from gateway.runtime.backends.onnxruntime import engine
from gateway.settings import ROOT
from networks.compile.halves import halved
from networks.compile.parity import probe, reference
from networks.compile.profile import Profile, Shapes
from tests.engine_builder import OnnxBuilder


def peaks() -> NDArray[np.float32]:
    """Give one tile's table of 16 peaks, 6 numbers each, the highest score first."""
    rng = np.random.default_rng(3)
    rows = rng.random((16, 6), np.float32) * 60
    rows[:, 0] = np.sort(rng.random(16, np.float32))[::-1]
    return rows[None]


def holds(ours: dict[str, NDArray], theirs: dict[str, NDArray]) -> bool:
    return engine.parity(ours, theirs)[0]


def test_peaks_that_change_places_are_the_same_peaks() -> None:
    """By the last bit of their scores."""
    ours = peaks()
    ours[0, 4, 0] = ours[0, 3, 0]
    theirs = ours[:, [0, 1, 2, 4, 3, *range(5, 16)]]
    assert not np.allclose(ours, theirs)
    assert holds({"peaks": ours}, {"peaks": theirs})


def test_the_last_peak_of_a_table_may_be_another() -> None:
    """It competes with the first one that is left out."""
    ours, theirs = peaks(), peaks()
    theirs[0, -1] = ours[0, -1] + [0.0, 30, 30, 30, 1, 1]
    assert holds({"peaks": ours}, {"peaks": theirs})


@pytest.mark.parametrize("row", [0, 5, 10])
def test_a_peak_elsewhere_is_another_answer(row: int) -> None:
    """Wherever it stands in the table but at its end."""
    ours, theirs = peaks(), peaks()
    theirs[0, row, 1:4] += 25
    assert not holds({"peaks": ours}, {"peaks": theirs})


def test_tiles_are_compared_with_what_stands_of_them() -> None:
    """Number, worth and vector go together; another vector of the same tile is another answer."""
    kept = np.array([[7, 3, 9, -1, -1]])
    worth = np.array([[0.9, 0.5, 0.5, 0, 0]], np.float32)
    embedded = np.random.default_rng(1).random((1, 5, 4), np.float32)
    ours = {"kept": kept, "worth": worth, "embedded": embedded}
    order = [0, 2, 1, 3, 4]
    theirs = {name: array[:, order] for name, array in ours.items()}
    assert holds(ours, theirs)
    theirs["embedded"] = theirs["embedded"][:, [0, 2, 1, 3, 4]]
    assert not holds(ours, theirs)


def test_a_detector_picks_the_same_peaks_in_fp16() -> None:
    """What compares neighbours stays in fp32, or two that become equal are no peak."""
    path = ROOT / "model_repository" / "nodule_net" / "1" / "model.onnx"
    shape = (1, 2, 64, 96, 96)
    inputs = probe(path, {"volume": shape})
    ends = Shapes(shape, shape, shape)
    builder = OnnxBuilder()
    made = builder.build(
        halved(onnx.load(str(path))).SerializeToString(), Profile({"volume": ends}, "fp16", 1)
    )
    result, measured = engine.parity(reference(path)(inputs), builder.run(made, inputs))
    assert result, measured
