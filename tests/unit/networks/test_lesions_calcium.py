"""Coronary arteries lie on the heart, their calcium has the score it states; mimics score zero."""

from __future__ import annotations

import numpy as np
import pytest

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesion import DIFFICULTIES, FineGrid, Lesion
from networks.phantoms.lesions import NoPlaceError, calcium
from networks.phantoms.lesions.calcium.gated import GatedScan
from networks.phantoms.lesions.calcium.tree import TERRITORIES, course_of
from networks.phantoms.lesions.heart import HEART, HeartFrame
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from tests.planted import from_delta
from tests.white_noise import judge

CASES = [("calcium_minimal", "easy"), ("calcium_mild", "medium"), ("calcium_moderate", "hard"),
         ("calcium_severe", "easy")]  # fmt: skip


@pytest.fixture(scope="module")
def bare() -> Scene:
    """Give a patient without coronary arteries."""
    return Scene.painted(sample_anatomy(2, spacing_mm=4.0), np.random.default_rng(2))


@pytest.fixture(scope="module")
def tree(bare: Scene) -> list[Lesion]:
    return calcium.coronaries(bare, np.random.default_rng(1))


@pytest.fixture(scope="module")
def scene(bare: Scene, tree: list[Lesion]) -> Scene:
    scene = Scene(bare.anatomy, bare.table, bare.hu)
    scene.add(tree)
    return scene


@pytest.fixture(scope="module")
def planted(scene: Scene) -> dict[str, list[Lesion]]:
    return {
        kind: calcium.plant(
            scene, np.random.default_rng(n), kind, difficulty=difficulty, judge=judge
        )
        for n, (kind, difficulty) in enumerate(CASES)
    }


def test_each_territory_has_an_artery_on_the_heart(bare: Scene, tree: list[Lesion]) -> None:
    """Four arteries, within 12 mm of the muscle, none in the lungs or the chambers' depth."""
    heart = HeartFrame(bare)
    assert tuple(artery.extra["territory"] for artery in tree) == TERRITORIES
    for artery in tree:
        away = heart.distance_mm(course_of(artery).points_mm)
        assert np.quantile(away, 0.05) > -6, artery.site
        assert np.quantile(away, 0.95) < 12, artery.site
        assert not artery.is_finding
        assert artery.kind == calcium.TREE


