"""STOW-RS as senders meet it: what is kept, what is answered, what is left."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from gateway.instance import Instance
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.objects import FolderObjects
from tests.ct_files import body, ct_dataset, part10, slices
from tests.stow_app import CONTENT_TYPE, stow_app

pytestmark = pytest.mark.postgres

STUDY = "1.2.3.0.1"


class Gateway:
    """The handler with its database and its folder."""

    def __init__(self, client: TestClient[Any, Any], database: Database, objects: FolderObjects):
        self.client = client
        self.database = database
        self.objects = objects

    async def post(self, data: Any, path: str = "/dicomweb/studies", **headers: str) -> Any:
        headers = {"Content-Type": CONTENT_TYPE} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        data = io.BytesIO(data) if isinstance(data, bytes) else data
        response: ClientResponse = await self.client.post(path, data=data, headers=headers)
        return response.status, await response.json(content_type=None)

    async def instances(self, study: str = STUDY, tenant: str = "default") -> list[Instance]:
        async with self.database.connection() as connection:
            return await study_instances(connection, tenant, study)

    async def query(self, sql: str) -> list[dict[str, Any]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(sql)).fetchall()  # type: ignore[arg-type]

    def files(self) -> list[Path]:
        return [path for path in self.objects.root.rglob("*") if path.is_file()]


@pytest_asyncio.fixture
async def gateway(database_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    objects = FolderObjects(tmp_path / "objects", reserve_bytes=0)
    async with Database(database_url, size=4) as database:
        app = await stow_app(database, objects, max_instance_bytes=1_000_000)
        async with TestClient(TestServer(app)) as client:
            yield Gateway(client, database, objects)


def failures(answer: dict[str, Any], tag: str = "00081198") -> list[tuple[str, str, int]]:
    """Give (SOP Instance UID, our code, failure reason) of each failure."""
    return [
        (
            item.get("00081155", {}).get("Value", [""])[0],
            item["00991001"]["Value"][0],
            item["00081197"]["Value"][0],
        )
        for item in answer.get(tag, {}).get("Value", [])
    ]


def stored(answer: dict[str, Any]) -> list[str]:
    return [item["00081155"]["Value"][0] for item in answer.get("00081199", {}).get("Value", [])]


async def test_a_study_is_stored_and_indexed_by_frame(gateway: Gateway) -> None:
    """200, one segment for all, and each frame's bytes where the index says."""
    series = slices(5)
    status, answer = await gateway.post(body([part10(ds) for ds in series]))
    assert status == 200
    assert stored(answer) == [ds.SOPInstanceUID for ds in series]
    instances = {i.sop_instance_uid: i for i in await gateway.instances()}
    for ds in series:
        [frame] = instances[ds.SOPInstanceUID].frames
        read = gateway.objects.read(frame.object_key, frame.pixel_offset, frame.pixel_length)
        assert read == ds.PixelData
    assert len(gateway.files()) == 1
    assert gateway.files()[0].stat().st_size == sum(i.object_length for i in instances.values())
    [study] = await gateway.query("SELECT attributes FROM studies")
    assert study["attributes"]["PatientName"] == "Doe^Jane"


async def test_the_answer_is_a_dicom_dataset(gateway: Gateway) -> None:
    """A DICOM library reads success and failure, our code included."""
    _, answer = await gateway.post(body([part10(ct_dataset()), part10(ct_dataset(1, Rows=0))]))
    ds = Dataset.from_json(answer)
    assert ds.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.3.0.3.1"
    failed = ds.FailedSOPSequence[0]
    assert failed.FailureReason == 0xA900
    assert failed.ReferencedSOPClassUID == ct_dataset().SOPClassUID
    assert failed.private_block(0x0099, "ONESCAN")[1].value == "instance.invalid_header"


async def test_the_good_of_a_mixed_upload_are_kept_and_the_rest_told(gateway: Gateway) -> None:
    """202, one entry a part, and no byte of a refused part on disk."""
    good = [part10(ds) for ds in slices(3)]
    parts = [
        good[0],
        part10(ct_dataset(7))[:-100],
        b"\x89PNG not dicom",
        good[1],
        part10(ct_dataset(8, PixelData=None)),
        part10(ct_dataset(9, StudyInstanceUID=None)),
        good[2],
    ]
    status, answer = await gateway.post(body(parts))
    assert status == 202
    assert len(stored(answer)) == 3
    assert failures(answer) == [
        ("1.2.3.0.3.8", "instance.truncated", 0xC000),
        ("1.2.3.0.3.9", "instance.no_pixel_data", 0xA900),
        ("1.2.3.0.3.10", "instance.missing_uid", 0xA900),
    ]
    assert failures(answer, "0008119A") == [("", "instance.not_dicom", 0xC000)]
    [segment] = gateway.files()
    assert segment.read_bytes() == b"".join(good)


