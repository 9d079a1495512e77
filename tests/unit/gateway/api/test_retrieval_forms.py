"""Accept headers, and how much retrieval may go on at once."""

from __future__ import annotations

import asyncio
import threading

import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.api.media import ANY, DICOM, MediaRange, choose, media_ranges, need_json, part_syntaxes
from gateway.api.slots import Slots
from gateway.exceptions import NotAcceptableError, OverloadedError

EXPLICIT = "1.2.840.10008.1.2.1"


def ranges(accept: str, path: str = "/") -> list[MediaRange]:
    return media_ranges(make_mocked_request("GET", path, headers={"Accept": accept}))


def test_alternatives_are_read_best_first() -> None:
    """Quotes, commas inside of them, weights, and one that is not taken."""
    got = ranges(
        'image/png;q=0.2, multipart/related; type="application/dicom"; transfer-syntax=*,'
        ' text/html;q=0, multipart/related; type=image/jls; boundary="a,b"; q=0.5'
    )
    assert got == [
        MediaRange("application/dicom", True, ANY, 1.0),
        MediaRange("image/jls", True, "", 0.5),
        MediaRange("image/png", False, "", 0.2),
    ]


def test_the_parameter_goes_before_the_header() -> None:
    [one] = ranges("image/png", "/?accept=image/jpeg")
    assert one.kind == "image/jpeg"


@pytest.mark.parametrize(
    ("accept", "syntaxes"),
    [
        ('multipart/related; type="application/dicom"', [EXPLICIT]),
        ('multipart/related; type="application/dicom"; transfer-syntax=*', [ANY]),
        ('multipart/related; type="application/dicom"; transfer-syntax=1.2.3', ["1.2.3"]),
        ("*/*", [EXPLICIT, ANY]),
        ("multipart/related", [EXPLICIT]),
    ],
)
def test_parts_come_in_what_is_asked_for(accept: str, syntaxes: list[str]) -> None:
    assert part_syntaxes(ranges(accept), DICOM, EXPLICIT) == syntaxes


@pytest.mark.parametrize(
    "accept", ["application/dicom", 'multipart/related; type="application/dicom+xml"', "text/html"]
)
def test_what_is_not_made_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptableError):
        part_syntaxes(ranges(accept), DICOM, EXPLICIT)
    with pytest.raises(NotAcceptableError):
        need_json(make_mocked_request("GET", "/", headers={"Accept": accept}))
    with pytest.raises(NotAcceptableError):
        choose(ranges(accept), ("image/jpeg", "image/png"))


def test_one_form_is_chosen() -> None:
    assert choose(ranges("image/*"), ("image/jpeg", "image/png")) == "image/jpeg"
    assert choose(ranges("image/jpeg;q=0.1, image/png"), ("image/jpeg", "image/png")) == "image/png"


async def test_no_more_work_than_slots_and_a_queue_that_ends() -> None:
    """Two run, one waits, the next request is refused, and all that was admitted is done."""
    slots, release = Slots(2, 1), threading.Event()
    running: list[int] = []

    def work(number: int) -> int:
        running.append(number)
        assert release.wait(10)
        return number

    slots.admit()
    tasks = [asyncio.create_task(slots.run(work, number)) for number in range(3)]
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if len(running) == 2 and slots.pending_count:
            break
    assert len(running) == 2
    with pytest.raises(OverloadedError):
        slots.admit()
    release.set()
    assert await asyncio.gather(*tasks) == [0, 1, 2]
    slots.admit()


async def test_work_whose_client_left_keeps_its_slot() -> None:
    """A thread cannot be cancelled; the next piece waits for its end."""
    slots, release, begun = Slots(1, 5), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        release.wait(10)
        raise ValueError("nobody asks any more")

    left = asyncio.create_task(slots.run(work))
    await asyncio.to_thread(begun.wait, 10)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    following = asyncio.create_task(slots.run(int, 7))
    await asyncio.sleep(0.05)
    assert not following.done()
    release.set()
    assert await following == 7
