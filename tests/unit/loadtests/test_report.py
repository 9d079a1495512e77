"""The report and what the terminal says, from a recorded run."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from loadtests import report
from loadtests.payloads import describe
from loadtests.records import Found
from loadtests.report import page, write_report
from loadtests.told import ledger, tell
from loadtests.verdict import judge, profile
from tests.unit.loadtests.recorded_run import recorded, study

PICTURE = re.compile(r'<img src="data:image/svg\+xml;base64,([^"]+)" alt="([^"]+)">')


def about(shape: str = "day") -> dict[str, Any]:
    """What `loadtests.load` says of a run."""
    return {
        "profile": "small",
        "targets": profile("small", shape) | {"seconds": 120},
        "shape_says": "a national day",
        "payload": "scaled down: 256×256, 97 slices, synthetic phantoms",
        "seed": 3,
        "begun": "2026-11-21T18:00:00+00:00",
        "own_server": True,
        "dimse": True,
        "machine": {
            "cores": 2,
            "memory_gb": 24,
            "processor": "A processor",
            "commit": "abc1234",
            "cores_busy": 1.9,
            "cores_own": 1.5,
            "cores_others": 0.4,
            "load": 3.0,
        },
    }


def written(found: Found, shape: str = "day") -> str:
    """The page of a run."""
    told = about(shape)
    return page(found, judge(found, told["targets"]), told)


class _Balanced(HTMLParser):
    """Holds every element to be closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> str:
    """The text of a page, whose elements are closed as they have to be."""
    parser = _Balanced()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return " ".join(parser.text)


def test_the_page_carries_everything_in_itself() -> None:
    """No address but those of its own pictures; each picture is whole and says what it shows."""
    text = written(recorded())
    pictures = PICTURE.findall(text)
    assert len(pictures) == 8
    for data, says in pictures:
        picture = ElementTree.fromstring(base64.b64decode(data))
        assert picture.tag.endswith("svg")
        assert len(picture.findall(".//{http://www.w3.org/2000/svg}path")) > 10
        assert says
    assert not re.search(r'(src|href)="(?!data:)|@import|url\(|<script', text)


def test_the_page_says_what_was_sent_and_that_it_is_not_clinical() -> None:
    """The scale, the phantoms, the machine, and who else kept it busy."""
    text = read(written(recorded()))
    assert "Scaled down: 256×256, 97 slices, synthetic phantoms." in text
    assert "Nothing here is clinical performance." in text
    assert "2 cores of A processor, 24 GiB; 1.90 cores busy" in text
    assert "0.40 with others" in text
    assert "commit abc1234" in text


def test_the_verdict_is_that_of_the_targets() -> None:
    """One that is missed is named and counted."""
    assert "Pass: all" in read(written(recorded()))
    found = recorded()
    found.lost = ["2.25.1"]
    text = written(found)
    assert re.search(r"Fail: 1 of \d+ targets missed", read(text))
    assert len(re.findall(r'<td class="missed">', text)) == 1
    assert "Lost studies: 1" in read(text)


def test_refusals_are_drawn_when_there_are_any() -> None:
    """By status, DIMSE's among them; the total stands beside what was asked."""
    found = recorded()
    found.refusals = [(1.0, "/dicomweb/studies", 429), (2.0, "C-STORE", 0xA700)]
    text = written(found)
    assert len(PICTURE.findall(text)) == 9
    assert "2 of 200 requests (1 × 429, 1 × A700)" in read(text)


def test_texts_of_the_server_are_no_html() -> None:
    """An error that carries markup is shown as it is."""
    found = recorded()
    found.errors = ["store: <script>alert(1)</script>"]
    assert "<script>" not in written(found)
    assert "<script>alert(1)</script>" in read(written(found))


def test_the_ledger_adds_up() -> None:
    """By lane and way, and in all."""
    found = recorded()
    for number, outcome in enumerate(("wrong", "error", "refused", "open")):
        found.studies[number].outcome = outcome
    found.studies[2].acknowledged = None
    assert ledger(found) == (
        "40 arrived, 39 acknowledged; 36 answered rightly, 1 answered wrongly, 1 failed, "
        "1 refused to the end, 1 still open"
    )
    _, _, last = written(found).rpartition("<table>")
    rows = re.findall(r"<tr[^>]*><td>([^<]+)</td>(.*?)</tr>", last)
    table = {name: [int(n) for n in re.findall(r">(\d+)<", cells)] for name, cells in rows}
    assert table.pop("all") == [sum(column) for column in zip(*table.values(), strict=True)]
    assert all(row[0] == sum(row[2:]) for row in table.values())


@pytest.mark.parametrize(
    "studies",
    [
        pytest.param([], id="none"),
        pytest.param([study(1)], id="one"),
        pytest.param([study(1, acknowledged=None, fetched=None, outcome="error")], id="failed"),
        pytest.param([study(n, lane="backfill") for n in range(3)], id="backfill"),
    ],
)
def test_a_run_that_did_little_is_reported_all_the_same(studies: list[Any]) -> None:
    """A failed run is the one that somebody looks at."""
    found = Found(studies=studies)
    assert "Fail" in read(written(found, "backfill"))


def test_the_terminal_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    """A line a target, the studies, the refusals, the scale, the machine, and a last word."""
    found = recorded()
    found.wrong_answers = ["fatty: done {'liver': 'negative'}"]
    told = about()
    tell(found, judge(found, told["targets"]), told)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "FAIL"
    [missed] = [line.split() for line in lines if line.startswith("MISSED")]
    assert missed == ["MISSED", "wrong", "answers", "1", "of", "at", "most", "0"]
    assert "        wrong answer: fatty: done {'liver': 'negative'}" in lines
    assert "Refusals: none of 200 requests." in lines
    assert any(line.startswith("Sent: scaled down") for line in lines)


def test_a_report_is_written_again_from_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``python -m loadtests.report`` gives the same page, and the verdict as its exit code."""
    found, told = recorded(), about()
    first = tmp_path / "first.html"
    write_report(first, found, judge(found, told["targets"]), told)
    kept = tmp_path / "found.json"
    kept.write_text(json.dumps({"about": told, "found": found.to_json()}))
    again = tmp_path / "again" / "report.html"
    monkeypatch.setattr("sys.argv", ["report", str(kept), "--report", str(again)])
    assert report.main() == 0
    assert again.read_bytes() == first.read_bytes()


def test_a_payload_smaller_than_life_says_so(tmp_path: Path) -> None:
    """And one of 512 rows does not."""
    for number in range(3):
        (tmp_path / f"{number}.dcm").touch()
    assert describe({"a": str(tmp_path)}, 256) == (
        "scaled down: 256×256, 3 slices, synthetic phantoms"
    )
    assert describe({"a": str(tmp_path)}, 512) == "512×512, 3 slices, synthetic phantoms"
