"""What every object store promises, held against the folder and against a real S3 server."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.exceptions import NotFoundError, StoreUnavailableError, UsageError
from gateway.settings import Settings, StoreSettings
from gateway.store import s3_client
from gateway.store.objects import FolderObjects, ObjectStore, at_hand
from gateway.store.open_objects import open_objects
from gateway.store.s3 import FETCH_BYTES, S3Objects, merged
from gateway.store.s3_blocks import BLOCK_BYTES, BLOCKS, Blocks
from gateway.store.s3_client import credentials_from
from gateway.store.s3_writer import OPEN_BYTES, PART_BYTES
from tests.s3_server import S3Server
from tests.slow_proxy import Fault, Proxy, proxied

QUICK = {**s3_client.RETRY, "max_retries": 2}
"""A test does not wait for ten seconds until the client gives up."""


def bucket(server: S3Server, *, endpoint: str = "", prefix: str = "site/a") -> S3Objects:
    return S3Objects(
        StoreSettings(
            objects=f"{server.url}/{prefix}", s3_endpoint=endpoint or server.endpoint, s3_region=""
        )
    )


@pytest.fixture(params=["folder", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return FolderObjects(tmp_path / "objects", reserve_bytes=0)
    return bucket(request.getfixturevalue("s3"))


@pytest.fixture
def proxy(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    monkeypatch.setattr(s3_client, "RETRY", QUICK)
    with proxied(s3.endpoint) as proxy:
        yield proxy


def random_bytes(length: int) -> bytes:
    return os.urandom(1024) * (length // 1024) + os.urandom(length % 1024)


# --- the contract -------------------------------------------------------------------------


def test_a_committed_object_is_read_back(objects: ObjectStore) -> None:
    """By ranges; shorter only at the end, and nothing behind it."""
    writer = objects.begin()
    writer.write([b"abc", memoryview(b"defg"), bytearray(b"hi")])
    assert writer.offset == 9
    writer.commit()
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/[0-9a-f-]{36}\.seg", writer.key)
    assert objects.read(writer.key, 0, 9) == b"abcdefghi"
    assert objects.read(writer.key, 2, 3) == b"cde"
    assert objects.read(writer.key, 5, 100) == b"fghi"
    assert objects.read(writer.key, 9, 5) == b""
    assert objects.read(writer.key, 3, 0) == b""


def test_an_object_opened_is_a_file(objects: ObjectStore) -> None:
    """The decoder reads by `preadv` from whatever store."""
    writer = objects.begin()
    writer.write([b"0123456789"])
    writer.commit()
    file = objects.open(writer.key)
    try:
        assert os.pread(file, 4, 3) == b"3456"
        assert os.pread(file, 4, 10) == b""
    finally:
        os.close(file)


def test_an_object_keeps_its_key_in_another_store(objects: ObjectStore) -> None:
    """Whole when it is seen; a longer copy of a segment that grew takes the shorter one's place."""
    key = "2026/11/21/6f9b6a53-6e8a-4f0e-9f0a-3f1f4f5e6d7c.seg"
    for data in (b"abc", b"abcdef"):
        writer = objects.begin_at(key, expected_bytes=len(data))
        assert writer.key == key
        writer.write([data])
        writer.commit()
        assert objects.read(key, 0, 10) == data
    writer = objects.begin_at(key)
    writer.write([b"x"])
    assert objects.read(key, 0, 10) == b"abcdef"
    writer.commit()
    assert [listed for listed, _ in objects.list()] == [key]
    with pytest.raises(NotFoundError):
        objects.begin_at("../x")


def test_nothing_is_visible_before_commit(objects: ObjectStore) -> None:
    writer = objects.begin()
    writer.write([random_bytes(2 * PART_BYTES)])
    writer.seal()
    assert not list(objects.list())
    with pytest.raises(NotFoundError):
        objects.read(writer.key, 0, 3)
    with pytest.raises(NotFoundError):
        objects.open(writer.key)
    writer.abort()
    assert not list(objects.list())


def test_rewound_bytes_are_gone(objects: ObjectStore) -> None:
    """A refused instance leaves neither bytes nor a hole, even one larger than memory holds."""
    kept, refused = random_bytes(PART_BYTES + 17), random_bytes(OPEN_BYTES + PART_BYTES)
    writer = objects.begin()
    writer.write([b"good"])
    writer.seal()
    writer.write([refused])
    assert writer.read_at(4, 10) == refused[:10]
    assert writer.read_at(4 + len(refused) - 3, 10) == refused[-3:]
    writer.rewind(4)
    writer.write([kept])
    writer.seal()
    writer.write([b"bad"])
    writer.rewind(4 + len(kept))
    writer.write([b"more"])
    writer.commit()
    assert objects.read(writer.key, 0, 10**9) == b"good" + kept + b"more"


