"""What a reader marks without the findings, and his marks beside the truth once they are signed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.ui.html import Child, Html, outside, tag
from gateway.ui.words import Words
from gateway.ui.worklist import title_of

if TYPE_CHECKING:
    from gateway.ui.view import Study

SAID = ("saved", "remove", "diameter", "slice", "marked")
"""Words that the script says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """What a reader marks now."""

    purpose: str
    """``teaching`` or ``study``."""

    review: str | None = None
    """His draft, where he has begun it."""

    reading: Mapping[str, Any] | None = None
    """Of a reader study: ``reader_study_id``, ``name``, ``session``, ``position``, ``of`` and
    ``with_findings``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Marks that were signed."""

    marks: Sequence[Mapping[str, Any]]
    comparison: Mapping[str, Any]
    """As `gateway.review.comparison.compare` gives it, and ``against``."""

    truth: Sequence[Mapping[str, Any]]
    """Checks with the lesions that they were compared with."""

    @property
    def missed(self) -> frozenset[tuple[str, int]]:
        """Check and lesion of each miss."""
        checks = self.comparison["checks"]
        return frozenset((name, number) for name in checks for number in checks[name]["misses"])

    @property
    def hit(self) -> dict[int, tuple[str, int]]:
        """Index of a mark → check and lesion that it hit."""
        checks = self.comparison["checks"]
        return {
            one["mark"]: (name, one["lesion"]) for name in checks for one in checks[name]["hits"]
        }


def marks_of(words: Words, shown: Study) -> list[dict[str, Any]]:
    """Give the script the signed marks, and the misses that only the final report has."""
    compared = shown.compared
    if compared is None:
        return []
    hit = compared.hit
    told = [
        {
            "check": "mark",
            "id": index + 1,
            "name": str(index + 1),
            "label": f"{index + 1}: {words('hit' if index in hit else 'false_mark')}",
            "centre_mm": mark["centre_mm"],
            "mm": mark.get("diameter_mm"),
            "outcome": "hit" if index in hit else "struck",
        }
        for index, mark in enumerate(compared.marks)
    ]
    for name, number, lesion in _missed(compared):
        if not _is_listed(shown, name, number):
            told.append(
                {
                    "check": "miss",
                    "id": f"{name}-{number}",
                    "name": f"{name} {number}",
                    "label": f"{name} {number}: {words('missed')}",
                    "centre_mm": lesion["centre_mm"],
                    "mm": lesion.get("mean_diameter_mm"),
                    "outcome": "flagged",
                }
            )
    return told


def marks_panel(words: Words, shown: Study) -> Html:
    """Write the panel in which a reader marks; its script fills the list."""
    marking = shown.marking
    assert marking is not None
    reading = marking.reading
    checks = [
        tag("option", title_of(words, shown.manifests, name), value=name)
        for name in shown.result["requested_checks"]
    ]
    shows = reading is not None and reading["with_findings"]
    told = "marks_with_findings" if shows else "marks_hidden"
    signs: Child = tag(
        "button", words("sign_marks"), id="mark-sign", class_="strong", disabled=True
    )
    if reading is not None:
        signs = (
            tag("button", words("sign_next"), id="mark-sign-next", class_="strong", disabled=True),
            tag(
                "button", words("sign_stop"), id="mark-sign", class_="strong second", disabled=True
            ),
        )
    return tag(
        "section",
        tag("h2", words("your_marks"), id="marks-title"),
        _reading(words, reading) if reading else None,
        tag("p", words(told), class_="muted"),
        tag(
            "p",
            tag("label", tag("span", words("check")), tag("select", checks, id="mark-check")),
            tag(
                "button",
                words("mark_here"),
                " ",
                tag("kbd", "k", aria_hidden="true"),
                id="mark-add",
                disabled=True,
            )
            if shown.has_pictures
            else None,
            class_="row",
        ),
        tag("ol", id="mark-list", class_="lesions"),
        tag("p", words("no_marks"), class_="muted"),
        tag(
            "label",
            tag("span", words("comment")),
            tag(
                "textarea",
                id="mark-comment",
                rows=2,
                maxlength=10000,
                dir="auto",
                disabled=True,
            ),
        ),
        tag("p", tag("button", words("save"), id="mark-save", disabled=True), signs),
        tag("p", id="mark-state", class_="muted", role="status"),
        id="marks",
        class_="review marks",
        aria_labelledby="marks-title",
        data_screening=shown.result["screening_id"],
        data_review=marking.review,
        data_study=reading["reader_study_id"] if reading else None,
        data_words=json.dumps({key: words(key) for key in SAID}, ensure_ascii=False),
    )


def comparison_panel(words: Words, shown: Study) -> Html:
    """Write what was hit, missed and marked falsely, check by check."""
    compared = shown.compared
    assert compared is not None
    told, hit = compared.comparison, compared.hit
    share = told["sensitivity"]
    rows: list[Child] = []
    for index, mark in enumerate(compared.marks):
        outcome = f"{words('hit')} · {hit[index][0]} {hit[index][1]}" if index in hit else None
        rows.append(
            _row(
                title_of(words, shown.manifests, mark["check"]),
                outcome or words("false_mark"),
                f"mark/{index + 1}",
                str(index + 1),
                "hit" if outcome else "struck",
            )
        )
    for name, number, _ in _missed(compared):
        title = title_of(words, shown.manifests, name)
        listed = _is_listed(shown, name, number)
        jump = f"{name}/{number}" if listed else f"miss/{name}-{number}"
        rows.append(_row(title, words("missed"), jump, str(number), "missed"))
    figures = (
        ("hit", told["hits"]),
        ("missed", told["misses"]),
        ("false_marks", told["false_marks"]),
        ("sensitivity", "–" if share is None else f"{share:.0%}"),
    )
    return tag(
        "section",
        tag("h2", words("your_marks"), id="marks-title"),
        tag("p", words(f"against_{told['against']}"), class_="muted"),
        tag(
            "dl",
            [tag("div", tag("dt", words(k)), tag("dd", v)) for k, v in figures],
            class_="figures",
        ),
        tag("ol", rows, class_="lesions") if rows else None,
        class_="review marks",
        id="compared",
        aria_labelledby="marks-title",
    )


def _reading(words: Words, reading: Mapping[str, Any]) -> Html:
    place = f"{reading['position']} / {reading['of']}"
    return tag(
        "p",
        tag("b", outside(reading["name"], 60)),
        tag("span", f"{words('session')} {reading['session']}", class_="chip"),
        tag("span", f"{words('case')} {place}", class_="chip"),
        class_="row",
    )


def _row(title: str, outcome: str, jump: str, number: str, kind: str) -> Html:
    return tag(
        "li",
        tag(
            "button",
            tag("span", number, class_="number"),
            tag("span", title, class_="label"),
            tag("span", outcome, class_="numbers"),
            data_lesion=jump,
            class_=f"lesion {kind}",
        ),
    )


def _missed(compared: Compared) -> list[tuple[str, int, Mapping[str, Any]]]:
    """Find the place of each miss; one that the truth has no more is left out."""
    found = {
        (check["check"], lesion["id"]): lesion
        for check in compared.truth
        for lesion in check["lesions"]
    }
    return [(*key, found[key]) for key in sorted(compared.missed) if key in found]


def _is_listed(shown: Study, check: str, number: int) -> bool:
    """Whether the page lists the lesion beside its check."""
    return any(
        lesion["id"] == number and lesion["marked"]
        for one in shown.result["checks"]
        if one["check"] == check
        for lesion in one["lesions"]
    )
