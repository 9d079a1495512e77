"""A study sent into S3 is stored, read and decoded as one sent into the folder."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from pydicom.uid import RLELossless

from gateway.settings import StoreSettings
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.objects import FolderObjects, ObjectStore
from gateway.store.orphans import delete_orphans
from gateway.store.s3 import S3Objects
from gateway.study.decode import decode_series
from gateway.study.series import group_series
from networks.phantoms.study import make_study
from tests.ct_files import body, ct_dataset, part10, slices
from tests.s3_server import S3Server
from tests.slow_proxy import Fault, Proxy, proxied
from tests.stow_app import CONTENT_TYPE, stow_app

pytestmark = pytest.mark.postgres


@pytest.fixture
def proxy(s3: S3Server) -> Any:
    with proxied(s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def objects(s3: S3Server, proxy: Proxy) -> S3Objects:
    return S3Objects(StoreSettings(objects=s3.url, s3_endpoint=proxy.url))


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, size=2) as database:
        yield database


async def post(database: Database, objects: ObjectStore, data: bytes) -> int:
    """Send a body to a server with these objects."""
    app = await stow_app(database, objects)
    async with TestClient(TestServer(app)) as client:
        async with client.post(
            "/dicomweb/studies", data=io.BytesIO(data), headers={"Content-Type": CONTENT_TYPE}
        ) as response:
            return response.status


async def volume(database: Database, objects: ObjectStore, study: str) -> npt.NDArray[np.int16]:
    """Decode the study's one series."""
    async with database.connection() as connection:
        instances = await study_instances(connection, "default", study)
    (series,) = group_series(instances)
    out = np.empty(series.geometry.shape, np.int16)
    decode_series(series, series.geometry, objects, out, threads=2)
    return out


def transcoded(file: Path, syntax: str) -> bytes:
    ds = pydicom.dcmread(file)
    if syntax == "deflated":
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    elif syntax == "rle":
        ds.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


@pytest.mark.parametrize("syntax", ["plain", "rle", "deflated"])
async def test_a_phantom_decodes_from_s3_as_from_the_folder(
    database: Database, objects: S3Objects, proxy: Proxy, tmp_path: Path, syntax: str
) -> None:
    """Voxel for voxel, and in a handful of requests whatever the number of slices."""
    make_study(
        tmp_path / "files", seed=3, matrix=64, increment_mm=12.0, series=("thin",),
        anatomy_spacing_mm=6.0,
    )  # fmt: skip
    files = sorted((tmp_path / "files").rglob("*.dcm"))
    study = pydicom.dcmread(files[0]).StudyInstanceUID
    data = body([transcoded(file, syntax) for file in files])
    folder = FolderObjects(tmp_path / "objects", reserve_bytes=0)
    assert await post(database, folder, data) == 200
    expected = await volume(database, folder, study)
    async with database.connection() as connection:
        await connection.execute("DELETE FROM studies")
        for table in ("frames", "instances"):
            await connection.execute(f"DELETE FROM {table}")
    assert await post(database, objects, data) == 200
    proxy.seen.clear()
    assert np.array_equal(await volume(database, objects, study), expected)
    assert expected.std() > 100
    assert len(files) > 10
    assert 1 <= len(proxy.seen) <= 2


async def test_a_bucket_that_stays_away_is_503_and_nothing_is_kept(
    database: Database, objects: S3Objects, proxy: Proxy, s3: S3Server
) -> None:
    """The sender is told before anything is indexed; later it sends again and is served."""
    data = body([part10(ds) for ds in slices(3, size=64)])
    proxy.rule = lambda request: Fault(status=403)
    assert await post(database, objects, data) == 503
    async with database.connection() as connection:
        assert not await study_instances(connection, "default", "1.2.3.0.1")
    proxy.rule = lambda request: None
    assert not list(objects.list())
    assert await post(database, objects, data) == 200
    async with database.connection() as connection:
        assert len(await study_instances(connection, "default", "1.2.3.0.1")) == 3


async def test_a_broken_and_a_refused_body_leave_no_object(
    database: Database, objects: S3Objects, s3: S3Server
) -> None:
    """Refused alone beside good neighbours; a body that ends early takes all with it."""
    good = part10(ct_dataset(size=512))
    data = body([good] * 20)
    assert await post(database, objects, data[: len(data) - 100]) == 400
    assert not list(objects.list())
    assert s3.uploads() == 0
    assert await post(database, objects, body([part10(ct_dataset())[:-100]])) == 409
    assert not list(objects.list())


async def test_a_resent_study_is_stored_once_in_s3(database: Database, objects: S3Objects) -> None:
    """Copies are compared with what lies in the bucket, and their segment is deleted."""
    data = body([part10(ds) for ds in slices(3)])
    assert await post(database, objects, data) == 200
    assert await post(database, objects, data) == 200
    assert len(list(objects.list())) == 1


async def test_pixels_that_cannot_be_compared_now_are_not_called_different(
    database: Database, objects: S3Objects, proxy: Proxy
) -> None:
    """503 while the bucket cannot be read: 409 would tell the sender never to come back."""
    ds = ct_dataset()
    assert await post(database, objects, body([part10(ds)])) == 200
    proxy.rule = lambda request: Fault(status=403) if request.method == "GET" else None
    renamed = body([part10(ct_dataset(PatientName="Doe^Joan"))])
    assert await post(database, objects, renamed) == 503
    proxy.rule = lambda request: None
    assert await post(database, objects, renamed) == 200
    async with database.connection() as connection:  # what the unanswered request has left
        assert await delete_orphans(connection, objects, timedelta(0)) == 1
    assert len(list(objects.list())) == 1
