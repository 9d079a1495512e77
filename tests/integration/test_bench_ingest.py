"""The ingest benchmark sends the same study to all sides, and all of them have it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from loadtests.bench_ingest import Side, orthanc, ours, raw
from loadtests.study_bodies import post, study_body
from tests.orthanc import PROGRAM

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("side", [ours, orthanc, raw])
def test_a_side_takes_the_study_and_forgets_it(
    side: Callable[[], AbstractContextManager[Side]], need_tool: Callable[[str], str]
) -> None:
    """Twice, since each study has UIDs of its own: nothing is told from an earlier one."""
    if side is orthanc and not PROGRAM.exists():
        need_tool("Orthanc")
    with side() as server:
        for _ in range(2):
            body = study_body(3)
            length = sum(map(len, body))
            assert post(server.url, body, length=length, headers=server.headers) == 200
        server.forget()
        body = study_body(3)
        length = sum(map(len, body))
        assert post(server.url, body, length=length, headers=server.headers) == 200


def test_every_study_has_uids_of_its_own() -> None:
    """And its slices differ from each other in UID, number and place."""
    first, second = b"".join(study_body(3)), b"".join(study_body(3))
    assert len({first, second}) == 2
    assert b"7777" not in first
    for number in (b"1000", b"1001", b"1002"):
        assert first.count(b".2." + number) == 2  # in the file meta and in the dataset
