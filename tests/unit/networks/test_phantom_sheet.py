"""Contact sheets: what is planted can be seen where it is pointed at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.scene import Scene
from networks.phantoms.sheet import (
    BONE,
    HEART,
    LUNG,
    SOFT,
    TILE,
    gray,
    look_at,
    main,
    pictures,
    sheet,
)
from networks.phantoms.tissue import Tissue
from tests.planted import ball


def own(scene: Scene) -> Scene:
    """Return a scene that may be planted into."""
    return Scene(scene.anatomy, scene.table, scene.hu)


def deep_in(scene: Scene, tissue: Tissue) -> np.ndarray:
    depth = scene.depth_mm(tissue)
    return scene.origin_mm + np.array(np.unravel_index(depth.argmax(), depth.shape)) * 3.0


def test_gray_maps_a_window() -> None:
    """Its ends are black and white, and what lies beyond is cut."""
    hu = np.array([-200.0, -110, 40, 190, 900], np.float32)
    assert gray(hu, (-110.0, 190.0)).tolist() == [0, 0, 127, 255, 255]


def test_a_lesion_is_shown_as_it_would_be_read(abdomen: Scene) -> None:
    """By its check, or in a lung window where there was lung, however dense the lesion is."""
    scene = own(abdomen)
    solid = ball(deep_in(scene, Tissue.LUNG_RIGHT), 10, 900)
    scene.add([solid])
    assert look_at("nodule", scene, solid) is LUNG
    assert look_at("pancreas", scene, ball(deep_in(scene, Tissue.LIVER), 10, -20)) is SOFT
    assert look_at("bone", scene, solid) is BONE
    assert look_at("calcium", scene, solid) is HEART


def test_both_pictures_show_the_lesion(abdomen: Scene) -> None:
    """It is darker than the liver around it, and lies in the middle of the closer look."""
    scene = own(abdomen)
    place = deep_in(scene, Tissue.LIVER)
    lesion = replace(ball(place, 24, -90), check="liver", centre_mm=tuple(place))
    scene.add([lesion])
    whole, close = pictures(scene, [lesion], seed=1)
    assert whole.shape == close.shape == (TILE, TILE)
    middle = slice(TILE // 2 - 10, TILE // 2 + 10)
    ring = close[middle, TILE // 2 + 32 : TILE // 2 + 42]
    assert close[middle, middle].mean() < ring.mean() - 50
    assert whole.max() == 255  # the mark


def test_a_patient_without_a_place_is_left_black(
    abdomen: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sheet goes on, and says why."""

    class Full:
        KINDS = ("solid_nodule",)
        CONFOUNDERS = ()

        @staticmethod
        def plant(*args: object, **given: object) -> list[object]:
            raise NoPlaceError("there is no room")

    monkeypatch.setattr("networks.phantoms.sheet.PLANTERS", {"nodule": Full})
    picture, told = sheet("solid_nodule", [own(abdomen)])
    assert picture.shape == (TILE, 6 * TILE)
    assert not picture.any()
    assert [x["no_place"] for x in told] == ["there is no room"] * 3


def test_the_command_writes_a_picture_a_kind(
    abdomen: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row a patient, six pictures wide, and what they show as JSON."""
    monkeypatch.setattr("networks.phantoms.sheet.draw_patient", lambda *given: own(abdomen))
    assert main(["--out", str(tmp_path), "--kind", "calcified_nodule", "--seeds", "1"]) == 0
    png = imagecodecs.png_decode((tmp_path / "nodule_calcified_nodule.png").read_bytes())
    assert png.shape == (TILE, 6 * TILE)
    told = json.loads((tmp_path / "sheet.json").read_text())
    assert {x["asked"] for x in told["calcified_nodule"]} == {"easy", "medium", "hard"}
