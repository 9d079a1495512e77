"""What is planted into the patients of the chest's network."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from networks import chest_scenes
from networks.chest_scenes import FINDINGS, Planting, natural_labels, plant, planted_labels, wanted
from networks.phantoms.chest_labels import CHEST_LABELS
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.chest.skeleton import LOW_MARROW_HU
from networks.phantoms.scene import Scene
from tests.ball_case import ball_case
from tests.chest_case import chest_ball


@pytest.fixture
def scene() -> Scene:
    """Return a scene of a few centimetres."""
    case = ball_case()
    return case.scene(case.variants[1])


def planters(asked: list[str], refused: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return planters that note what they are asked for and plant balls."""

    def planted(scene: Scene, rng: np.random.Generator, kind: str, **_: object) -> list[Any]:
        if kind in refused:
            raise NoPlaceError(kind)
        asked.append(kind)
        return [chest_ball(kind, (0.0, 0.0, 0.0))]

    one = SimpleNamespace(plant=planted, CONFOUNDERS=())
    return dict.fromkeys(chest_scenes.DRAWN_BY, one)


def test_every_label_with_a_phantom_is_planted() -> None:
    """All but the one of other checks, and fatty liver, which patients have or have not."""
    with_phantom = {label.name for label in CHEST_LABELS if label.has_phantom}
    assert {name for name, _ in wanted()} == with_phantom - {"pancreas_or_stomach", "steatosis"}
    assert len(wanted()) == 68


def test_labels_take_turns(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """In 17 plantings of 4 each of the 68 labels comes once, and in another order the next time."""
    asked: list[str] = []
    monkeypatch.setattr(chest_scenes, "PLANTERS", planters(asked))
    monkeypatch.setattr(chest_scenes, "draw_judge", lambda *_: None)
    for number in range(34):
        scene.lesions = []
        assert len(plant(scene, FINDINGS, turn=FINDINGS * number)) == FINDINGS
    label_of = {kind: name for name, pairs in wanted() for _, kind in pairs}
    label_of["mixed_metastasis"] = ""
    for half in (asked[:68], asked[68:]):
        counts = Counter(label_of[kind] for kind in half)
        assert max(n for name, n in counts.items() if name) <= 2
        assert len(counts) >= 66
    assert asked[:68] != asked[68:]


def test_what_has_no_place_is_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a finding has no place, another label is planted instead."""
    asked: list[str] = []
    chest = tuple(pairs[0][1] for _, pairs in wanted())[:20]
    monkeypatch.setattr(chest_scenes, "PLANTERS", planters(asked, refused=chest))
    monkeypatch.setattr(chest_scenes, "draw_judge", lambda *_: None)
    for number in range(17):
        scene.lesions = []
        plant(scene, FINDINGS, turn=FINDINGS * number)
    assert not set(asked) & set(chest)
    assert len(asked) > 55


def test_only_findings_have_labels() -> None:
    """A confounder gives no label; a finding of another check gives the chest's."""
    bone = chest_ball("mixed_metastasis", (0.0, 0.0, 0.0))
    lesions = [
        chest_ball("mass", (0.0, 0.0, 0.0)),
        SimpleNamespace(is_finding=False, check="chest", kind="bulla"),
        SimpleNamespace(is_finding=bone.is_finding, check="bone", kind="mixed_metastasis"),
    ]
    assert planted_labels(lesions) == {"mass", "blastic_lesion", "lytic_lesion"}  # type: ignore[arg-type]
    assert Planting(1, 0, ()).labels == ()


@pytest.mark.parametrize(
    ("fat", "marrow", "expected"),
    [(3, 200, (0, 0)), (7, LOW_MARROW_HU + 10, (-1, -1)), (20, LOW_MARROW_HU - 10, (1, 1))],
)
def test_what_lies_between_is_not_asked(
    fat: float, marrow: float, expected: tuple[int, int]
) -> None:
    """Fat and marrow far from their limits are labels, close to them they are not known."""
    told = natural_labels({"pdff_percent": fat, "marrow_hu": marrow})
    assert (told["steatosis"], told["low_bone_density"]) == expected
