"""C-STORE and C-ECHO, by dcmtk's own senders and by pynetdicom."""

from __future__ import annotations

import asyncio
import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE

from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.objects import FolderObjects
from loadtests.dimse_sender import Sender, data_sets
from tests.ct_files import CT_IMAGE, ct_dataset, part10
from tests.databases import fresh_database
from tests.dimse_server import Listener, listening

pytestmark = pytest.mark.postgres

DIFFERENT, MISMATCH = 0x0111, 0xA900


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """One database for the module."""
    with fresh_database(postgres_url) as made:
        yield made


@pytest.fixture(scope="module")
def listener(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """One listener for the module."""
    with listening(url, tmp_path_factory.mktemp("dimse")) as made:
        yield made


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a tool of dcmtk."""
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=60, check=False
    )


def stored(url: str, study: str, tenant: str = "default") -> dict[str, tuple[str, str]]:
    """Give transfer syntax and object of the instances of a study by their UIDs."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT sop_instance_uid, transfer_syntax_uid, object_key FROM instances"
            " WHERE tenant = %s AND study_instance_uid = %s",
            (tenant, study),
        ).fetchall()
    return {uid: (syntax, key) for uid, syntax, key in rows}


def send(listener: Listener, *datasets: Dataset, calling: str = "PYNETDICOM") -> list[Dataset]:
    """Send by pynetdicom; gives the responses."""
    ae = AE(ae_title=calling)
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        ae.add_requested_context(CT_IMAGE, syntax)
    association = ae.associate("127.0.0.1", listener.port)
    assert association.is_established
    answers = [association.send_c_store(item) for item in datasets]
    association.release()
    return answers


def test_echo(listener: Listener, need_tool: Callable[[str], str]) -> None:
    """Dcmtk's echo is answered."""
    done = run(need_tool("echoscu"), "-v", "127.0.0.1", listener.port)
    assert done.returncode == 0, done.stderr
    assert "Received Echo Response (Success)" in done.stderr