def test_an_object_of_many_parts_is_whole(objects: ObjectStore) -> None:
    """Many small instances and parts that end inside of them."""
    blocks = [random_bytes(700_001) for _ in range(40)]
    writer = objects.begin()
    for block in blocks:
        writer.write([block[:1000], block[1000:]])
        writer.seal()
    assert writer.offset == 40 * 700_001 > 3 * PART_BYTES
    writer.commit()
    writer.abort()  # does nothing after a good commit
    assert objects.read(writer.key, 0, 10**9) == b"".join(blocks)


@pytest.mark.parametrize("size", [3, 3 * PART_BYTES])
def test_an_aborted_object_leaves_nothing(objects: ObjectStore, size: int) -> None:
    writer = objects.begin()
    writer.write([random_bytes(size)])
    writer.seal()
    writer.write([b"rest"])
    writer.abort()
    writer.abort()
    assert not list(objects.list())
    with pytest.raises(NotFoundError):
        objects.read(writer.key, 0, 1)


def test_objects_are_listed_with_the_time_of_their_writing(objects: ObjectStore) -> None:
    keys = []
    for _ in range(3):
        writer = objects.begin()
        writer.write([b"x"])
        writer.commit()
        keys.append(writer.key)
    listed = dict(objects.list())
    assert sorted(listed) == sorted(keys)
    for written in listed.values():
        assert abs(datetime.now(UTC) - written) < timedelta(minutes=1)


def test_a_deleted_object_is_gone_and_may_be_deleted_again(objects: ObjectStore) -> None:
    writer = objects.begin()
    writer.write([b"x"])
    writer.commit()
    objects.delete(writer.key)
    objects.delete(writer.key)
    assert not list(objects.list())
    with pytest.raises(NotFoundError):
        objects.read(writer.key, 0, 1)


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "2026/../../x", "", "incoming/x.seg"])
def test_keys_do_not_lead_out_of_the_store(objects: ObjectStore, key: str) -> None:
    with pytest.raises(NotFoundError):
        objects.read(key, 0, 1)
    with pytest.raises(NotFoundError):
        objects.open(key)


def test_what_a_series_needs_is_at_hand(objects: ObjectStore) -> None:
    """Inside the context the ranges are read as they are in the object, from anywhere."""
    data = random_bytes(3 * FETCH_BYTES)
    writer = objects.begin()
    writer.write([data])
    writer.commit()
    ranges = [(100, 50), (2 * FETCH_BYTES, FETCH_BYTES), (200, 1000)]
    with at_hand(objects, {writer.key: ranges}) as near:
        file = near.open(writer.key)
        for offset, length in ranges:
            assert os.pread(file, length, offset) == data[offset : offset + length]
            assert near.read(writer.key, offset, length) == data[offset : offset + length]
        os.close(file)
        assert near.read(writer.key, FETCH_BYTES, 5) == data[FETCH_BYTES : FETCH_BYTES + 5]
    with pytest.raises(NotFoundError):
        with at_hand(objects, {writer.key.replace("-", "0"): [(0, 1)]}) as near:
            near.open(writer.key.replace("-", "0"))


# --- S3 alone -----------------------------------------------------------------------------


def stored(objects: ObjectStore, data: bytes) -> str:
    writer = objects.begin()
    writer.write([data])
    try:
        writer.commit()
    except BaseException:
        writer.abort()
        raise
    return writer.key


def test_aborted_and_failed_uploads_are_not_left_in_the_bucket(s3: S3Server) -> None:
    """They would be paid for and never be seen."""
    objects = bucket(s3)
    writer = objects.begin()
    writer.write([random_bytes(3 * PART_BYTES)])
    writer.seal()
    deadline = time.monotonic() + 10
    while not s3.uploads() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert s3.uploads() == 1
    writer.abort()
    assert s3.uploads() == 0


def test_only_our_own_objects_are_listed(s3: S3Server) -> None:
    """What the sweep of orphans does not see it cannot delete."""
    import obstore

    objects = bucket(s3)
    for key in ("readme.txt", "2026/11/21/other.seg", "2026/11/21/notes.txt"):
        obstore.put(objects._client, key, b"x")
    stored(bucket(s3, prefix="site/b"), b"of another prefix")
    assert not list(objects.list())