async def test_nothing_stored_is_409_and_leaves_nothing(gateway: Gateway) -> None:
    status, answer = await gateway.post(body([b"junk", b"more junk"]))
    assert status == 409
    assert len(failures(answer, "0008119A")) == 2
    assert not gateway.files()
    assert not await gateway.query("SELECT FROM studies")


async def test_an_oversized_part_is_refused_alone(gateway: Gateway) -> None:
    """Its neighbours before and after it are kept."""
    big = part10(ct_dataset(5, size=800))
    good = [part10(ds) for ds in slices(2)]
    status, answer = await gateway.post(body([good[0], big, good[1]]))
    assert status == 202
    assert failures(answer) == [("1.2.3.0.3.6", "instance.too_large", 0xA700)]
    assert gateway.files()[0].read_bytes() == b"".join(good)


async def test_a_part_of_another_type_is_refused_alone(gateway: Gateway) -> None:
    image = b"--BB\r\nContent-Type: image/jpeg\r\n\r\nxx\r\n"
    encoded = b"--BB\r\nContent-Transfer-Encoding: base64\r\n\r\nxx\r\n"
    data = image + encoded + body([part10(ct_dataset())])
    status, answer = await gateway.post(data)
    assert status == 202
    assert [code for _, code, _ in failures(answer, "0008119A")] == [
        "instance.unsupported_part"
    ] * 2


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content_Type": "application/dicom"}, 415, "request.unsupported_media_type"),
        (
            {"Content_Type": "multipart/form-data; boundary=BB"},
            415,
            "request.unsupported_media_type",
        ),
        (
            {"Content_Type": 'multipart/related; type="application/dicom"'},
            400,
            "request.invalid_multipart",
        ),
        ({"Accept": "application/dicom+xml"}, 406, "request.not_acceptable"),
    ],
)
async def test_a_request_of_another_kind_is_refused(
    gateway: Gateway, headers: dict[str, str], status: int, code: str
) -> None:
    answered, answer = await gateway.post(body([part10(ct_dataset())]), **headers)
    assert (answered, answer["code"]) == (status, code)
    assert not gateway.files()


@pytest.mark.parametrize(
    "accept", ["application/dicom+json", "application/json;q=0.5, text/html", "*/*", ""]
)
async def test_json_is_given_to_whoever_takes_it(gateway: Gateway, accept: str) -> None:
    status, _ = await gateway.post(body([part10(ct_dataset())]), Accept=accept)
    assert status == 200


@pytest.mark.parametrize("cut", [5, 300, 2000])
async def test_a_body_that_ends_early_leaves_nothing(gateway: Gateway, cut: int) -> None:
    """Whole parts before the break are not kept either: nobody was told that they were."""
    status, answer = await gateway.post(body([part10(ds) for ds in slices(3)])[:-cut])
    assert (status, answer["code"]) == (400, "request.invalid_multipart")
    assert not gateway.files()
    assert not await gateway.query("SELECT FROM instances")


async def test_a_sender_that_hangs_up_leaves_nothing(gateway: Gateway) -> None:
    """The connection breaks in the middle of the second instance."""
    data = body([part10(ds) for ds in slices(2, size=300)])
    server = gateway.client.server
    _, writer = await asyncio.open_connection(server.host, server.port)
    head = (
        f"POST /dicomweb/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data[:-1000])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    for _ in range(100):
        await asyncio.sleep(0.02)
        if not gateway.files():
            break
    assert not gateway.files()
    assert not await gateway.query("SELECT FROM instances")


async def test_a_body_without_parts_is_refused(gateway: Gateway) -> None:
    status, answer = await gateway.post(b"--BB--\r\n")
    assert (status, answer["code"]) == (400, "request.invalid_multipart")


async def test_a_chunked_body_is_taken(gateway: Gateway) -> None:
    """Without Content-Length, in small pieces."""
    data = body([part10(ds) for ds in slices(2)])

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 777):
            yield data[start : start + 777]

    status, _ = await gateway.post(pieces())
    assert status == 200


async def test_the_study_of_the_address_is_held(gateway: Gateway) -> None:
    """An instance of another study is refused, one of this study kept."""
    parts = [part10(ct_dataset(0)), part10(ct_dataset(0, seed=5))]
    status, answer = await gateway.post(body(parts), path=f"/dicomweb/studies/{STUDY}")
    assert status == 202
    assert stored(answer) == ["1.2.3.0.3.1"]
    assert failures(answer) == [("1.2.3.5.3.1", "instance.wrong_study", 0x0110)]


async def test_an_address_that_is_no_uid_is_not_found(gateway: Gateway) -> None:
    status, _ = await gateway.post(body([part10(ct_dataset())]), path="/dicomweb/studies/abc")
    assert status == 404


async def test_a_resent_study_is_stored_once(gateway: Gateway) -> None:
    """The second copy is acknowledged and takes no space."""
    data = body([part10(ds) for ds in slices(3)])
    await gateway.post(data)
    before = gateway.files()
    status, answer = await gateway.post(data)
    assert status == 200
    assert len(stored(answer)) == 3
    assert gateway.files() == before
    assert len(await gateway.instances()) == 3


