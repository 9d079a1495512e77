"""``onescan ops suspend intake`` at a listener: A700 until it is resumed, C-ECHO all the while."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from gateway import cli
from loadtests.dimse_sender import Sender, data_sets
from tests.ct_files import ct_dataset
from tests.databases import fresh_database
from tests.dimse_server import Listener, listening
from tests.integration.test_dimse_store import run, send

pytestmark = pytest.mark.postgres

OUT_OF_RESOURCES = 0xA700
SEEN_SECONDS = 2.0
"""As docs/dimse.md promises."""


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    with fresh_database(postgres_url) as made:
        yield made


@pytest.fixture(scope="module")
def listener(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    with listening(url, tmp_path_factory.mktemp("dimse")) as made:
        yield made


@pytest.fixture
def ops(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run ``onescan ops``."""
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("ONESCAN_HOME", str(tmp_path))

    def verb(*arguments: str) -> None:
        assert cli.main(["ops", *arguments]) == 0

    return verb


def status(listener: Listener, calling: str = "PYNETDICOM", index: int = 0) -> int:
    """Send an instance on an association of its own."""
    [answer] = send(listener, ct_dataset(index), calling=calling)
    return int(answer.Status)


def soon(listener: Listener, wanted: int, calling: str = "PYNETDICOM", index: int = 0) -> None:
    """Wait for a status, as long as a change may take to be seen."""
    deadline = time.monotonic() + SEEN_SECONDS
    while (code := status(listener, calling, index)) != wanted:
        assert time.monotonic() < deadline, f"{code:04X}"
        time.sleep(0.05)


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT count(*) FROM instances").fetchone()
    assert row is not None
    return int(row[0])


def test_everybody_is_told_to_try_again_and_echo_is_answered(
    listener: Listener, url: str, ops: Callable[..., None], need_tool: Callable[[str], str]
) -> None:
    """Nothing is stored or left behind; what was open stays open; resumed, all is as before."""
    [(uid, data), (late, more)] = data_sets(2, size=64)
    with Sender(listener.port) as open_before:
        assert open_before.store(open_before.message(1, uid, data)) == 0
        ops("suspend", "intake", "--reason", "disk")
        soon(listener, OUT_OF_RESOURCES)
        before = count(url)
        [answer] = send(listener, ct_dataset())
        assert answer.Status == OUT_OF_RESOURCES
        assert answer.ErrorComment.startswith("intake.suspended: ")
        assert status(listener, "OTHERSCU") == OUT_OF_RESOURCES
        assert open_before.store(open_before.message(2, late, more)) == OUT_OF_RESOURCES
        echo = run(need_tool("echoscu"), "-aet", "ECHOSCU", "127.0.0.1", listener.port)
        assert echo.returncode == 0, echo.stderr
        assert count(url) == before
        ops("resume", "intake")
        soon(listener, 0)
        assert open_before.store(open_before.message(3, late, more)) == 0
        open_before.release()
    lines = [json.loads(line) for line in listener.log.read_text().splitlines()]
    told = [
        (line["everybody"], line["tenants"]) for line in lines if line["event"].endswith("intake")
    ]
    assert told == [(True, []), (False, [])]
    assert {"code": "intake.suspended"}.items() <= next(
        line.items() for line in lines if line["event"] == "onescan.dimse.refused"
    )


def test_one_tenant_is_suspended_alone(listener: Listener, ops: Callable[..., None]) -> None:
    """The others send on."""
    ops("suspend", "intake", "--tenant", "other")
    soon(listener, OUT_OF_RESOURCES, "OTHERSCU")
    assert status(listener) == 0
    ops("resume", "intake", "--tenant", "other")
    soon(listener, 0, "OTHERSCU")


def test_a_suspension_is_known_before_the_first_association(
    url: str, tmp_path: Path, ops: Callable[..., None]
) -> None:
    """A listener that starts meanwhile takes nothing, and another lane's suspension is none."""
    ops("suspend", "intake")
    try:
        with listening(url, tmp_path / "home") as made:
            assert status(made, index=7) == OUT_OF_RESOURCES
            ops("resume", "intake")
            ops("suspend", "routine")
            soon(made, 0, index=7)
    finally:
        ops("resume", "routine")
