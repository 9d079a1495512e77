"""Killed or without power at any step of the write path: what was acknowledged is there.

Some steps are tried in every run, all of them with ``make durable``.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import aiohttp
import psycopg
import pytest
from pydicom.dataset import FileDataset

from gateway.instance import Instance
from gateway.store.database import Database
from gateway.store.index import study_instances
from gateway.store.objects import FolderObjects
from gateway.store.orphans import delete_orphans
from tests import disk_model
from tests.ct_files import body, part10, slices
from tests.disk_model import Disk, calls_of
from tests.stow_server import Server, attached, serving

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

SOME = 6
"""Steps at which a server is killed in every run; each takes two seconds."""

ALWAYS = [("fsync", 1), ("rename", 1), ("fsync", 2)]
"""Tried whatever the dice say."""

STATE_CALLS = "openat,mkdir,pwritev2,pwrite64,ftruncate,fsync,fdatasync,rename,unlink,sendto"
"""What changes the disk, the database or what the sender knows."""


def study(seed: int) -> tuple[list[FileDataset], bytes]:
    """Make a study of three slices, and a body that holds a refused instance beside them."""
    series = slices(3, seed=seed)
    files = [part10(ds) for ds in series]
    return series, body([files[0], files[1][:-100], files[1], files[2]])


def test_a_server_killed_at_any_step_has_lost_nothing_acknowledged(
    database_url: str, tmp_path: Path, need_tool: Callable[[str], str], pytestconfig: pytest.Config
) -> None:
    """One server after the other on the same folder and database, each killed elsewhere."""
    strace, folder = need_tool("strace"), tmp_path / "objects"
    every = bool(pytestconfig.getoption("--every-step"))
    acknowledged: dict[int, list[FileDataset]] = {}
    unknown: dict[int, list[FileDataset]] = {}
    steps = steps_of_a_request(database_url, folder, strace, tmp_path / "trace")
    assert {"openat", "pwritev2", "ftruncate", "fsync", "rename", "sendto"} <= {s for s, _ in steps}
    chosen = steps if every else sorted({*ALWAYS, *random.Random(5).sample(steps, SOME)})
    killed = 0
    for seed, (call, number) in enumerate(chosen, 1000):
        series, data = study(seed)
        with serving(database_url, folder) as server:
            kill = f"inject={call}:signal=KILL:when={number}"
            with attached(strace, server.process.pid, "-e", kill):
                status = status_of(server, data)
        assert status in (None, 202)
        killed += status is None
        (unknown if status is None else acknowledged)[seed] = series
        asyncio.run(check(database_url, folder, acknowledged, unknown))
    assert killed >= len(chosen) * 0.8  # a step may lie in another thread the second time


def status_of(server: Server, data: bytes) -> int | None:
    """Send a body; None when the server died before it answered."""
    try:
        return asyncio.run(server.post(data))
    except (aiohttp.ClientError, ConnectionError):
        return None


def steps_of_a_request(
    database_url: str, folder: Path, strace: str, trace: Path
) -> list[tuple[str, int]]:
    """Trace one request; gives (system call, which of its kind in its thread)."""
    with serving(database_url, folder) as server:
        assert asyncio.run(server.post(study(1)[1])) == 202
        options = ("-e", f"trace={STATE_CALLS}", "-o", str(trace))
        with attached(strace, server.process.pid, *options):
            assert asyncio.run(server.post(study(2)[1])) == 202
    counts = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), flags=re.MULTILINE))
    highest: Counter[str] = Counter()
    for (_, call), count in counts.items():
        highest[call] = max(highest[call], count)
    return [(call, n) for call, count in sorted(highest.items()) for n in range(1, count + 1)]


async def check(
    database_url: str,
    folder: Path,
    acknowledged: dict[int, list[FileDataset]],
    unknown: dict[int, list[FileDataset]],
) -> None:
    """Acknowledged studies are there bit by bit, the others wholly or not at all; then sweep."""
    objects = FolderObjects(folder, reserve_bytes=0)
    async with Database(database_url, size=1) as database, database.connection() as connection:
        for seed, series in {**acknowledged, **unknown}.items():
            instances = await study_instances(connection, "default", f"1.2.3.{seed}.1")
            if instances or seed in acknowledged:
                assert_whole(objects, instances, series)
        objects.sweep_temporary()
        await delete_orphans(connection, objects, timedelta(0))
        cursor = await connection.execute("SELECT DISTINCT object_key FROM instances")
        pointed = {row["object_key"] for row in await cursor.fetchall()}
    assert {key for key, _ in objects.list()} == pointed
    assert {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()} == pointed


def assert_whole(
    objects: FolderObjects, instances: Sequence[Instance], series: Sequence[FileDataset]
) -> None:
    """Every slice is indexed, and its bytes are where the index says."""
    by_uid = {instance.sop_instance_uid: instance for instance in instances}
    assert sorted(by_uid) == sorted(ds.SOPInstanceUID for ds in series)
    for ds in series:
        instance = by_uid[ds.SOPInstanceUID]
        length = instance.object_length
        whole = objects.read(instance.object_key, instance.object_offset, length)
        assert whole == part10(ds)
        [frame] = instance.frames
        assert (
            objects.read(frame.object_key, frame.pixel_offset, frame.pixel_length) == ds.PixelData
        )


@pytest.fixture(scope="module")
def traced(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[[str], str]
) -> tuple[str, list[str], list[tuple[list[FileDataset], list[Instance]]]]:
    """Run a server from its first start on an empty disk, and trace three requests.

    Returns
    -------
    tuple
        Root of its objects, the trace, and for each request what was sent and what is indexed.
    """
    from tests.databases import fresh_database

    home = tmp_path_factory.mktemp("traced")
    folder, trace = home / "deep" / "objects", home / "trace"
    strace = [need_tool("strace"), "-f", "-y", "-xx", "-s", "100000", "-o", str(trace)]
    sent = [study(seed) for seed in (1, 2, 3)]
    with fresh_database(postgres_url) as url:
        with serving(url, folder, *strace, "-e", f"trace={disk_model.CALLS}") as server:
            for _, data in sent:
                assert asyncio.run(server.post(data)) == 202
        with psycopg.connect(url) as connection:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(f"SHOW {name}").fetchone() == ("on",)

        async def indexed() -> list[list[Instance]]:
            async with Database(url, size=1) as database, database.connection() as connection:
                return [
                    await study_instances(connection, "default", f"1.2.3.{seed}.1")
                    for seed in (1, 2, 3)
                ]

        rows = asyncio.run(indexed())
    pairs = [(series, instances) for (series, _), instances in zip(sent, rows, strict=True)]
    return str(home), trace.read_text().splitlines(), pairs


Traced = tuple[str, list[str], list[tuple[list[FileDataset], list[Instance]]]]


def losses(traced: Traced, folder: Path, *, without: str = "", skip: int = -1) -> int:
    """Let the power fail after every call; gives how often something acknowledged was lost.

    Parameters
    ----------
    without, skip : str, int
        Leaves the n-th call of that name, of those on our disk, out of the trace.
    """
    root, lines, requests = traced
    disk = Disk(root)
    found = committed = number = 0
    written = False
    for at, call in enumerate(calls_of(lines)):
        ours = any(path.startswith(root) for path in call.paths)
        if ours and call.name == without:
            number += 1
            if number - 1 == skip:
                continue
        disk.perform(call)
        written |= any(path.endswith(".seg") for path in call.paths)
        commits = written and "COMMIT" in call.sent  # the first one made the tenants
        committed += commits
        if not ours and not commits:
            continue
        for keep_names in (False, True):
            left = folder / f"{at}-{keep_names}"
            disk.after_power_loss(left, keep_names=keep_names)
            found += not is_there(left / "deep" / "objects", requests[:committed])
    assert committed == len(requests)
    return found


def is_there(folder: Path, requests: Sequence[tuple[list[FileDataset], list[Instance]]]) -> bool:
    """Tell whether all of these requests can be read, and no visible object is cut."""
    objects = FolderObjects(folder, reserve_bytes=0)
    try:
        for series, instances in requests:
            assert_whole(objects, instances, series)
    except Exception:
        return False
    return all((folder / key).stat().st_size > 0 for key, _ in objects.list())


def test_after_a_power_failure_at_any_step_all_acknowledged_is_read(
    traced: Traced, tmp_path: Path
) -> None:
    """Bit by bit, from the first start on an empty disk, where nothing unsynced survives."""
    assert losses(traced, tmp_path) == 0


def test_each_flush_of_the_first_request_is_needed(traced: Traced, tmp_path: Path) -> None:
    """Without any one of them something acknowledged would be lost: the model sees it."""
    root, lines, _ = traced
    flushes = [c for c in calls_of(lines) if c.name == "fsync" and c.paths[0].startswith(root)]
    segments = [n for n, c in enumerate(flushes) if c.paths[0].endswith(".seg")]
    for skip in range(segments[0], segments[1]):
        assert losses(traced, tmp_path / str(skip), without="fsync", skip=skip) > 0, (
            f"{flushes[skip].paths} is not needed"
        )
