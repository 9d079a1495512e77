"""The same SOP Instance UID again: transcoded, renamed, by halves, by two partners, changed."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from gateway.instance import Instance
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.objects import FolderObjects
from tests.ct_files import body, ct_dataset, multi_frame, part10, slices
from tests.stow_app import CONTENT_TYPE, stow_app

pytestmark = pytest.mark.postgres

STUDY = "1.2.3.0.1"

REFUSED = 409


class Archive:
    """The handler with its database and its folder."""

    def __init__(self, client: TestClient[Any, Any], database: Database, objects: FolderObjects):
        self.client = client
        self.database = database
        self.objects = objects

    async def send(self, *files: bytes, tenant: str = "default") -> int:
        headers = {"Content-Type": CONTENT_TYPE, "X-Tenant": tenant}
        data = io.BytesIO(body(files))
        async with self.client.post("/dicomweb/studies", data=data, headers=headers) as response:
            return response.status

    async def instances(self, study: str = STUDY, tenant: str = "default") -> list[Instance]:
        async with self.database.connection() as connection:
            return await study_instances(connection, tenant, study)

    async def query(self, sql: str) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(sql)).fetchall()  # type: ignore[arg-type]

    def pixels(self, instance: Instance) -> bytes:
        return b"".join(
            self.objects.read(f.object_key, f.pixel_offset, f.pixel_length) for f in instance.frames
        )

    def segments(self) -> int:
        return len(list(self.objects.list()))


@pytest_asyncio.fixture
async def archive(database_url: str, tmp_path: Path) -> AsyncIterator[Archive]:
    objects = FolderObjects(tmp_path / "objects", reserve_bytes=0)
    async with Database(database_url, size=4) as database:
        app = await stow_app(database, objects)
        async with TestClient(TestServer(app)) as client:
            yield Archive(client, database, objects)


def in_syntax(ds: FileDataset, syntax: str) -> bytes:
    """Write a dataset in another, lossless, transfer syntax."""
    if syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian):
        return part10(ds, syntax)
    if syntax == DeflatedExplicitVRLittleEndian:
        ds.file_meta.TransferSyntaxUID = syntax
        out = io.BytesIO()
        pydicom.dcmwrite(out, ds, enforce_file_format=True)
        return out.getvalue()
    if syntax == RLELossless:
        ds.compress(RLELossless, generate_instance_uid=False)
        return part10(ds)
    values = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns)
    if syntax == JPEGLSLossless:
        encoded = imagecodecs.jpegls_encode(values.view(np.uint16))
    else:
        encoded = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True)
    ds.PixelData = encapsulate([bytes(encoded)])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = syntax
    return part10(ds)


async def test_copies_in_every_lossless_syntax_are_one_instance(archive: Archive) -> None:
    """A router in between transcodes; each syntax is news once, the stored pixels stay."""
    first = ct_dataset()
    assert await archive.send(part10(ct_dataset())) == 200
    syntaxes = [
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
    ]
    for syntax in syntaxes * 2:
        assert await archive.send(in_syntax(ct_dataset(), syntax)) == 200, syntax.name
    [instance] = await archive.instances()
    assert archive.pixels(instance) == first.PixelData
    assert archive.segments() == 1
    revisions = await archive.query(
        "SELECT transfer_syntax_uid, changed FROM instance_revisions ORDER BY revision"
    )
    assert [row["transfer_syntax_uid"] for row in revisions] == syntaxes
    assert all(not row["changed"] for row in revisions)


async def test_a_compressed_instance_is_known_in_the_clear(archive: Archive) -> None:
    """The other way round: first compressed, then as the scanner wrote it."""
    assert await archive.send(in_syntax(ct_dataset(), JPEGLSLossless)) == 200
    assert await archive.send(part10(ct_dataset())) == 200
    assert await archive.send(part10(ct_dataset(PixelData=bytes(512)))) == REFUSED
    [instance] = await archive.instances()
    assert instance.transfer_syntax_uid == JPEGLSLossless
    assert archive.segments() == 1


async def test_a_lossy_copy_is_refused(archive: Archive) -> None:
    """Near-lossless is not the same pixels, however near."""
    assert await archive.send(part10(ct_dataset())) == 200
    ds = ct_dataset()
    values = np.frombuffer(ds.PixelData, "<u2").reshape(16, 16)
    ds.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(values, level=3))])
    ds["PixelData"].VR = "OB"
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.81"
    assert await archive.send(part10(ds)) == REFUSED
    assert archive.segments() == 1


async def test_one_changed_pixel_is_another_image(archive: Archive) -> None:
    """In one frame of a multi-frame instance, too."""
    assert await archive.send(part10(multi_frame(slices(4)))) == 200
    before = await archive.instances()
    changed = multi_frame(slices(4))
    data = bytearray(changed.PixelData)
    data[-1] ^= 1
    changed.PixelData = bytes(data)
    assert await archive.send(part10(changed)) == REFUSED
    assert await archive.send(part10(multi_frame(slices(4)))) == 200
    assert await archive.instances() == before
    assert archive.segments() == 1


async def test_positions_written_with_other_digits_are_the_same_place(archive: Archive) -> None:
    """A router that rewrites decimal strings sends a copy; a moved slice is none."""
    assert await archive.send(part10(ct_dataset())) == 200
    place = ["-100.5000", "-100.25001", "0.0"]
    assert await archive.send(part10(ct_dataset(ImagePositionPatient=place))) == 200
    place = ["-100.5", "-100.25", "0.01"]
    assert await archive.send(part10(ct_dataset(ImagePositionPatient=place))) == REFUSED
    [instance] = await archive.instances()
    assert instance.frames[0].image_position_patient == (-100.5, -100.25, 0.0)


async def test_a_patient_renamed_half_way_has_the_newest_name(archive: Archive) -> None:
    """Corrected at the console while the study is sent: all slices are kept, the change audited."""
    old = [part10(ds) for ds in slices(6)]
    new = [part10(ds) for ds in slices(6, PatientName="Smith^Jane", PatientID="4712")]
    assert await archive.send(*old[:4]) == 200
    assert await archive.send(*new) == 200
    names = [i.attributes["PatientName"] for i in await archive.instances()]
    assert names == ["Smith^Jane"] * 6
    [study] = await archive.query("SELECT attributes FROM studies")
    assert study["attributes"]["PatientID"] == "4712"
    revisions = await archive.query("SELECT changed FROM instance_revisions")
    assert len(revisions) == 4
    assert {row["changed"]["PatientID"][0] for row in revisions} == {"4711"}
    [audited] = await archive.query("SELECT detail FROM audit WHERE action = 'instance.revised'")
    assert len(audited["detail"]["sop_instance_uids"]) == 4


async def test_a_correction_taken_back_is_a_revision_too(archive: Archive) -> None:
    """What came last counts; the way there is kept."""
    for name in ("Doe^Jane", "Smith^Jane", "Doe^Jane", "Doe^Jane"):
        assert await archive.send(part10(ct_dataset(PatientName=name))) == 200
    [instance] = await archive.instances()
    assert instance.attributes["PatientName"] == "Doe^Jane"
    revisions = await archive.query("SELECT changed FROM instance_revisions ORDER BY revision")
    assert [row["changed"]["PatientName"] for row in revisions] == [
        ["Doe^Jane", "Smith^Jane"],
        ["Smith^Jane", "Doe^Jane"],
    ]


async def test_a_study_sent_half_then_whole_then_half_is_there_once(archive: Archive) -> None:
    """A sender that starts again after an error; bytes are where the index says."""
    series = slices(12)
    files = [part10(ds) for ds in series]
    for part in (files[:7], files, files[5:], files[:7]):
        assert await archive.send(*part) == 200
    instances = {i.sop_instance_uid: i for i in await archive.instances()}
    assert len(instances) == 12
    for ds in series:
        assert archive.pixels(instances[ds.SOPInstanceUID]) == ds.PixelData
    assert archive.segments() == 2  # the first half's, and the one with the rest
    assert not await archive.query("SELECT FROM instance_revisions")
    [frames] = await archive.query("SELECT count(*) AS n FROM frames")
    assert frames["n"] == 12


async def test_partners_with_the_same_uids_neither_see_nor_judge_each_other(
    archive: Archive,
) -> None:
    """Each one's copy is a copy of its own; the other's pixels are other pixels."""
    ours, theirs = part10(ct_dataset()), part10(ct_dataset(PixelData=bytes(512)))
    assert await archive.send(ours) == 200
    assert await archive.send(theirs, tenant="other") == 200
    assert await archive.send(ours) == 200
    assert await archive.send(theirs, tenant="other") == 200
    assert await archive.send(theirs) == REFUSED
    assert await archive.send(ours, tenant="other") == REFUSED
    [mine], [other] = await archive.instances(), await archive.instances(tenant="other")
    assert archive.pixels(mine) == ct_dataset().PixelData
    assert archive.pixels(other) == bytes(512)
    assert mine.object_key != other.object_key
    assert archive.segments() == 2


async def test_a_revision_of_one_partner_is_not_the_others(archive: Archive) -> None:
    for tenant in ("default", "other"):
        assert await archive.send(part10(ct_dataset()), tenant=tenant) == 200
    assert await archive.send(part10(ct_dataset(PatientName="Smith^Jane"))) == 200
    [other] = await archive.instances(tenant="other")
    assert other.attributes["PatientName"] == "Doe^Jane"
    assert [row["tenant"] for row in await archive.query("SELECT tenant FROM audit")] == ["default"]


async def test_the_same_uid_in_another_study_is_another_instance(archive: Archive) -> None:
    """Devices that number from one again after a reset; the study tells them apart."""
    assert await archive.send(part10(ct_dataset())) == 200
    again = ct_dataset(StudyInstanceUID="1.2.3.0.11", PixelData=bytes(512))
    assert await archive.send(part10(again)) == 200
    [first], [second] = await archive.instances(), await archive.instances("1.2.3.0.11")
    assert first.sop_instance_uid == second.sop_instance_uid
    assert archive.pixels(first) != archive.pixels(second)
