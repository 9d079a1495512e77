"""What is not HTML is text, whatever it holds."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ui.html import UNSEEN, outside, plain, tag
from gateway.ui.page import patient_name
from gateway.ui.scale import threshold_scale
from gateway.ui.words import _WORDS, Words, choose_language


class Read(HTMLParser):
    """What a browser sees."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_text_comes_back_as_text(text: str) -> None:
    """As a child and as an attribute, no element and no attribute more."""
    seen = Read(tag("p", text, title=text))
    assert seen.tags == [("p", {"title": text})]
    assert seen.text.replace("\r\n", "\n") == text.replace("\r\n", "\n")


@given(st.text(max_size=2000))
def test_a_line_from_outside_is_short_and_turns_nothing(text: str) -> None:
    """No control characters, no newlines, no characters that change the direction."""
    line = plain(text, 60)
    assert len(line) <= 60
    assert not UNSEEN.search(line)
    assert "\n" not in line
    seen = Read(outside(text))
    assert seen.tags == [("bdi", {})]


@pytest.mark.parametrize(
    ("value", "english", "chinese"),
    [
        ("Doe^Jane^Q", "Doe Jane Q", "Doe Jane Q"),
        ("Wang^XiaoDong=王^小东=", "Wang XiaoDong 王 小东", "王 小东 Wang XiaoDong"),
        ("=王^小东", "王 小东", "王 小东"),
        ("", "", ""),
        (["A^B", "C"], "A B", "A B"),
        ("=" * 70_000, "", ""),
        (None, "", ""),
    ],
)
def test_names_as_people_write_them(value: object, english: str, chinese: str) -> None:
    """The group of the language first; a long or empty one is no error."""
    assert patient_name({"PatientName": value}, "en") == english
    assert patient_name({"PatientName": value}, "zh") == chinese


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "chosen"),
    [
        ("zh", "en", "en", "zh"),
        ("", "zh", "en", "zh"),
        ("", "", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "", "en;q=0.3, zh-TW;q=0.5", "zh"),
        ("", "", "fr, de;q=x", "en"),
        ("<script>", "x", "", "en"),
    ],
)
def test_the_language(asked: str, kept: str, accepted: str, chosen: str) -> None:
    """What was clicked, what was clicked before, what the browser prefers, English."""
    assert choose_language(asked, kept, accepted) == chosen


def test_every_word_is_there_in_both_languages() -> None:
    """Neither is empty, and Chinese is Chinese."""
    assert all(all(pair) for pair in _WORDS.values())
    assert Words("zh").name("not_evaluated") == "未评估"
    assert Words("en").name("some_kind") == "some kind"


@pytest.mark.parametrize("score", [0.05, 0.4, 0.9, 31.0, -3.0])
def test_a_scale_holds_its_three_numbers(score: float) -> None:
    """Whatever the unit, score and thresholds are drawn within the axis."""
    thresholds = {
        "mark": 0.3 if score < 1 else 6.4,
        "flag": 17.4 if score > 1 else 0.6,
        "unit": "1",
    }
    drawn = threshold_scale(Words("en"), score, thresholds)
    assert drawn is not None
    tags = Read(drawn).tags
    places = [float(a["cx"] or 0) for n, a in tags if n == "circle"]
    places += [float(a["x1"] or 0) for n, a in tags if n == "line"]
    assert all(10 <= place <= 310 for place in places)
    said = next(a["aria-label"] for n, a in tags if n == "svg")
    assert f"{score:.3g}" in str(said)