def test_a_series_in_one_segment_takes_few_requests(s3: S3Server, proxy: Proxy) -> None:
    """Three hundred slices are not three hundred requests."""
    objects = bucket(s3, endpoint=proxy.url)
    length = 100_000
    key = stored(objects, data := random_bytes(300 * length))
    proxy.seen.clear()
    ranges = {key: [(at * length + 500, length - 500) for at in range(300)]}
    with at_hand(objects, ranges) as near:
        file = near.open(key)
        assert os.pread(file, 1000, 299 * length + 500) == data[299 * length + 500 :][:1000]
        os.close(file)
    assert len(proxy.seen) == -(-300 * length // FETCH_BYTES)


def test_small_reads_that_follow_each_other_take_few_requests(s3: S3Server, proxy: Proxy) -> None:
    """A study that is sent again is compared slice by slice with the one that is there."""
    objects = bucket(s3, endpoint=proxy.url)
    old, new = (stored(objects, random_bytes(2 * BLOCK_BYTES + 77)) for _ in range(2))
    whole = {key: objects.read(key, 0, 10**9) for key in (old, new)}
    proxy.seen.clear()
    step = 99_991
    for start in range(0, 2 * BLOCK_BYTES + 77, step):
        for key in (old, new):
            assert objects.read(key, start, step) == whole[key][start : start + step]
    assert proxy.seen == ["GET"] * 6
    objects.delete(old)
    with pytest.raises(NotFoundError):
        objects.read(old, 0, 5)


def test_only_the_last_blocks_are_held() -> None:
    """Memory is bounded, whatever is read."""
    fetched: list[int] = []

    def fetch(key: str, offset: int, length: int) -> bytes:
        fetched.append(offset // BLOCK_BYTES)
        return bytes(length)

    blocks = Blocks(fetch)
    for number in (*range(BLOCKS + 1), BLOCKS, 0):
        blocks.read("k", number * BLOCK_BYTES + 5, 5)
    assert fetched == [*range(BLOCKS + 1), 0]
    assert len(blocks._held) == BLOCKS


def test_near_ranges_are_fetched_as_one() -> None:
    """And far ones apart: a segment may hold other series than the one that is read."""
    far = 50 * 2**20
    assert merged([(far, 10), (0, 100), (50, 10), (200, 100)]) == [(0, 300), (far, 10)]


def test_temporary_files_have_no_name_and_are_closed(s3: S3Server) -> None:
    objects = bucket(s3)
    key = stored(objects, random_bytes(3000))
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with at_hand(objects, {key: [(0, 3000)]}):
            pass
        os.close(objects.open(key))
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1  # listdir's own


def test_a_failing_moment_is_waited_out(s3: S3Server, proxy: Proxy) -> None:
    """503 "slow down" is S3's everyday answer under load."""
    objects = bucket(s3, endpoint=proxy.url)
    failed: set[str] = set()

    def once_each(request: object) -> Fault | None:
        kind = proxy.seen[-1]
        if kind in failed:
            return None
        failed.add(kind)
        return Fault(status=503)

    proxy.rule = once_each
    data = random_bytes(2 * PART_BYTES + 5)
    key = stored(objects, data)
    assert objects.read(key, 0, len(data)) == data
    objects.delete(key)
    assert not list(objects.list())
    assert {"PUT partNumber uploadId", "POST uploads", "POST uploadId", "GET", "DELETE"} <= failed


@pytest.mark.parametrize("size", [5, 2 * PART_BYTES], ids=["one request", "parts"])
def test_a_bucket_that_stays_away_is_told(s3: S3Server, proxy: Proxy, size: int) -> None:
    """An object is committed after S3's own answer or not at all."""
    objects = bucket(s3, endpoint=proxy.url)
    proxy.rule = lambda request: Fault(status=500)
    writer = objects.begin()
    writer.write([random_bytes(size)])
    with pytest.raises(StoreUnavailableError) as told:
        writer.commit()
    assert "test-secret" not in str(told.value)
    writer.abort()  # cannot reach the bucket either
    with pytest.raises(StoreUnavailableError):
        objects.read(writer.key, 0, 5)
    with pytest.raises(StoreUnavailableError):
        list(objects.list())
    with pytest.raises(StoreUnavailableError):
        objects.delete(writer.key)
    with pytest.raises(StoreUnavailableError):
        with at_hand(objects, {writer.key: [(0, 5)]}):
            pass
    proxy.rule = lambda request: None
    assert not list(objects.list())


def test_a_completion_that_fails_leaves_no_upload(s3: S3Server, proxy: Proxy) -> None:
    """The parts are there and the last word is not."""
    objects = bucket(s3, endpoint=proxy.url)
    proxy.rule = lambda r: Fault(status=500) if proxy.seen[-1] == "POST uploadId" else None
    writer = objects.begin()
    writer.write([random_bytes(2 * PART_BYTES)])
    with pytest.raises(StoreUnavailableError):
        writer.commit()
    writer.abort()
    assert s3.uploads() == 0
    assert not list(objects.list())


def test_an_upload_that_fails_on_its_way_is_noticed_before_the_end(
    s3: S3Server, proxy: Proxy
) -> None:
    """A sender is not left sending gigabytes into a bucket that refuses them."""
    objects = bucket(s3, endpoint=proxy.url)
    proxy.rule = lambda r: Fault(status=403) if "partNumber" in proxy.seen[-1] else None
    writer = objects.begin()

    def send() -> None:
        for _ in range(20):
            writer.write([bytes(PART_BYTES)])
            writer.seal()

    with pytest.raises(StoreUnavailableError):
        send()
    assert writer.offset < 20 * PART_BYTES
    writer.abort()
    assert s3.uploads() == 0


def test_a_lost_answer_is_asked_for_again(s3: S3Server, proxy: Proxy) -> None:
    """The part came through and its answer did not."""
    objects = bucket(s3, endpoint=proxy.url)
    lost: set[str] = set()

    def lose_once(request: object) -> Fault | None:
        kind = proxy.seen[-1]
        if "partNumber" not in kind or kind in lost:
            return None
        lost.add(kind)
        return Fault(lose_answer=True)

    proxy.rule = lose_once
    data = random_bytes(2 * PART_BYTES)
    assert objects.read(stored(objects, data), 0, len(data)) == data
    assert lost


def test_a_slow_bucket_holds_the_sender_back(s3: S3Server, proxy: Proxy) -> None:
    """Parts wait for each other instead of gathering in memory."""
    objects = bucket(s3, endpoint=proxy.url)
    proxy.rule = lambda r: Fault(delay_seconds=0.3) if "partNumber" in proxy.seen[-1] else None
    writer = objects.begin()
    start = time.monotonic()
    for _ in range(8):
        writer.write([bytes(PART_BYTES)])
        writer.seal()
    waited = time.monotonic() - start
    writer.commit()
    assert waited > 0.6  # two at once, so six that are through took three rounds; two is enough


def test_a_missing_bucket_is_told(s3: S3Server) -> None:
    settings = StoreSettings(objects="s3://nowhere/x", s3_endpoint=s3.endpoint)
    with pytest.raises(StoreUnavailableError, match="bucket"):
        stored(S3Objects(settings), b"x")


@pytest.mark.parametrize("address", ["s3://", "s3:///x", "s3://a?b"])
def test_an_address_without_a_bucket_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_objects(Settings(home=tmp_path, store=StoreSettings(objects=address)))


def test_the_settings_choose_the_store(s3: S3Server, tmp_path: Path) -> None:
    """One factory for every process; a path is a folder, whatever else it is."""
    environ = {"ONESCAN_HOME": str(tmp_path), **s3.environ("site")}
    del environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"]
    assert isinstance(open_objects(Settings.from_environ(environ)), S3Objects)
    folder = open_objects(Settings(home=tmp_path))
    assert isinstance(folder, FolderObjects)
    assert folder.root == tmp_path / "objects"


def test_credentials_come_from_a_file(s3: S3Server, tmp_path: Path) -> None:
    """In the form of ~/.aws/credentials; read again, so that they may be rotated."""
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = from-file\naws_secret_access_key = s%cret\n")
    settings = StoreSettings(objects=s3.url, s3_endpoint=s3.endpoint, s3_credentials_file=str(file))
    objects = S3Objects(settings)
    assert objects.read(stored(objects, b"abc"), 0, 3) == b"abc"
    read = credentials_from(file)
    file.write_text(file.read_text().replace("from-file", "rotated"))
    assert read()["access_key_id"] == "rotated"
    assert "s%cret" not in repr(settings)


@pytest.mark.parametrize("text", [None, "", "[other]\na = b\n", "no ini"])
def test_a_file_without_credentials_is_refused(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError):
        credentials_from(file)
