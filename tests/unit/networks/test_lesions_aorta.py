"""The aorta's course is found; acute findings lie in it with their HU, and so do their mimics."""

from __future__ import annotations

import numpy as np
import pytest

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError, aorta
from networks.phantoms.lesions.aorta.course import AortaCourse
from networks.phantoms.lesions.brush import Patch, difficulty_of
from networks.phantoms.lesions.nested import nested_around
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from tests.white_noise import judge

NOISY = 3.0
"""The tests' judge has a third of this scanner's noise in the aorta; so it is held down."""

ASKED = {
    "dissection": ("easy", "medium", "hard"),
    "intramural_haematoma": ("easy", "medium"),
    "ruptured_aorta": ("easy",),
}


def dim(grid: object, delta_hu: object) -> float:
    """Judge as the white-noise judge, on a noisier scan."""
    return judge(grid, delta_hu) / NOISY  # type: ignore[arg-type]


def _scene(seed: int) -> Scene:
    return Scene.painted(sample_anatomy(seed, spacing_mm=4.0), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return _scene(3)


@pytest.fixture(scope="module")
def course(scene: Scene) -> AortaCourse:
    return AortaCourse(scene)


@pytest.fixture(scope="module")
def planted(scene: Scene) -> dict[tuple[str, str], list[Lesion]]:
    return {
        (kind, difficulty): aorta.plant(
            scene, np.random.default_rng([n, m]), kind, difficulty=difficulty, judge=dim
        )
        for n, (kind, wanted) in enumerate(ASKED.items())
        for m, difficulty in enumerate(wanted)
    }


def part(lesions: list[Lesion], name: str) -> list[Lesion]:
    """Return the pieces of one part of a finding."""
    return [lesion for lesion in lesions if lesion.extra["part"] == name]


def test_the_axis_runs_inside_from_the_root_over_the_arch(course: AortaCourse) -> None:
    """It begins in front at the heart, is highest at the arch and ends on the lumbar spine."""
    assert course.wall_mm(course.points_mm[4:-4]).max() < -1
    root, top, end = course.points_mm[0], course.points_mm[course.top], course.points_mm[-1]
    assert end[0] < root[0] < top[0] - 40
    assert root[1] < end[1]
    assert 380 < course.length_mm < 620
    assert 60 < course.subclavian_mm < 230


def test_the_calibre_is_that_of_the_mask(scene: Scene, course: AortaCourse) -> None:
    """Cross-sections times length give the aorta's volume; it narrows from the root down."""
    volume = scene.tissue(Tissue.AORTA).sum() * scene.spacing_mm**3
    assert np.pi * (course.radius_mm**2).sum() * 2.0 == pytest.approx(volume, rel=0.15)
    assert course.radius_mm[12] > 1.2 * course.radius_mm[-12]


def test_coordinates_turn_with_the_axis(course: AortaCourse) -> None:
    """A point 5 mm along the first normal has these coordinates, wherever it is."""
    for index in (30, 80, 150, 200):
        place = course.points_mm[index] + 5 * course.first_normal[index]
        grid = nested_around(course.scene, place, 2, 0.8)
        arc, u, v = course.coordinates_on(grid)
        nearest = tuple(np.rint((place - grid.origin_mm) / grid.spacing_mm).astype(int))
        assert float(arc[nearest]) == pytest.approx(2 * index, abs=4)
        assert float(u[nearest]) == pytest.approx(5, abs=1.5)
        assert float(v[nearest]) == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize(("kind", "asked"), [(k, d) for k in ASKED for d in ASKED[k]])
def test_findings_lie_in_or_at_the_aorta(
    course: AortaCourse, planted: dict[tuple[str, str], list[Lesion]], kind: str, asked: str
) -> None:
    """Every flap and haematoma lies in the aorta, or where it widened by up to 8 mm."""
    for lesion in planted[kind, asked]:
        if lesion.extra["part"] in ("flap", "haematoma", "displaced_calcium"):
            wall = course.wall_on(lesion.grid)[lesion.mask]
            assert np.quantile(wall, 0.95) < 8, lesion.truth()
            assert wall.mean() < 2.5
        assert lesion.is_finding
        assert lesion.kind == kind


def test_the_difficulty_is_that_of_the_soft_parts(
    planted: dict[tuple[str, str], list[Lesion]],
) -> None:
    """A flap or a haematoma has the difficulty it was asked for; d′ of its pieces says so."""
    for (kind, asked), lesions in planted.items():
        soft = lesions[0].extra["finding_dprime"]
        assert {lesion.difficulty for lesion in lesions} == {difficulty_of(soft)}
        if kind == "dissection" or asked == "easy":
            assert lesions[0].difficulty == asked
        if kind == "dissection" and asked != "easy":  # nothing was widened: the flap is all
            pieces = [dim(p.grid, p.delta_hu) for p in part(lesions, "flap")]
            assert float(np.sqrt(np.sum(np.square(pieces)))) == pytest.approx(soft, rel=0.1)


def test_a_flap_adds_three_to_twenty_hu(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """Less where it fills a part of a voxel only, and where calcium or widening is not meant."""
    for asked in ("medium", "hard"):
        for piece in part(planted["dissection", asked], "flap"):
            assert 3 <= piece.extra["flap_hu"] <= 20
            assert 0.5 < piece.contrast_hu < 20
            assert piece.delta_hu.max() <= piece.extra["flap_hu"] + 8


def test_a_flap_parts_two_lumens(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """Both lumens are there, and the flap is 1 to 2 mm thick."""
    for asked in ASKED["dissection"]:
        truth = planted["dissection", asked][0].extra
        assert min(truth["true_lumen_mm3"], truth["false_lumen_mm3"]) > 200
        assert 1 <= truth["flap_mm"] <= 2
        assert truth["extent_mm"] > 20


def test_displaced_calcium_lies_two_to_eight_mm_inside(scene: Scene, course: AortaCourse) -> None:
    """By the wall after widening; the fleck is dense, and of four dissections one has some."""
    found = []
    for seed in range(4):
        lesions = aorta.plant(
            scene, np.random.default_rng([7, seed]), "dissection", difficulty="medium", judge=dim
        )
        flecks = part(lesions, "displaced_calcium")
        assert lesions[0].extra["calcium_displaced"] == bool(flecks)
        found += flecks
    assert found
    for fleck in found:
        assert 2 <= fleck.extra["inside_wall_mm"] <= 8
        assert fleck.contrast_hu > 100
        assert float(course.wall_mm(np.array([fleck.centre_mm]))[0]) < 6


def test_a_haematoma_has_50_to_75_hu(
    scene: Scene, course: AortaCourse, planted: dict[tuple[str, str], list[Lesion]]
) -> None:
    """Fresh blood, denser than that in the lumen; at the wall the anatomy's voxels blur it."""
    for asked in ASKED["intramural_haematoma"]:
        for piece in part(planted["intramural_haematoma", asked], "haematoma"):
            deep = piece.mask & (course.wall_on(piece.grid) < -3.5)
            hu = (scene.hu_on(piece.grid) + piece.delta_hu)[deep]
            assert 48 <= piece.extra["haematoma_hu"] <= 76
            assert float(np.median(hu)) == pytest.approx(piece.extra["haematoma_hu"], abs=5)


def test_types_follow_the_ascending_aorta(scene: Scene, course: AortaCourse) -> None:
    """Type A begins before the left subclavian artery, type B behind it; both occur."""
    types = set()
    for seed in range(5):
        truth = aorta.plant(
            scene, np.random.default_rng([5, seed]), "dissection", difficulty="hard", judge=dim
        )[0].extra
        before = truth["first_arc_mm"] < course.subclavian_mm
        assert truth["stanford_type"] == ("A" if before else "B")
        types.add(truth["stanford_type"])
    assert types == {"A", "B"}


def test_a_rupture_widens_the_aorta_and_leaks(planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """An aneurysm of at least 30 mm, and blood in the fat beside it."""
    lesions = planted["ruptured_aorta", "easy"]
    assert part(lesions, "aneurysm")
    (leak,) = part(lesions, "leak")
    assert leak.contrast_hu > 60
    assert lesions[0].extra["max_diameter_mm"] > 25


def test_a_widened_aorta_is_filled_with_blood(scene: Scene, course: AortaCourse) -> None:
    """Where fat or lung was, the median is the blood's HU within 12."""
    (first, *_) = aorta.confound(scene, np.random.default_rng(2), "ectasia")
    hu = scene.hu_on(first.grid) + first.delta_hu
    wall = course.wall_on(first.grid)
    filled = first.mask & (wall < 1.0)
    assert filled.sum() > 50
    blood = float(scene.table.mean[Tissue.AORTA])
    assert abs(float(np.median(hu[filled])) - blood) < 12


@pytest.mark.parametrize("kind", aorta.CONFOUNDERS)
def test_mimics_are_no_findings(scene: Scene, course: AortaCourse, kind: str) -> None:
    """Each adds something at the aorta and has no difficulty."""
    for seed in range(2):
        lesions = aorta.confound(scene, np.random.default_rng([1, seed]), kind, judge=dim)
        for lesion in lesions:
            assert (lesion.kind, lesion.is_finding, lesion.difficulty) == (kind, False, None)
            assert np.abs(lesion.delta_hu).max() > 2
            assert np.abs(course.wall_on(lesion.grid)[lesion.mask]).min() < 3


def test_mural_calcium_lies_at_the_wall(scene: Scene, course: AortaCourse) -> None:
    """Not inside it, unlike that on a flap: within 2.5 mm of the surface."""
    plaques = aorta.confound(scene, np.random.default_rng(4), "mural_calcified_plaque")
    depth = [float(-course.wall_on(p.grid)[p.mask].mean()) for p in plaques]
    assert -1.5 < min(depth) <= max(depth) < 2.5


def test_the_seed_decides(scene: Scene, planted: dict[tuple[str, str], list[Lesion]]) -> None:
    """The same generator gives the same bytes."""
    again = aorta.plant(
        scene, np.random.default_rng([0, 2]), "dissection", difficulty="hard", judge=dim
    )
    first = planted["dissection", "hard"]
    assert [a.delta_hu.tobytes() for a in again] == [a.delta_hu.tobytes() for a in first]


def test_without_an_aorta_there_is_no_place(scene: Scene) -> None:
    """A scan beside the aorta refuses every kind."""
    labels = np.where(scene.anatomy.labels == Tissue.AORTA, Tissue.MUSCLE, scene.anatomy.labels)
    anatomy = type(scene.anatomy)(
        labels.astype(np.uint8), scene.anatomy.affine, 4.0, scene.anatomy.patient, 3
    )
    empty = Scene(anatomy, scene.table, scene.hu)
    for kind in aorta.KINDS:
        with pytest.raises(NoPlaceError, match="aorta"):
            aorta.plant(empty, np.random.default_rng(0), kind, judge=dim)
    for kind in aorta.CONFOUNDERS:
        with pytest.raises(NoPlaceError, match="aorta"):
            aorta.confound(empty, np.random.default_rng(0), kind)


def test_a_nested_grid_keeps_the_anatomys_values(scene: Scene) -> None:
    """Every voxel of the anatomy within it is one of its own, with the same HU."""
    grid = nested_around(scene, (60.3, -20.2, 11.7), (13, 9, 17), 0.75)
    patch = Patch(scene, grid)
    step = round(scene.spacing_mm / grid.spacing_mm)
    assert step * grid.spacing_mm == pytest.approx(scene.spacing_mm)
    first = np.rint((np.asarray(grid.origin_mm) - scene.origin_mm) / grid.spacing_mm).astype(int)
    offset = -first % step
    own = patch.base[offset[0] :: step, offset[1] :: step, offset[2] :: step]
    s, r, c = (first + offset) // step
    low = scene.hu[s : s + own.shape[0], r : r + own.shape[1], c : c + own.shape[2]]
    assert np.abs(own - low).max() < 0.5


def test_unknown_kinds_are_refused(scene: Scene) -> None:
    """With the kinds that there are."""
    with pytest.raises(ValueError, match="dissection"):
        aorta.plant(scene, np.random.default_rng(0), "tear", judge=dim)
    with pytest.raises(ValueError, match="streak"):
        aorta.confound(scene, np.random.default_rng(0), "tear")