def test_a_folder_by_storescu_is_indexed_and_its_bytes_are_what_was_sent(
    listener: Listener, url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """`+sd` sends a folder on one association; it shares one segment, and is Part 10 as written."""
    sent = {}
    for index in range(6):
        ds = ct_dataset(index, seed=100, size=64)
        (tmp_path / f"{index}.dcm").write_bytes(part10(ds))
        sent[str(ds.SOPInstanceUID)] = ds
    done = run(need_tool("storescu"), "127.0.0.1", listener.port, "+sd", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = stored(url, "1.2.3.100.1")
    assert rows.keys() == sent.keys()
    assert len({key for _, key in rows.values()}) == 1
    objects = FolderObjects(listener.home / "objects")

    async def read() -> None:
        async with Database(url, size=1) as database, database.connection() as connection:
            for item in await study_instances(connection, "default", "1.2.3.100.1"):
                data = objects.read(item.object_key, item.object_offset, item.object_length)
                ds = pydicom.dcmread(io.BytesIO(data))
                assert ds.PixelData == sent[item.sop_instance_uid].PixelData
                assert ds.file_meta.SourceApplicationEntityTitle == "STORESCU"
                assert ds.file_meta.MediaStorageSOPInstanceUID == item.sop_instance_uid
                assert len(item.frames) == 1

    asyncio.run(read())


COMPRESSED = {"RLE": RLELossless, "JPEG-LS": JPEGLSLossless, "JPEG 2000": JPEG2000Lossless}


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_files_stay_as_they_are(
    name: str, listener: Listener, url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """What storescu proposes with --required is accepted, and nothing is decoded."""
    options = {"RLE": "-xr", "JPEG-LS": "-xt", "JPEG 2000": "-xv"}
    seed = 110 + list(COMPRESSED).index(name)
    ds = ct_dataset(seed=seed, size=64)
    ds.compress(COMPRESSED[name], generate_instance_uid=False)
    (tmp_path / "a.dcm").write_bytes(part10(ds))
    done = run(
        need_tool("storescu"), "-R", options[name], "127.0.0.1", listener.port, tmp_path / "a.dcm"
    )
    assert done.returncode == 0, done.stderr
    [(syntax, _)] = stored(url, f"1.2.3.{seed}.1").values()
    assert syntax == COMPRESSED[name]


@pytest.mark.parametrize("option", ["-xi", "-xb", "-xd", "-xe"])
def test_uncompressed_syntaxes(
    option: str, listener: Listener, url: str, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """Implicit, big endian, deflated, explicit: each is taken as dcmtk writes it."""
    seed = 120 + ["-xi", "-xb", "-xd", "-xe"].index(option)
    (tmp_path / "a.dcm").write_bytes(part10(ct_dataset(seed=seed, size=64)))
    done = run(need_tool("storescu"), "-R", option, "127.0.0.1", listener.port, tmp_path / "a.dcm")
    assert done.returncode == 0, done.stderr
    assert len(stored(url, f"1.2.3.{seed}.1")) == 1


def test_the_same_again_is_success_and_stored_once(listener: Listener, url: str) -> None:
    """A duplicate costs nothing, neither a row nor a byte."""
    items = [ct_dataset(index, seed=130) for index in range(2)]
    assert [answer.Status for answer in send(listener, *items)] == [0, 0]
    before = sum(file.stat().st_size for file in listener.home.rglob("*.seg"))
    assert [answer.Status for answer in send(listener, *items)] == [0, 0]
    assert sum(file.stat().st_size for file in listener.home.rglob("*.seg")) == before
    assert len(stored(url, "1.2.3.130.1")) == 2


def test_corrected_demographics_are_a_revision(listener: Listener, url: str) -> None:
    """Another name over the same pixels is success, and kept."""
    send(listener, ct_dataset(seed=131))
    [answer] = send(listener, ct_dataset(seed=131, PatientName="Roe^Jane"))
    assert answer.Status == 0
    with psycopg.connect(url) as connection:
        [(revision,)] = connection.execute(
            "SELECT revision FROM instances WHERE study_instance_uid = '1.2.3.131.1'"
        ).fetchall()
    assert revision == 2


def test_other_pixels_under_a_known_uid_are_refused(listener: Listener, url: str) -> None:
    """Status 0111 with our code, and what was there stays; its neighbour is kept."""
    first, other = ct_dataset(seed=132), ct_dataset(seed=132)
    other.PixelData = bytes(len(other.PixelData))
    send(listener, first)
    refused, kept = send(listener, other, ct_dataset(1, seed=132))
    assert refused.Status == DIFFERENT
    assert refused.ErrorComment.startswith("instance.different_pixels")
    assert kept.Status == 0
    assert len(stored(url, "1.2.3.132.1")) == 2


def test_a_data_set_that_is_not_what_its_command_says(listener: Listener, url: str) -> None:
    """A900: the sender would look for an instance that nobody has."""
    [(uid, data)] = data_sets(1, size=16)
    sender = Sender(listener.port)
    assert sender.store(sender.message(1, "1.2.3.4.5", data)) == MISMATCH
    assert sender.store(sender.message(2, "no uid", data)) == MISMATCH
    assert sender.store(sender.message(3, uid, data)) == 0
    sender.release()
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute(
            "SELECT count(*) FROM instances WHERE sop_instance_uid IN ('1.2.3.4.5', %s)", (uid,)
        ).fetchall()
    assert count == 1


def test_missing_pixels_are_refused_and_the_association_goes_on(
    listener: Listener, url: str
) -> None:
    """A900 for a CT without pixel data; the next instance is stored."""
    bad = ct_dataset(seed=134)
    del bad.PixelData
    answers = send(listener, bad, ct_dataset(1, seed=134))
    assert [answer.Status for answer in answers] == [MISMATCH, 0]
    assert answers[0].ErrorComment.startswith("instance.no_pixel_data")
    assert len(stored(url, "1.2.3.134.1")) == 1


def test_private_and_unknown_classes_are_taken(listener: Listener, url: str) -> None:
    """A private SOP class is kept as it is, without pixels."""
    private = "1.3.6.1.4.1.99999.1.2.3"
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = private, "1.2.3.135.3.1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.135.1", "1.2.3.135.2"
    ds.PatientName = "Doe^Jane"
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ae = AE(ae_title="PYNETDICOM")
    ae.add_requested_context(private, ExplicitVRLittleEndian)
    association = ae.associate("127.0.0.1", listener.port)
    assert association.send_c_store(ds).Status == 0
    association.release()
    assert len(stored(url, "1.2.3.135.1")) == 1


def test_services_that_are_not_offered_are_not_accepted(listener: Listener) -> None:
    """Worklist, Q/R and print are answered as unsupported, and verification beside them works."""
    ae = AE(ae_title="PYNETDICOM")
    for uid in ("1.2.840.10008.5.1.4.31", "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.1.1"):
        ae.add_requested_context(uid)
    association = ae.associate("127.0.0.1", listener.port)
    assert [cx.abstract_syntax for cx in association.accepted_contexts] == ["1.2.840.10008.1.1"]
    assert {cx.result for cx in association.rejected_contexts} == {3}
    assert association.send_c_echo().Status == 0
    association.release()


def test_each_partner_has_its_tenant(listener: Listener, url: str) -> None:
    """The same instance from two partners is two, and neither sees the other's."""
    ds = ct_dataset(seed=136)
    assert send(listener, ds)[0].Status == 0
    other = ct_dataset(seed=136)
    other.PixelData = bytes(len(other.PixelData))  # would be refused in the same tenant
    assert send(listener, other, calling="OTHERSCU")[0].Status == 0
    assert len(stored(url, "1.2.3.136.1")) == len(stored(url, "1.2.3.136.1", "other")) == 1


def test_nothing_of_a_patient_is_logged(listener: Listener) -> None:
    """After all that: no name, no id, no UID."""
    text = listener.log.read_text()
    assert "onescan.dimse.accepted" in text
    assert not [word for word in ("Doe", "Roe", "4711", "1.2.3.1") if word in text]
