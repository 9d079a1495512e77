"""What is asked for is planted into a study, the truth says so, and wrong names are refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from gateway.cli import main
from networks.phantoms.findings import FINDINGS, finding_names, kinds_of, plant
from networks.phantoms.lesions import CHECKS, PLANTERS, check_of
from networks.phantoms.study import make_study

SMALL: dict[str, Any] = {
    "seed": 12,
    "matrix": 64,
    "increment_mm": 20.0,
    "thickness_mm": 5.0,
    "anatomy_spacing_mm": 4.0,
}


def _digest(folder: Path) -> str:
    """Names and bytes of every file."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("planted")
    truth = make_study(out, **SMALL, findings=("pdac",), difficulty="easy", save_lesions=True)
    return out, truth


def test_every_kind_belongs_to_one_check() -> None:
    """No two checks call a finding by the same name, and no check is named like a kind."""
    kinds = [kind for planter in PLANTERS.values() for kind in planter.KINDS]
    assert len(set(kinds)) == len(kinds)
    assert not set(kinds) & {*CHECKS, *FINDINGS}
    assert all(check_of(kind) in CHECKS for kind in kinds)


def test_every_planter_has_confounders() -> None:
    """A negative of each check can hold something that looks like a finding."""
    assert all(planter.KINDS and planter.CONFOUNDERS for planter in PLANTERS.values())


def test_a_check_stands_for_its_kinds() -> None:
    """Over the seeds every kind comes up, and nothing else."""
    for check in (*PLANTERS, "liver"):
        found = set()
        for seed in range(400):
            drawn = plant([check], None, seed)
            found.add((*drawn.findings, *(want.kinds[0] for want in drawn.wanted))[0])
        assert found == set(kinds_of(check))


def test_the_name_bone_stands_for_metastases() -> None:
    """Benign kinds are findings only when asked for by name."""
    assert all(kind.endswith("metastasis") for kind in kinds_of("bone"))


def test_scout_thick_and_thin_series_come_with_a_finding(
    planted: tuple[Path, dict[str, Any]],
) -> None:
    """The thin series is what difficulty was judged on."""
    _, truth = planted
    assert [series["kind"] for series in truth["series"]] == ["scout", "thick", "thin"]


def test_the_truth_lists_every_lesion(planted: tuple[Path, dict[str, Any]]) -> None:
    """The finding with its difficulty, and confounders of other checks only."""
    _, truth = planted
    found = [lesion for lesion in truth["lesions"] if lesion["is_finding"]]
    rest = [lesion for lesion in truth["lesions"] if not lesion["is_finding"]]
    assert truth["findings"] == ["pdac"]
    assert {lesion["kind"] for lesion in found} == {"pdac"}
    assert found[0]["dprime"] > 3
    low, high = truth["range_mm"]
    assert low <= found[0]["centre_lps_mm"][2] <= high
    assert rest
    assert "pancreas" not in {lesion["check"] for lesion in rest}
    assert {lesion["difficulty"] for lesion in rest} == {None}
    assert [lesion["id"] for lesion in truth["lesions"]] == list(range(1, len(found + rest) + 1))


def test_masks_lie_where_the_truth_says(planted: tuple[Path, dict[str, Any]]) -> None:
    """Each mask has the volume of its lesion, around its centre."""
    out, truth = planted
    with np.load(out / "lesions.npz") as stored:
        for lesion in truth["lesions"]:
            mask, affine = (stored[f"{name}_{lesion['id']}"] for name in ("mask", "affine"))
            voxel = abs(np.linalg.det(affine[:3, :3]))
            assert mask.sum() * voxel == pytest.approx(lesion["volume_mm3"], rel=0.01, abs=0.1)
            places = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
            inside = [lesion["centre_lps_mm"] >= places.min(axis=0) - 1,
                      lesion["centre_lps_mm"] <= places.max(axis=0) + 1]  # fmt: skip
            assert np.all(inside)


