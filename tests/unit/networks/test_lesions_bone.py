"""Lesions of bone lie in bone, have the HU of their kind and the detectability they state."""

from __future__ import annotations

import numpy as np
import pytest

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.lesion import Lesion
from networks.phantoms.lesions import NoPlaceError, bone
from networks.phantoms.lesions.bone.sites import FLAT_BONE, LEVELS, VERTEBRA, in_bone, vertebrae
from networks.phantoms.lesions.brush import difficulty_of
from networks.phantoms.scene import Scene
from networks.phantoms.tissue import Tissue
from tests.white_noise import judge

DRAWINGS = 5
"""Lesions of each kind that are looked at."""


def _scene(seed: int) -> Scene:
    return Scene.painted(sample_anatomy(seed, spacing_mm=4.0), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return _scene(7)


@pytest.fixture(scope="module")
def planted(scene: Scene) -> dict[str, list[Lesion]]:
    return {
        kind: [
            lesion
            for seed in range(DRAWINGS)
            for lesion in bone.plant(
                scene, np.random.default_rng([seed, n]), kind, difficulty="easy", judge=judge
            )
        ]
        for n, kind in enumerate(bone.KINDS)
    }


def _hu(scene: Scene, lesion: Lesion) -> float:
    """Return the median: trabeculae that are left and the soft edge do not move it."""
    return float(np.median((scene.hu_on(lesion.grid) + lesion.delta_hu)[lesion.mask]))


@pytest.mark.parametrize("kind", bone.KINDS)
def test_every_kind_lies_in_bone(scene: Scene, planted: dict[str, list[Lesion]], kind: str) -> None:
    """Most of the mask is bone or disc; a lytic one may grow out of it by about as much again."""
    for lesion in planted[kind]:
        own = scene.share_on(lesion.grid, *VERTEBRA, *FLAT_BONE, Tissue.DISC) > 0.2
        assert lesion.mask.shape == lesion.delta_hu.shape == lesion.grid.shape
        assert np.isfinite(lesion.delta_hu).all()
        assert own[lesion.mask].mean() > 0.4, lesion.site


def test_only_metastases_are_malignant(planted: dict[str, list[Lesion]]) -> None:
    """All eight kinds are findings when asked for by name."""
    for kind, lesions in planted.items():
        assert all(lesion.is_finding for lesion in lesions)
        assert all(lesion.extra["malignant"] == (kind in bone.METASTASES) for lesion in lesions)


def test_hu_of_metastases_and_islands(scene: Scene, planted: dict[str, list[Lesion]]) -> None:
    """Blastic 220–800, lytic soft tissue, islands above the blastic (pipelines.md §6.3)."""
    for lesion in planted["blastic_metastasis"]:
        assert 180 <= _hu(scene, lesion) <= 800
    # a small one in thin bone takes up fat or lung at its edge; the middle one does not
    lytic = [_hu(scene, lesion) for lesion in planted["lytic_metastasis"]]
    assert 20 <= np.median(lytic) <= 80
    for lesion in planted["bone_island"]:
        assert _hu(scene, lesion) > 600


def test_stated_detectability_is_what_the_judge_says(planted: dict[str, list[Lesion]]) -> None:
    """The difficulty follows from it."""
    for lesion in (lesion for lesions in planted.values() for lesion in lesions):
        assert lesion.dprime == pytest.approx(judge(lesion.grid, lesion.delta_hu), rel=0.05)
        assert lesion.difficulty == difficulty_of(lesion.dprime)


@pytest.mark.parametrize("difficulty", ["medium", "hard"])
def test_harder_lesions_are_less_detectable(
    scene: Scene, planted: dict[str, list[Lesion]], difficulty: str
) -> None:
    """The median d′ of lytic metastases falls by half at least."""
    asked = [
        bone.plant(
            scene, np.random.default_rng([seed, 1]), "lytic_metastasis", difficulty=difficulty,
            judge=judge,
        )[0].dprime
        for seed in range(DRAWINGS)
    ]  # fmt: skip
    easy = [lesion.dprime for lesion in planted["lytic_metastasis"]]
    assert np.median(asked) < 0.5 * np.median(easy)


@pytest.mark.parametrize("kind", bone.CONFOUNDERS)
def test_confounders_are_no_findings(scene: Scene, kind: str) -> None:
    """They have no difficulty; d′ only with a judge."""
    (lesion,) = bone.confound(scene, np.random.default_rng(3), kind)
    assert not lesion.is_finding
    assert lesion.difficulty is None
    assert lesion.dprime is None
    assert lesion.mask.any()


def test_same_seed_gives_the_same_bytes(scene: Scene) -> None:
    """Everything is drawn from the generator."""
    first, second = (
        bone.plant(scene, np.random.default_rng(4), "mixed_metastasis", judge=judge)[0]
        for _ in range(2)
    )
    assert first.delta_hu.tobytes() == second.delta_hu.tobytes()
    assert first.truth() == second.truth()


def test_vertebrae_are_named_in_order(scene: Scene) -> None:
    """Bodies follow each other upwards without a gap, 13–46 mm apart."""
    bodies = vertebrae(scene)
    names = [body.level for body in bodies]
    start = LEVELS.index(names[0])
    assert len(bodies) >= 12
    assert names == list(LEVELS[start : start + len(names)])
    steps = np.diff([body.centre_mm[0] for body in bodies])
    assert ((steps > 9) & (steps < 46)).all()


def test_ribs_have_a_side_and_a_number(scene: Scene) -> None:
    """Lower ribs have higher numbers."""
    rng = np.random.default_rng(0)
    sites = [in_bone(scene, rng, "rib") for _ in range(40)]
    for site in sites:
        side, word, number = site.name.split("_")
        assert side == ("right" if site.point_mm[2] < 0 else "left")
        assert word == "rib"
        assert 1 <= int(number) <= 12
    # ribs fall forwards: only those of one angle can be compared
    lateral = [s for s in sites if abs(s.point_mm[1]) < 40]
    heights = [s.point_mm[0] for s in lateral]
    numbers = [int(s.name.split("_")[2]) for s in lateral]
    assert np.corrcoef(heights, numbers)[0, 1] < -0.9


def test_unknown_kind_and_missing_bone_are_refused(scene: Scene) -> None:
    """The message lists the kinds; a scene without bone has no place."""
    with pytest.raises(ValueError, match="blastic_metastasis, lytic_metastasis"):
        bone.plant(scene, np.random.default_rng(0), "osteoma", judge=judge)
    anatomy = scene.anatomy
    boneless = Scene(
        type(anatomy)(np.zeros_like(anatomy.labels), anatomy.affine, 4.0, anatomy.patient, 7),
        scene.table,
        scene.hu,
    )
    with pytest.raises(NoPlaceError):
        bone.plant(boneless, np.random.default_rng(0), "blastic_metastasis", judge=judge)