def test_arteries_are_blood_in_fat(scene: Scene, tree: list[Lesion]) -> None:
    """The lumen has the blood's HU, and within 4 mm around it at least a third is fat."""
    blood = float(scene.table.mean[Tissue.LEFT_HEART])
    for artery in tree[1:]:
        course = course_of(artery)
        hu = scene.hu_on(artery.grid)
        middle = course.points_mm[4 : len(course.points_mm) // 3]
        index = np.rint((middle - artery.grid.origin_mm) / artery.grid.spacing_mm).astype(int)
        assert float(np.median(hu[tuple(index.T)])) == pytest.approx(blood - 2, abs=8)
        around = np.zeros(artery.grid.shape, bool)
        for point in index:
            s, r, c = np.maximum(point - 5, 0)
            around[s : s + 11, r : r + 11, c : c + 11] = True
        assert (hu[around & ~artery.mask] < -20).mean() > 0.33, artery.site


def test_the_arteries_have_their_calibre_and_length(tree: list[Lesion]) -> None:
    """Lumens of 1 to 6 mm; the long ones run 60 mm at least, the left main 5 to 20."""
    for artery in tree:
        course = course_of(artery)
        assert 0.5 < course.radius_mm.min() <= course.radius_mm.max() < 3
        length = np.linalg.norm(np.diff(course.points_mm, axis=0), axis=1).sum()
        assert 5 < length < 20 if artery.site == "LM" else length > 60


@pytest.mark.parametrize("kind", calcium.KINDS)
def test_the_score_lies_in_its_category(planted: dict[str, list[Lesion]], kind: str) -> None:
    """What is planted has the burden that its kind says, and the vessels' scores add up."""
    low, high = calcium.SCORE[kind]
    truth = planted[kind][0].extra
    assert low <= truth["agatston"] < high
    assert sum(truth["agatston_by_vessel"].values()) == pytest.approx(truth["agatston"], abs=0.3)
    assert truth["plaques"] == len(planted[kind])
    assert all(lesion.extra["agatston"] == truth["agatston"] for lesion in planted[kind])


def test_the_score_is_that_of_the_scan(scene: Scene, planted: dict[str, list[Lesion]]) -> None:
    """A second gated scan of the scene with its plaques comes to the same figures."""
    lesions = planted["calcium_severe"]
    with_calcium = Scene(scene.anatomy, scene.table, scene.hu)
    with_calcium.add([*scene.lesions, *lesions])
    scores = GatedScan(with_calcium, scene.lesions, ()).scores()
    assert scores[0].agatston == pytest.approx(lesions[0].extra["agatston"], rel=0.01)
    assert GatedScan(scene, scene.lesions, ()).scores()[0].agatston == 0


def test_plaques_lie_at_an_artery(tree: list[Lesion], planted: dict[str, list[Lesion]]) -> None:
    """Each is within 5 mm of the lumen of the artery whose territory it names."""
    courses = {artery.site: course_of(artery) for artery in tree}
    for lesions in planted.values():
        for lesion in lesions:
            course = courses[lesion.extra["territory"]]
            gap = np.linalg.norm(course.points_mm - lesion.centre_mm, axis=1)
            assert (gap - course.radius_mm).min() < 5
            assert 130 < lesion.extra["plaque_hu"] <= 1200


def test_faint_calcium_is_harder(planted: dict[str, list[Lesion]]) -> None:
    """The difficulty follows the plaques' density; nothing below 300 HU is called easier."""
    for kind, wanted in CASES:
        density = planted[kind][0].extra["mean_plaque_hu"]
        at_least = "easy" if density >= 500 else "medium" if density >= 300 else "hard"
        for lesion in planted[kind]:
            assert lesion.difficulty in DIFFICULTIES[DIFFICULTIES.index(at_least) :]
            assert lesion.dprime == pytest.approx(judge(lesion.grid, lesion.delta_hu))
        assert planted[kind][0].difficulty == wanted


def test_a_patient_without_arteries_gets_them_with_the_calcium(bare: Scene) -> None:
    """The list begins with the tree, so that adding it to the scene makes it whole."""
    lesions = calcium.plant(bare, np.random.default_rng(5), "calcium_mild", judge=judge)
    assert [lesion.kind for lesion in lesions[:5]] == [*[calcium.TREE] * 4, "calcium_mild"]
    assert bare.lesions == []


def test_a_plain_cylinder_has_the_score_of_the_rule(scene: Scene) -> None:
    """A rod of 4 mm radius and 900 HU along z at an artery: its area at 130 HU, weight 4."""
    course = course_of(scene.lesions[3])
    centre = course.points_mm[len(course.points_mm) // 4]
    grid = FineGrid.around(centre, (8, 9, 9), 0.4)
    z, y, x = grid.offsets(centre)
    rod = (np.hypot(y, x) <= 4.0) & (np.abs(z) <= 6.0)
    delta = np.where(rod, 900 - scene.hu_on(grid), 0).astype(np.float32)
    score = GatedScan(scene, scene.lesions, [from_delta(grid, delta, rod)]).scores()[0]
    slices = score.volume_mm3 / score.agatston * 4  # mm per slice, of those that count in full
    assert slices == pytest.approx(3.0, rel=0.15)
    # 900 HU blurred by 1.1 mm crosses 130 HU about 0.5 mm outside its edge
    assert score.volume_mm3 == pytest.approx(np.pi * 4.5**2 * 13.5, rel=0.15)


@pytest.mark.parametrize("kind", calcium.CONFOUNDERS)
def test_mimics_are_dense_and_no_finding(scene: Scene, kind: str) -> None:
    """Something of at least 130 HU was added, near the heart or in the mediastinum."""
    for seed in range(2):
        lesions = calcium.confound(scene, np.random.default_rng([3, seed]), kind, judge=judge)
        for lesion in lesions:
            assert not lesion.is_finding
            assert lesion.difficulty is None
            hu = scene.hu_on(lesion.grid) + lesion.delta_hu
            assert hu[lesion.mask].max() > 130


def test_a_stent_needs_an_artery(bare: Scene, scene: Scene) -> None:
    """Without arteries there is no place; with them it lies around one."""
    rng = np.random.default_rng(0)
    with pytest.raises(NoPlaceError):
        calcium.confound(bare, rng, "stent")
    (mesh,) = calcium.confound(scene, rng, "stent")
    course = course_of(next(a for a in scene.lesions if a.site == mesh.site))
    assert np.linalg.norm(course.points_mm - mesh.centre_mm, axis=1).min() < 5


def test_the_seed_decides(bare: Scene, scene: Scene, tree: list[Lesion]) -> None:
    """Arteries and plaques of one seed are the same bytes; another seed differs."""
    again = calcium.coronaries(bare, np.random.default_rng(1))
    assert [a.delta_hu.tobytes() for a in again] == [a.delta_hu.tobytes() for a in tree]
    first, second, other = (
        calcium.plant(scene, np.random.default_rng(seed), "calcium_minimal", judge=judge)
        for seed in (8, 8, 9)
    )
    assert [p.delta_hu.tobytes() for p in first] == [p.delta_hu.tobytes() for p in second]
    assert first[0].centre_mm != other[0].centre_mm


def test_without_a_heart_there_is_no_place(bare: Scene) -> None:
    """A scan of the abdomen alone has no coronary arteries."""
    labels = np.where(np.isin(bare.anatomy.labels, HEART), Tissue.MUSCLE, bare.anatomy.labels)
    anatomy = type(bare.anatomy)(
        labels.astype(np.uint8), bare.anatomy.affine, 4.0, bare.anatomy.patient, 2
    )
    empty = Scene(anatomy, bare.table, bare.hu)
    with pytest.raises(NoPlaceError, match="heart"):
        calcium.coronaries(empty, np.random.default_rng(0))
    with pytest.raises(NoPlaceError, match="heart"):
        calcium.plant(empty, np.random.default_rng(0), "calcium_mild", judge=judge)


def test_unknown_kinds_are_refused(scene: Scene) -> None:
    """With the kinds that there are."""
    with pytest.raises(ValueError, match="calcium_mild"):
        calcium.plant(scene, np.random.default_rng(0), "chalk", judge=judge)
    with pytest.raises(ValueError, match="stent"):
        calcium.confound(scene, np.random.default_rng(0), "chalk")
