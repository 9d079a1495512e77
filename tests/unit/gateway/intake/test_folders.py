"""Folders, files and zips of a command line become instances, or are refused."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.exceptions import (
    ArchiveTooLargeError,
    EncryptedArchiveError,
    InvalidArchiveError,
    NoInputError,
    OneScanError,
    UnsafeArchiveError,
)
from gateway.intake.folders import collect
from gateway.settings import IntakeSettings
from tests.ct_files import ct_dataset, part10, slices

SETTINGS = IntakeSettings()


@pytest.fixture
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where zips are unpacked to during the test."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def write_series(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index, ds in enumerate(slices(count)):
        (folder / f"{index}.dcm").write_bytes(part10(ds))


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_folders_are_walked_and_what_is_no_dicom_is_named(tmp_path: Path) -> None:
    """Files at every depth are found; a text file is refused by its name."""
    write_series(tmp_path / "a" / "b")
    (tmp_path / "notes.txt").write_text("hello")
    with collect([tmp_path], settings=SETTINGS) as found:
        assert [i.attributes["InstanceNumber"] for i in found.instances] == [1, 2, 3]
        [(name, error)] = found.refused
        assert (Path(name).name, error.code) == ("notes.txt", "instance.not_dicom")


def test_pixels_are_read_through_the_collection(tmp_path: Path) -> None:
    """The reader has the interface of the object store."""
    write_series(tmp_path, 1)
    with collect([tmp_path / "0.dcm"], settings=SETTINGS) as found:
        [frame] = found.instances[0].frames
        stored = found.objects.read(frame.object_key, frame.pixel_offset, frame.pixel_length)
        assert stored == ct_dataset().PixelData


def test_the_same_instance_twice_counts_once(tmp_path: Path) -> None:
    """A copy is passed over; other pixels under the same UID are refused by name."""
    write_series(tmp_path)
    (tmp_path / "copy.dcm").write_bytes((tmp_path / "0.dcm").read_bytes())
    other = ct_dataset()
    other.PixelData = bytes(len(other.PixelData))
    (tmp_path / "other.dcm").write_bytes(part10(other))
    with collect([tmp_path], settings=SETTINGS) as found:
        assert len(found.instances) == 3
        [(name, error)] = found.refused
        assert (Path(name).name, error.code) == ("other.dcm", "instance.different_pixels")


def test_a_media_directory_is_passed_over(shared_data: Path) -> None:
    """The DIRFILEs of a real study are neither instances nor errors."""
    with collect([shared_data / "ct" / "head-phantom-study"], settings=SETTINGS) as found:
        assert len(found.instances) == 35
        assert not found.refused


def test_a_zip_is_read_and_removed(tmp_path: Path, unpacked: Path) -> None:
    """Its members are instances while the collection is open, and gone afterwards."""
    members = {f"study/{i}": part10(ds) for i, ds in enumerate(slices(3))}
    archive = zipped(tmp_path / "a.zip", members | {"readme.txt": b"hello"})
    with collect([archive], settings=SETTINGS) as found:
        assert len(found.instances) == 3
        assert [name for name, _ in found.refused] == ["a.zip:readme.txt"]
        assert list(unpacked.iterdir())
    assert not list(unpacked.iterdir())


def with_link(path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return path


def encrypted(path: Path) -> Path:
    zipped(path, {"a": b"x" * 50})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path


def damaged(path: Path) -> Path:
    zipped(path, {"a": bytes(range(256)) * 20})
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(data)
    return path


HOSTILE: dict[str, tuple[Callable[[Path], Path], type[OneScanError]]] = {
    "traversal": (lambda p: zipped(p, {"../../evil.dcm": b"x"}), UnsafeArchiveError),
    "backslashes": (lambda p: zipped(p, {"..\\evil.dcm": b"x"}), UnsafeArchiveError),
    "absolute": (lambda p: zipped(p, {"/etc/evil": b"x"}), UnsafeArchiveError),
    "drive": (lambda p: zipped(p, {"C:/evil": b"x"}), UnsafeArchiveError),
    "link": (with_link, UnsafeArchiveError),
    "bomb": (lambda p: zipped(p, {"zeros": bytes(50_000_000)}), ArchiveTooLargeError),
    "encrypted": (encrypted, EncryptedArchiveError),
    "damaged": (damaged, InvalidArchiveError),
    "cut": (lambda p: cut(zipped(p, {"a": bytes(9999)})), InvalidArchiveError),
}


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_leave_nothing(
    kind: str, tmp_path: Path, unpacked: Path
) -> None:
    """Each has its own error, and nothing is written outside or left inside."""
    make, error = HOSTILE[kind]
    archive = make(tmp_path / "a.zip")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(error):
        collect([archive], settings=SETTINGS)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "settings",
    [IntakeSettings(max_archive_members=2), IntakeSettings(max_archive_bytes=3000)],
    ids=["members", "bytes"],
)
def test_limits_hold_over_the_whole_archive(
    settings: IntakeSettings, tmp_path: Path, unpacked: Path
) -> None:
    """Many small members are as much a bomb as one large one."""
    archive = zipped(tmp_path / "a.zip", {str(i): bytes(range(256)) * 8 for i in range(3)})
    with pytest.raises(ArchiveTooLargeError):
        collect([archive], settings=settings)
    assert not list(unpacked.iterdir())


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match="nowhere"):
        collect([tmp_path / "nowhere"], settings=SETTINGS)
