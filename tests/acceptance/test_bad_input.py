"""Bad input, as a user meets it: one clear sentence and a stable code, and nothing left behind."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydicom import dcmread
from pydicom.uid import MRImageStorage

from gateway.runtime.home import home_digest
from networks.phantoms.study import make_study
from tests.served import Served, onescan

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.timeout(240)]


def small(folder: Path, **changes: Any) -> Path:
    """Write a small phantom study."""
    given = {"seed": 17, "matrix": 128, "increment_mm": 5.0, "series": ("thin",)} | changes
    make_study(folder, **given)
    return folder


def slices(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def edited(folder: Path, change: Callable[[Any], None], *, seed: int) -> Path:
    """Change every slice of a small study; the seed gives it UIDs of its own."""
    for path in slices(small(folder, seed=seed)):
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path)
    return folder


# --- what is no usable instance: exit 2, one line a file ---------------------------------


def not_dicom(folder: Path) -> None:
    (folder / "notes.dcm").write_text("not an image")


def truncated(folder: Path) -> None:
    small(folder / "s")
    data = slices(folder)[0].read_bytes()
    for path in slices(folder):
        path.unlink()
    (folder / "cut.dcm").write_bytes(data[: len(data) // 2])


def without_pixels(folder: Path) -> None:
    path = slices(small(folder / "s"))[0]
    dataset = dcmread(path)
    del dataset.PixelData
    for other in slices(folder):
        other.unlink()
    dataset.save_as(folder / "header.dcm")


def path_traversal(folder: Path) -> None:
    with zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        archive.writestr("../../outside.dcm", b"\0" * 200)


def zip_bomb(folder: Path) -> None:
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.dcm", b"\0" * 64_000_000)


UNREADABLE = {
    not_dicom: "instance.not_dicom",
    truncated: "instance.truncated",
    without_pixels: "instance.no_pixel_data",
    path_traversal: "archive.unsafe_path",
    zip_bomb: "archive.too_large",
}


@pytest.mark.parametrize(
    ("make", "code"), UNREADABLE.items(), ids=lambda v: getattr(v, "__name__", "")
)
def test_what_cannot_be_read_is_exit_2(
    tmp_path: Path, make: Callable[[Path], None], code: str
) -> None:
    """No server is started for it, and stderr has the code and no traceback."""
    folder = tmp_path / "in"
    folder.mkdir()
    make(folder)
    done = onescan("screen", str(folder), environ={"ONESCAN_HOME": str(tmp_path / "home")})
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"[{code}]" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outside.dcm").exists()
    assert not (tmp_path / "home").exists()


def test_empty_uids_are_exit_2(ct: Path, tmp_path: Path) -> None:
    """A real slice whose UIDs are empty."""
    done = onescan("screen", str(ct / "bad"), environ={"ONESCAN_HOME": str(tmp_path / "home")})
    assert (done.returncode, done.stdout) == (2, "")
    assert "[instance.missing_uid]" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["screen"], ["screen", "/no/such/path"], ["no-such-command"], ["phantom", "x"]]
)
def test_bad_usage_is_exit_2(arguments: list[str]) -> None:
    done = onescan(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "Traceback" not in done.stderr


# --- what is taken, and then refused for every check with a reason -----------------------


def wrong_modality(folder: Path) -> None:
    def change(dataset: Any) -> None:
        dataset.Modality = "MR"
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = MRImageStorage

    edited(folder, change, seed=18)


def lossy(folder: Path) -> None:
    def change(dataset: Any) -> None:
        dataset.LossyImageCompression = "01"

    edited(folder, change, seed=19)


def unsupported_transfer_syntax(folder: Path) -> None:
    def change(dataset: Any) -> None:
        dataset.compress(JPEG2000LOSSLESS, generate_instance_uid=False)
        dataset.file_meta.TransferSyntaxUID = JPEG_EXTENDED_PROGRESSIVE

    edited(folder, change, seed=20)


JPEG2000LOSSLESS = "1.2.840.10008.1.2.4.90"
JPEG_EXTENDED_PROGRESSIVE = "1.2.840.10008.1.2.4.55"

REFUSED: dict[Callable[[Path], Any], tuple[str, str]] = {
    wrong_modality: ("not_evaluated", "wrong_modality"),
    lambda f: small(f, series=("dose",)): ("not_evaluated", "secondary_capture"),
    lambda f: small(f, series=("scout",)): ("not_evaluated", "localizer"),
    lossy: ("not_evaluated", "lossy_compression"),
    unsupported_transfer_syntax: ("not_evaluated", "unsupported_transfer_syntax"),
    lambda f: small(f, drop_slices=(20,)): ("not_evaluated", "missing_slices"),
    lambda f: small(f, duplicate_slices=(20,)): ("not_evaluated", "duplicate_slices"),
    lambda f: small(f, mixed_orientation=True): ("not_evaluated", "mixed_orientation"),
    lambda f: small(f, rescale_slope=0.0): ("not_evaluated", "zero_rescale_slope"),
    lambda f: small(f, phase="venous", contrast_agent=""): ("not_evaluated", "contrast"),
    lambda f: small(f, patient_age="009Y"): ("not_evaluated", "age_under_18"),
}
NAMES = [
    "wrong modality", "secondary capture that says CT", "localizer only", "lossy",
    "unsupported transfer syntax", "missing slices", "duplicate slices", "mixed orientation",
    "zero rescale slope", "contrast that no header tells of", "child",
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), REFUSED.items(), ids=NAMES)
def test_a_study_that_cannot_be_measured_says_why(
    served: Served, tmp_path: Path, make: Callable[[Path], Any], expected: tuple[str, str]
) -> None:
    """The screening is done; the check names one reason out of the list and is not negative."""
    make(tmp_path / "s")
    result = served.screen(str(tmp_path / "s"), "--checks", "liver")
    assert result["state"] == "done"
    told = {c["check"]: (c["state"], c["reason"]) for c in result["checks"]}
    assert told.pop("liver") == expected
    other = ("not_evaluated", "no_check_installed")
    assert told == ({"magnetic_resonance": other} if make is wrong_modality else {})
    left = [p.name for p in Path("/dev/shm").glob(f"*{home_digest(served.home)}*vol*")]
    assert not left


# --- what HTTP refuses -------------------------------------------------------------------


async def test_a_wrong_content_type_is_415(served: Served) -> None:
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/zip"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{served.url}/dicomweb/studies", data=b"x", headers=headers) as response,
    ):
        assert response.status == 415
        assert (await response.json())["code"] == "request.unsupported_media_type"


async def test_a_mixed_upload_keeps_the_good_and_tells_of_the_bad(
    served: Served, tmp_path: Path
) -> None:
    """202, one failed item; a screening of what was kept runs."""
    paths = slices(small(tmp_path / "s", seed=71))
    parts = [path.read_bytes() for path in paths]
    parts[3] = parts[3][:5000]
    body = b"".join(
        b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts
    )
    headers = {
        "Authorization": f"Bearer {served.key}",
        "Content-Type": 'multipart/related; type="application/dicom"; boundary=b',
        "Accept": "application/dicom+json",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{served.url}/dicomweb/studies", data=io.BytesIO(body + b"--b--\r\n"), headers=headers
        ) as response,
    ):
        assert response.status == 202
        answer = json.loads(await response.text())
    assert len(answer["00081199"]["Value"]) == len(parts) - 1
    failed = [
        *answer.get("00081198", {}).get("Value", []),
        *answer.get("0008119A", {}).get("Value", []),
    ]
    assert [item["00991001"]["Value"] for item in failed] == [["instance.truncated"]]