async def test_a_transcoded_and_renamed_copy_is_a_revision(gateway: Gateway) -> None:
    """The stored pixels stay, the new name counts, and the change is audited."""
    await gateway.post(body([part10(ct_dataset())]))
    copy = ct_dataset(PatientName="Smith^Jane")
    copy.compress(RLELossless, generate_instance_uid=False)
    for _ in range(2):  # the second time it is no news
        status, _ = await gateway.post(body([part10(copy)]))
        assert status == 200
    [instance] = await gateway.instances()
    assert instance.attributes["PatientName"] == "Smith^Jane"
    assert instance.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    [revision] = await gateway.query("SELECT * FROM instance_revisions")
    assert revision["changed"]["PatientName"] == ["Doe^Jane", "Smith^Jane"]
    assert revision["transfer_syntax_uid"] == RLELossless
    assert [row["action"] for row in await gateway.query("SELECT action FROM audit")] == [
        "instance.revised"
    ]
    assert len(gateway.files()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelData": bytes(512)},
        {"ImagePositionPatient": [-100.5, -100.25, 1.5]},
        {"RescaleIntercept": "0"},
        {"SeriesInstanceUID": "1.2.3.0.22"},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_another_image_under_a_known_uid_is_refused(
    gateway: Gateway, changes: dict[str, Any]
) -> None:
    """What was stored first stays as it is."""
    await gateway.post(body([part10(ct_dataset())]))
    before = await gateway.instances()
    status, answer = await gateway.post(body([part10(ct_dataset(**changes))]))
    assert status == 409
    assert failures(answer) == [("1.2.3.0.3.1", "instance.different_pixels", 0x0111)]
    assert await gateway.instances() == before
    assert len(gateway.files()) == 1


async def test_the_same_uid_twice_in_one_request_is_judged_alike(gateway: Gateway) -> None:
    """The first is stored, an equal second is a copy, another third is refused."""
    parts = [ct_dataset(), ct_dataset(), ct_dataset(PixelData=bytes(512))]
    status, answer = await gateway.post(body([part10(ds) for ds in parts]))
    assert status == 202
    assert len(stored(answer)) == 2
    assert len(failures(answer)) == 1
    assert len(await gateway.instances()) == 1


async def test_two_tenants_may_send_the_same_uids(gateway: Gateway) -> None:
    """Each has its own study, and neither sees the other's."""
    other = body([part10(ct_dataset(PatientName="Other^Patient", PixelData=bytes(512)))])
    assert (await gateway.post(body([part10(ct_dataset())])))[0] == 200
    assert (await gateway.post(other, X_Tenant="other"))[0] == 200
    [mine], [theirs] = await gateway.instances(), await gateway.instances(tenant="other")
    assert mine.attributes["PatientName"] == "Doe^Jane"
    assert theirs.attributes["PatientName"] == "Other^Patient"


async def test_halves_of_a_study_and_copies_at_once_neither_clash_nor_double(
    gateway: Gateway,
) -> None:
    """Six requests over each other, in opposite orders: every instance is there once."""
    files = [part10(ds) for ds in slices(12)]
    more = [part10(ds) for ds in slices(4, seed=3)]
    requests = [files[:6] + more, more + files[6:], files[::-1], files, more[::-1], files[3:9]]
    answers = await asyncio.gather(*(gateway.post(body(parts)) for parts in requests))
    assert [status for status, _ in answers] == [200] * 6
    assert len(await gateway.instances()) == 12
    assert len(await gateway.instances("1.2.3.3.1")) == 4
    [count] = await gateway.query("SELECT count(*) AS n FROM frames")
    assert count["n"] == 16


async def test_a_full_disk_is_507_and_nothing_is_kept(database_url: str, tmp_path: Path) -> None:
    """Announced lengths are checked against what is free."""
    objects = FolderObjects(tmp_path / "objects", reserve_bytes=2**60)
    async with Database(database_url, size=2) as database:
        app = await stow_app(database, objects)
        async with TestClient(TestServer(app)) as client:
            response = await client.post(
                "/dicomweb/studies",
                data=body([part10(ct_dataset())]),
                headers={"Content-Type": CONTENT_TYPE},
            )
            assert response.status == 507
            assert (await response.json(content_type=None))["code"] == "storage.full"
    assert not [path for path in objects.root.rglob("*") if path.is_file()]


async def test_all_real_transfer_syntaxes_are_stored(gateway: Gateway, shared_data: Path) -> None:
    """Whatever the coding, the instance is kept; the lossless ones are copies of one."""
    files = sorted((shared_data / "ct" / "chest-transfer-syntaxes").glob("*.dcm"))
    status, answer = await gateway.post(body([path.read_bytes() for path in files]))
    big = [path for path in files if path.stat().st_size > 1_000_000]
    assert not big
    assert status == 200
    assert len(stored(answer)) == len(files)
