"""The pool of scenes: what is kept is what was drawn, and it is drawn for a check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import networks
from networks.phantoms.anatomy import Anatomy
from networks.phantoms.lesions import NoPlaceError
from networks.scene_file import HU_STEP, Case, keep, read, trimmed
from networks.scenes import (
    FIRST_SEED,
    HEALTHY_SEED,
    JUDGE_SEED,
    SPARE_MM,
    Box,
    PatientPool,
    ScenePool,
    draw_case,
    organ_box,
    paint_scene,
)
from networks.version import digest, sources
from tests.ball_case import ball, ball_case

SEED = FIRST_SEED + 2  # drawn on voxels of 3 mm

PANCREAS = Box("pancreas", ("pancreas",), (12.0, 20.0, 20.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def patient(folder: Path) -> Anatomy:
    return PatientPool(folder).get(SEED)


@pytest.fixture(scope="module")
def drawn(patient: Anatomy) -> Case:
    return draw_case(patient, PANCREAS, planted=1, healthy=1)


def test_a_patient_is_drawn_once_and_comes_back_whole(folder: Path, patient: Anatomy) -> None:
    """The second time it is read: the same map, the same person."""
    pool = PatientPool(folder)
    before = pool.path(SEED).stat().st_mtime_ns
    again = pool.get(SEED)
    assert pool.path(SEED).stat().st_mtime_ns == before
    np.testing.assert_array_equal(again.labels, patient.labels)
    assert again.patient == patient.patient


def test_a_case_holds_planted_and_healthy_variants(drawn: Case) -> None:
    """A planted variant has a finding of the check, a healthy one none."""
    assert [variant.ill for variant in drawn.variants] == [True, False]
    for variant in drawn.variants:
        found = {lesion.check for lesion in variant.lesions if lesion.is_finding}
        assert found == ({"pancreas"} if variant.ill else set())


def test_a_case_is_cut_to_its_box(drawn: Case, patient: Anatomy) -> None:
    """The organ, its margin and a spare are there, and not much more."""
    low, high = organ_box(patient, ("pancreas",))
    np.testing.assert_array_equal(drawn.organ_mm, [low, high])
    reach = np.asarray(PANCREAS.margin_mm) + SPARE_MM
    end = drawn.origin_mm + (np.asarray(drawn.hu.shape) - 1) * drawn.spacing_mm
    assert (drawn.origin_mm <= low - reach).all()
    assert (drawn.origin_mm > low - reach - 2 * drawn.spacing_mm).all()
    assert (end >= high + reach).all()
    whole = paint_scene(patient)
    corner = whole.voxel(drawn.origin_mm)
    part = tuple(slice(a, a + n) for a, n in zip(corner, drawn.hu.shape))
    np.testing.assert_array_equal(drawn.hu, whole.hu[part])


def test_an_organ_out_of_view_has_no_box(patient: Anatomy) -> None:
    """Nothing is cut around what is not there."""
    empty = Anatomy(
        np.zeros_like(patient.labels), patient.affine, patient.spacing_mm, patient.patient, SEED
    )
    with pytest.raises(NoPlaceError, match="pancreas"):
        organ_box(empty, ("pancreas",))


def test_a_kept_case_is_the_one_drawn(tmp_path: Path) -> None:
    """HU to a sixteenth, lesions to half a float, all truth as it was."""
    case = ball_case()
    path = tmp_path / "1.npz"
    case.keep(path)
    again = Case.read(path)
    np.testing.assert_allclose(again.hu, case.hu, atol=HU_STEP / 2)
    np.testing.assert_array_equal(again.tissues, case.tissues)
    np.testing.assert_array_equal(again.organ_mm, case.organ_mm)
    assert (again.seed, again.size) == (case.seed, case.size)
    for ours, theirs in zip(again.variants, case.variants, strict=True):
        assert ours.ill == theirs.ill
        assert [x.truth() | {"course": None} for x in ours.lesions] == [
            x.truth() | {"course": None} for x in theirs.lesions
        ]
        np.testing.assert_array_equal(ours.lesions[0].mask, theirs.lesions[0].mask)
        np.testing.assert_array_equal(ours.lesions[0].delta_hu, theirs.lesions[0].delta_hu)


def test_an_interrupted_file_never_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails half-way leaves no file that a pool would read."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(OSError, match="full"):
        keep(tmp_path / "1.npz", {}, {})
    assert not (tmp_path / "1.npz").exists()


def test_plain_values_come_back_as_tuples(tmp_path: Path) -> None:
    """So that a patient read from a file equals the one that was drawn."""
    keep(tmp_path / "1.npz", {"a": np.ones(2)}, {"size": (1.0, [2.0]), "of": {"liver": (1, 2)}})
    arrays, plain = read(tmp_path / "1.npz")
    assert plain == {"size": (1.0, (2.0,)), "of": {"liver": (1, 2)}}
    assert arrays["a"].tolist() == [1, 1]


def test_trimming_keeps_what_a_lesion_adds() -> None:
    """Twice as wide voxels, the same sum of HU × volume in the same place."""
    lesion = ball()
    fine = type(lesion.grid)(lesion.grid.origin_mm, 0.5, lesion.grid.shape)
    lesion = type(lesion)(**{**vars(lesion), "grid": fine})
    coarse = trimmed(lesion)
    assert coarse.grid.spacing_mm == 1.0
    total = float(lesion.delta_hu.sum()) * 0.5**3
    assert float(coarse.delta_hu.sum()) == pytest.approx(total, rel=1e-5)

    def middle(x: object) -> list[float]:
        weight = x.delta_hu  # type: ignore[attr-defined]
        return [
            float((axis * weight.sum(axis=tuple(a for a in range(3) if a != n))).sum())
            / float(weight.sum())
            for n, axis in enumerate(x.grid.axes)  # type: ignore[attr-defined]
        ]

    assert middle(coarse) == pytest.approx(middle(lesion), abs=0.05)  # a tenth of a voxel
    assert trimmed(coarse) is coarse


def test_training_validation_and_test_share_no_patient() -> None:
    """The seeds of pools that train, judge and set thresholds do not meet, nor reach the test's."""
    assert FIRST_SEED + 100_000 < JUDGE_SEED < HEALTHY_SEED - 1000 < HEALTHY_SEED + 10_000 < 900_000


def test_a_pool_has_a_folder_for_each_version(tmp_path: Path) -> None:
    """Another check, or other variants, are kept apart."""
    pools = [
        ScenePool(tmp_path, PANCREAS),
        ScenePool(tmp_path, PANCREAS, planted=0, healthy=1),
        ScenePool(tmp_path, Box("stomach", ("stomach",), (9.0, 9.0, 9.0))),
        ScenePool(tmp_path, Box("pancreas", ("pancreas",), (9.0, 9.0, 9.0))),
    ]
    assert len({pool.folder for pool in pools}) == len(pools)


def test_a_version_follows_what_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Changing a module changes the digest of those that import it, and of no other."""
    (tmp_path / "drawn_first.py").write_text("from networks.drawn_second import x\n")
    (tmp_path / "drawn_second.py").write_text("import numpy\nx = 1\n")
    (tmp_path / "drawn_third.py").write_text("x = 3\n")
    monkeypatch.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
    names = ("networks.drawn_first", "networks.drawn_third")
    before = [digest(name) for name in names]
    assert list(sources(names[0])) == ["networks.drawn_first", "networks.drawn_second"]
    (tmp_path / "drawn_second.py").write_text("import numpy\nx = 2\n")
    assert [digest(name) == old for name, old in zip(names, before)] == [False, True]
