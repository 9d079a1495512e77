"""Reader studies as a page: one's own progress, the next case, the figures once all is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.store.reader_studies import Next
from gateway.ui.html import Child, Html, outside, tag
from gateway.ui.page import Visit, keys_dialog, page
from gateway.ui.words import Words

KEYS = (("n", "key_next_case"), ("u", "key_back"), ("?", "key_help"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderStudy:
    """One of them, as whoever looks may see it."""

    study: Mapping[str, Any]
    """As the api tells it: with ``cases``, and ``progress`` where figures may be seen."""

    standing: Next | None = None
    """Where whoever looks stands; None where he is none of its readers."""

    read: int = 0
    of: int = 0
    exports: bool = False
    """Whether the readings may be had as CSV."""


def reader_studies_page(visit: Visit, studies: Sequence[ReaderStudy]) -> str:
    """Write the page."""
    words = visit.words
    first = next((s for s in studies if s.standing and s.standing.state in _BUTTONS), None)
    cards = [_card(visit, one, first=one is first) for one in studies]
    return page(
        visit,
        words("reader_studies"),
        tag(
            "main",
            tag(
                "p",
                tag("a", words("worklist"), href="/ui"),
                class_="onward",
            ),
            tag("h1", words("reader_studies")),
            cards or tag("p", words("no_reader_studies"), class_="empty"),
        ),
        tag("div", id="told", class_="unseen", role="status"),
        keys_dialog(words, KEYS),
        kind="reader-studies",
        scripts=("reader_studies.js",),
    )


_BUTTONS = {"ready": "next_case", "reading": "go_on"}
"""Where one stands → what one does next."""

_HINTS = {"ready": "clock_starts", "reading": "clock_runs", "done": "all_read"}


def _card(visit: Visit, one: ReaderStudy, *, first: bool) -> Html:
    words, study = visit.words, one.study
    identifier = study["reader_study_id"]
    title = f"study-{identifier}"
    described = (
        f"{words('readers')}: {len(study['readers'])}",
        f"{words('cases')}: {study['cases']}" if "cases" in study else "",
        str(study["created_at"])[:10],
    )
    return tag(
        "article",
        tag("h2", outside(study["name"], 120), id=title),
        tag("p", " · ".join(part for part in described if part), class_="muted"),
        _standing(words, one, identifier, first=first),
        _figures(words, study.get("progress") or ()),
        tag(
            "p",
            tag(
                "a",
                words("export"),
                href=f"/v1/reader-studies/{identifier}/export",
                class_="button",
                download=True,
            ),
        )
        if one.exports
        else None,
        class_="reader-study",
        aria_labelledby=title,
        data_study=identifier,
    )


def _standing(words: Words, one: ReaderStudy, identifier: str, *, first: bool) -> Child:
    stands = one.standing
    if stands is None:
        return tag("p", words("not_yours"), class_="muted")
    read = f"{one.read} / {one.of}"
    bar = tag(
        "p",
        tag(
            "progress", value=one.read, max=max(one.of, 1), aria_label=f"{words('read_of')} {read}"
        ),
        tag("span", f"{words('read_of')} {read}"),
        class_="row",
    )
    if stands.resumes_at is not None:
        when = stands.resumes_at.strftime("%Y-%m-%d %H:%M UTC")
        return bar, tag("p", words("washing_out"), " ", tag("b", when), class_="notice")
    hint = tag("span", words(_HINTS[stands.state]), class_="muted")
    if stands.state not in _BUTTONS:
        return bar, tag("p", hint)
    button = tag(
        "button",
        words(_BUTTONS[stands.state]),
        " ",
        tag("kbd", "n", aria_hidden="true") if first else None,
        data_next=identifier,
        class_="strong",
        autofocus=first,
    )
    return bar, tag("p", button, hint, class_="row")


def _figures(words: Words, progress: Sequence[Mapping[str, Any]]) -> Html | None:
    """Show each reader's progress, and time and sensitivity of those who have read all."""
    if not progress:
        return None
    heads = ("reader", "read_of", "findings_arm", "median_seconds", "sensitivity", "false_marks")
    rows: list[Child] = []
    for one in progress:
        name = (
            tag("th", outside(one["reader"], 60), scope="row", rowspan=len(one["figures"] or "-")),
            tag("td", f"{one['read']} / {one['of']}", rowspan=len(one["figures"] or "-")),
        )
        if not one["figures"]:
            rows.append(tag("tr", name, [tag("td", "–") for _ in heads[2:]]))
            continue
        for place, arm in enumerate(one["figures"]):
            share = arm["sensitivity"]
            told = (
                words("with_ai" if arm["with_findings"] else "without_ai"),
                f"{arm['median_seconds']:.0f} s",
                "–" if share is None else f"{share:.0%} ({arm['hits']}/{arm['lesions']})",
                arm["false_marks"],
            )
            rows.append(tag("tr", name if place == 0 else None, [tag("td", one) for one in told]))
    return tag(
        "table",
        tag("caption", words("readings"), class_="unseen"),
        tag("thead", tag("tr", [tag("th", words(head), scope="col") for head in heads])),
        tag("tbody", rows),
        class_="figures",
    )