def test_the_same_seed_writes_the_same_bytes(
    planted: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Every file, truth and masks included; another seed writes others."""
    again = SMALL | {"findings": ("pdac",), "difficulty": "easy", "save_lesions": True}
    make_study(tmp_path / "same", **again)
    assert _digest(tmp_path / "same") == _digest(planted[0])
    make_study(tmp_path / "other", **again | {"seed": 13})
    assert _digest(tmp_path / "other") != _digest(planted[0])


def test_a_lesion_is_in_the_scan(tmp_path: Path) -> None:
    """Two studies that differ by a finding alone differ around it."""
    given = SMALL | {"increment_mm": 5.0, "series": ("thin",), "confounders": False}
    truth = make_study(tmp_path / "ill", **given, findings=("solid_nodule",), difficulty="easy")
    make_study(tmp_path / "well", **given)
    ill, well = (
        np.stack([pydicom.dcmread(p).pixel_array for p in sorted((tmp_path / name).rglob("*.dcm"))])
        .astype(int)[::-1]
        for name in ("ill", "well")
    )  # fmt: skip
    place = np.unravel_index(np.abs(ill - well).argmax(), ill.shape)
    at = np.array(truth["affine"])[:3] @ [*place, 1.0]
    [lesion] = truth["lesions"]
    reach = 0.5 * lesion["diameter_mm"] + 8
    assert np.linalg.norm(at - lesion["centre_lps_mm"]) < reach
    assert np.abs(ill - well).max() > 100


def test_a_vendor_and_artefacts_can_be_asked_for(tmp_path: Path) -> None:
    """The model is one of the vendor's; rings change the pixels and nothing of the truth."""
    given = SMALL | {"series": ("thin",), "confounders": False, "vendor": "siemens"}
    plain = make_study(tmp_path / "plain", **given)
    ring = make_study(tmp_path / "ring", **given, artefacts=("ring", "truncation"))
    assert plain["profile"].startswith("siemens")
    assert ring["steatosis"] == plain["steatosis"]
    narrow, wide = (truth["series"][0]["pixel_mm"] for truth in (ring, plain))
    assert narrow < wide


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"findings": ("tumour",)}, "no finding 'tumour'; there are pancreas, .*pdac"),
        ({"findings": ("pdac",), "difficulty": "cruel"}, "easy, medium, hard"),
        ({"vendor": "acme"}, "GE, SIEMENS, PHILIPS, CANON, UIH"),
        ({"artefacts": ("ghost",)}, "ring, streak, metal, truncation"),
    ],
)
def test_wrong_names_are_refused_with_what_there_is(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    """The message lists what can be asked for, and nothing is written."""
    with pytest.raises(ValueError, match=message):
        make_study(tmp_path / "s", **SMALL | wrong)
    assert not (tmp_path / "s").exists()


def test_the_command_line_plants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--finding`, `--difficulty`, `--vendor` and `--masks` reach the study."""
    given = ["phantom", str(tmp_path / "s"), "--seed", "12", "--finding", "calcified_nodule",
             "--difficulty", "easy", "--vendor", "UIH", "--masks", "--matrix", "64",
             "--increment", "20", "--no-confounders"]  # fmt: skip
    assert main(given) == 0
    truth = json.loads(Path(json.loads(capsys.readouterr().out)["truth"]).read_text())
    assert truth["findings"] == ["calcified_nodule"]
    assert truth["profile"].startswith("uih")
    assert (tmp_path / "s" / "lesions.npz").exists()


def test_the_command_line_refuses_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2 and a sentence that names what exists."""
    given = ["phantom", str(tmp_path / "s"), "--seed", "1", "--finding", "tumour"]
    assert main(given) == 2
    said = capsys.readouterr().err.strip()
    assert "no finding 'tumour'; there are pancreas" in said
    assert len(said.splitlines()) == 1


def test_names_have_no_doubles() -> None:
    """Checks, the liver's fat and kinds, each once."""
    names = finding_names()
    assert len(set(names)) == len(names)
    assert {*FINDINGS, *PLANTERS} <= set(names)


def test_the_documentation_has_every_kind() -> None:
    """docs/phantoms.md has a row a check with all of its kinds."""
    text = (Path(__file__).resolve().parents[3] / "docs" / "phantoms.md").read_text("utf-8")
    for check in CHECKS:
        kinds = [*(FINDINGS if check == "liver" else ()),
                 *(PLANTERS[check].KINDS if check in PLANTERS else ())]  # fmt: skip
        assert f"| `{check}` | {', '.join(f'`{kind}`' for kind in kinds)} |" in text
