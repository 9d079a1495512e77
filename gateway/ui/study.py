"""A study as a page: its slices, its findings, the reader's review."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.ui.check import check_card
from gateway.ui.html import Html, outside, plain, tag
from gateway.ui.marks import comparison_panel, marks_panel
from gateway.ui.page import Visit, chip, date_of, keys_dialog, page, patient_line, patient_name
from gateway.ui.review import review_panel
from gateway.ui.view import PRESETS, Study, kinds_of, view_of
from gateway.ui.words import Words
from gateway.ui.worklist import title_of

PLANES = ("axial", "coronal", "sagittal")

KEYS = (
    ("↑ ↓ PgUp PgDn", "key_slices"),
    ("1 2 3 4", "key_window"),
    ("s w m", "key_tools"),
    ("b o", "key_shown"),
    ("n p", "key_finding"),
    ("x", "key_plane"),
    ("r Backspace", "key_reset"),
)

JUDGING_KEYS = (("a d c", "key_judge"), ("k Delete", "key_add"))
MARKING_KEYS = (("k Delete", "key_mark"),)
LAST_KEYS = (("u", "key_back"), ("?", "key_help"))


def study_page(visit: Visit, shown: Study) -> str:
    """Write the page."""
    words, attributes = visit.words, shown.attributes
    name = patient_name(attributes, words.language)
    view = json.dumps(view_of(words, shown), ensure_ascii=False)
    judges = shown.reviews and visit.may_review
    keys = JUDGING_KEYS if judges else MARKING_KEYS if shown.marking else ()
    return page(
        visit,
        name or words("study"),
        tag(
            "main",
            _viewer(words, shown),
            tag(
                "aside",
                _head(visit, shown, name),
                _notes(visit, shown),
                marks_panel(words, shown) if shown.marking else None,
                comparison_panel(words, shown) if shown.compared else None,
                _cards(words, shown, judged=judges),
                review_panel(words, shown.result["screening_id"], _kinds(shown))
                if judges
                else None,
                tabindex=0,
                aria_label=words("findings"),
            ),
            id="study",
            data_view=view,
            class_="study",
        ),
        tag("div", id="told", class_="unseen", role="status"),
        keys_dialog(words, (*KEYS, *keys, *LAST_KEYS)),
        kind="reading",
        scripts=("viewer.js",),
    )


def _viewer(words: Words, shown: Study) -> Html:
    usable = [one for one in shown.volumes or () if one["shape"]]
    if not usable:
        told = "no_pixels" if shown.volumes is None else "no_volume"
        return tag("section", tag("p", words(told), class_="empty"), class_="viewer none")
    panes = [
        tag(
            "figure",
            tag("canvas", tabindex=0, role="img", aria_label=words(plane)),
            tag("figcaption", tag("b", words(plane)), tag("span", class_="place")),
            tag("span", class_="sides", aria_hidden="true"),
            class_="pane" + (" large" if plane == "axial" else ""),
            data_plane=plane,
        )
        for plane in PLANES
    ]
    return tag(
        "section",
        _toolbar(words, usable),
        tag("div", panes, class_="panes"),
        tag("output", id="readout"),
        class_="viewer",
        aria_label=words("study"),
    )


def _toolbar(words: Words, volumes: Sequence[Mapping[str, Any]]) -> Html:
    def press(label: str, *, on: bool, **data: str) -> Html:
        return tag("button", words(label), aria_pressed="true" if on else "false", **data)

    series = tag(
        "label",
        tag("span", words("series"), class_="unseen"),
        tag(
            "select",
            [
                tag(
                    "option",
                    plain(one["description"] or one["modality"], 40),
                    f" · {one['shape'][0]}",
                    value=one["key"],
                )
                for one in volumes
            ],
            id="series",
        ),
    )
    return tag(
        "div",
        series,
        tag("span", [press(n, on=n == "soft", data_preset=n) for n in PRESETS], class_="group"),
        tag(
            "span",
            [press(n, on=n == "scroll", data_tool=n) for n in ("scroll", "window", "measure")],
            class_="group",
        ),
        tag(
            "span",
            [press(n, on=True, data_layer=n) for n in ("boxes", "outlines")],
            class_="group",
        ),
        tag("button", words("reset"), id="reset"),
        tag("button", "?", id="keys", aria_label=words("help")),
        role="toolbar",
        aria_label=words("study"),
        class_="tools",
    )


def _head(visit: Visit, shown: Study, name: str) -> Html:
    words, attributes, result = visit.words, shown.attributes, shown.result
    described = (date_of(attributes), plain(attributes.get("StudyDescription"), 80))
    return tag(
        "header",
        tag("h1", outside(name or result["study"]["study_instance_uid"] or "–")),
        tag(
            "p",
            outside(attributes.get("PatientID"), 64),
            " ",
            patient_line(attributes),
            tag("span", tag("bdi", " · ".join(one for one in described if one)), class_="line"),
        ),
        tag(
            "p",
            chip(words, result["state"]),
            chip(words, result["lane"]) if result["lane"] != "routine" else None,
            tag("span", f"{words('version')} {result['version']}", class_="muted"),
            tag("a", words("worklist"), href="/ui", id="back"),
        ),
        class_="who-is-it",
    )


def _notes(visit: Visit, shown: Study) -> list[Html]:
    words = visit.words
    notes = []
    if shown.newer:
        there = tag("a", words("open"), href=f"/ui/screenings/{shown.newer}")
        notes.append(tag("p", words("newer"), " ", there, class_="notice"))
    if shown.hidden and shown.marking is None:
        there = tag("a", words("reader_studies"), href="/ui/reader-studies")
        notes.append(
            tag("p", words("hidden"), " ", there if visit.may_review else None, class_="notice")
        )
    error = shown.result["error"]
    if error:
        said = (tag("code", plain(error["code"], 60)), " ", outside(error["message"], 300))
        notes.append(tag("p", said, class_="notice failed"))
    for row in shown.critical:
        title = title_of(words, shown.manifests, row["check_name"])
        if row["acknowledged_at"]:
            when = row["acknowledged_at"].strftime("%Y-%m-%d %H:%M UTC")
            who = (words("acknowledged_by"), " ", outside(row["acknowledged_by"], 64), ", ", when)
            notes.append(tag("p", tag("b", title), ": ", who, class_="notice"))
            continue
        button = tag(
            "button",
            words("acknowledge"),
            data_acknowledge=str(row["critical_id"]),
            class_="strong",
        )
        notes.append(
            tag(
                "p",
                chip(words, "critical"),
                tag("b", title),
                tag("span", words("asked"), " ", outside(row["asked"], 64))
                if row["asked"]
                else None,
                button if visit.may_review else None,
                class_="notice critical",
            )
        )
    return notes


def _kinds(shown: Study) -> dict[str, list[str]]:
    return {
        one["check"]: kinds_of(shown.manifests.get(one["check"]), one)
        for one in shown.result["checks"]
    }


def _cards(words: Words, shown: Study, *, judged: bool) -> Html:
    kinds = _kinds(shown) if judged else {}
    cards = [
        check_card(
            words, title_of(words, shown.manifests, one["check"]), one, kinds.get(one["check"])
        )
        for one in shown.result["checks"]
    ]
    done = {one["check"] for one in shown.result["checks"]}
    for name in shown.result["requested_checks"]:
        if name not in done and not shown.result["finished_at"]:
            title = tag("h3", title_of(words, shown.manifests, name))
            cards.append(
                tag(
                    "article",
                    tag("header", title, chip(words, "accepted", "state")),
                    tag("p", words("waits"), class_="muted"),
                    class_="check waits",
                )
            )
    plan = (shown.result["plan"] or {}).get("checks", [])
    chosen = [
        (
            tag("dt", title_of(words, shown.manifests, step["check"])),
            tag("dd", outside(step["explanation"], 400)),
        )
        for step in plan
    ]
    why = tag("details", tag("summary", words("quality")), tag("dl", chosen)) if plan else None
    return tag("section", cards, why, class_="checks", id="checks", aria_label=words("findings"))
