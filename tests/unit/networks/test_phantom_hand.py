"""Phantom hands mature as they say, and are valid radiographs."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from networks.phantoms.hand import CARPALS, draw_hand
from networks.phantoms.hand_growth import CENTRES, MONTHS, SEXES, draw_child
from networks.phantoms.hand_shapes import Lump, Tube
from networks.phantoms.hand_study import make_hand_study
from networks.phantoms.hand_xray import attenuation, frame_hand

AGES = (12.0, 30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 216.0)


def child(months: float, sex: str = "M", seed: int = 3) -> Any:
    return draw_child(seed, sex=sex, bone_age_months=months, deviation_sds=0.0)


def read(folder: Path) -> pydicom.Dataset:
    return pydicom.dcmread(folder / "hand/0001.dcm")


@pytest.mark.parametrize("sex", SEXES)
def test_bones_appear_and_fuse_with_age(sex: str) -> None:
    """No centre goes back; at the end those of the fingers are one with their shafts."""
    stages = [
        {name: child(months, sex).stage(name) for name in CENTRES} for months in AGES
    ]  # fmt: skip
    for younger, older in pairwise(stages):
        assert all(younger[name].size <= older[name].size for name in CENTRES)
        assert all(younger[name].fusion <= older[name].fusion for name in CENTRES)
    there = [sum(stage.size > 0 for stage in each.values()) for each in stages]
    assert there[0] < 10
    assert there[-1] == len(CENTRES)
    assert all(stages[-1][f"distal_{n}"].fusion == 1 for n in range(1, 6))


def test_girls_are_ahead_of_boys() -> None:
    """At the same months every centre of a girl is as far or farther."""
    for months in AGES:
        girl, boy = child(months, "F"), child(months, "M")
        boy = replace(boy, shifts=girl.shifts)
        for name in CENTRES:
            assert girl.stage(name).size >= boy.stage(name).size
            assert girl.stage(name).fusion >= boy.stage(name).fusion


def test_a_hand_has_the_bones_of_its_age() -> None:
    """Two carpal bones at one year, eight at fourteen; fewer pieces again once they fuse."""

    def carpals(months: float) -> int:
        hand = draw_hand(child(months, "F"))
        return sum(
            isinstance(b, Lump) and 0 < b.centre[1] < 33 * hand.child.size
            and abs(b.centre[0]) < 24 * hand.child.size for b in hand.bones
        )  # fmt: skip

    assert carpals(13) == 2
    assert carpals(170) >= len(CARPALS)
    pieces = [len(draw_hand(child(months, "F")).bones) for months in (20, 120, 216)]
    assert pieces[0] < pieces[1] > pieces[2]


def test_the_population_is_not_one_child() -> None:
    """Both sexes, all ages, hands of one age of different sizes, ages apart from bone ages."""
    drawn = [draw_child(seed) for seed in range(200)]
    months = [one.bone_age_months for one in drawn]
    assert {one.sex for one in drawn} == set(SEXES)
    assert min(months) < 30
    assert max(months) > 200
    assert all(MONTHS[0] <= value <= MONTHS[1] for value in months)
    sizes = [draw_child(seed, sex="M", bone_age_months=100.0).size for seed in range(60)]
    assert 0.02 < np.std(sizes) / np.mean(sizes) < 0.08
    apart = [abs(one.bone_age_months - one.age_months) for one in drawn]
    assert np.mean(apart) > 3


def test_a_bone_attenuates_more_than_flesh_and_flesh_more_than_air() -> None:
    """Along the middle of a shaft, beside it, and beyond the hand."""
    hand = draw_hand(child(150))
    view = frame_hand(hand, 0.5, np.random.default_rng(0))
    through = attenuation(hand, view, np.random.default_rng(0))
    longest = max((b for b in hand.bones if isinstance(b, Tube)), key=lambda b: b.length)
    way = np.array([np.sin(longest.angle), np.cos(longest.angle)])
    middle = np.asarray(longest.start) + way * 20
    beside = middle + np.array([way[1], -way[0]]) * (longest.half_widths[0] * 0.9)
    rows, columns = view.pixels(np.array([middle, beside]))
    bone = through[int(rows[0]), int(columns[0])]
    assert bone > 0.6
    assert through[0, 0] < 1e-3
    assert np.quantile(through, 0.999) < 4.0


def test_a_right_hand_is_the_mirror_image() -> None:
    """From the back, fingers up, a left thumb is to the right; nothing else changes."""
    hand = draw_hand(child(120))
    seen = {}
    for mirrored in (False, True):
        rng = np.random.default_rng(5)
        view = replace(
            frame_hand(hand, 0.5, rng, mirrored=mirrored), shape=(500, 500), origin=(200.0, 125.0)
        )
        thumb, wrist = (view.pixels(np.array([p]))[1][0] for p in (hand.tips[0], (0.0, 0.0)))
        seen[mirrored] = attenuation(hand, view, np.random.default_rng(0))
        assert (thumb < wrist) == mirrored
    apart = np.abs(seen[True] - seen[False][:, ::-1])
    assert np.median(apart[seen[True] > 0.1]) < 0.02
    assert np.abs(seen[True] - seen[False]).mean() > 5 * apart.mean()


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dicom3tools is not installed")
@pytest.mark.parametrize(
    ("modality", "sop_class_uid"),
    [("DX", DigitalXRayImageStorageForPresentation), ("CR", ComputedRadiographyImageStorage)],
)
def test_a_study_is_valid_dicom(tmp_path: Path, modality: str, sop_class_uid: str) -> None:
    """By dciodvfy; both photometric interpretations."""
    for number, monochrome1 in enumerate((False, True)):
        folder = tmp_path / str(number)
        make_hand_study(
            folder, seed=2, modality=modality, bone_age_months=60.0, monochrome1=monochrome1
        )
        assert read(folder).SOPClassUID == sop_class_uid
        checked = subprocess.run(
            ["dciodvfy", folder / "hand/0001.dcm"], capture_output=True, text=True, check=False
        )
        assert "Error" not in checked.stderr


def test_monochrome1_is_the_same_image_turned_over(tmp_path: Path) -> None:
    """The smallest stored value is white; the header says which it is."""
    for name, monochrome1 in (("1", True), ("2", False)):
        make_hand_study(
            tmp_path / name, seed=5, modality="CR", bone_age_months=40.0, bits=10,
            monochrome1=monochrome1,
        )  # fmt: skip
    one, two = read(tmp_path / "1"), read(tmp_path / "2")
    assert one.PhotometricInterpretation == "MONOCHROME1"
    assert one.BitsStored == two.BitsStored == 10
    np.testing.assert_array_equal(1023 - one.pixel_array, two.pixel_array)


def test_the_same_seed_gives_the_same_study(tmp_path: Path) -> None:
    """Byte for byte; the truth says what was drawn."""
    truths = [
        make_hand_study(tmp_path / name, seed=8, sex="F", bone_age_months=33.0) for name in "ab"
    ]
    first, second = ((tmp_path / name / "hand/0001.dcm").read_bytes() for name in "ab")
    assert first == second
    assert truths[0] == json.loads((tmp_path / "a/truth.json").read_text())
    assert (truths[0]["sex"], truths[0]["bone_age_months"]) == ("F", 33.0)
    assert truths[0]["notice"] == "synthetic phantom, not a patient"
    other = make_hand_study(tmp_path / "c", seed=8, sex="F", bone_age_months=33.0, bits=14)
    assert other["study_instance_uid"] != truths[0]["study_instance_uid"]


@pytest.mark.parametrize(
    "wrong", [{"modality": "MG"}, {"sex": "X"}, {"bone_age_months": 6.0}, {"bone_age_months": 240}]
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """In one sentence."""
    with pytest.raises(ValueError, match=r"must"):
        make_hand_study(tmp_path, seed=1, **wrong)
