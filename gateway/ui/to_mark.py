"""The studies that a reader who learns has yet to mark; nothing hints at their findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gateway.ui.html import Html, outside, plain, tag
from gateway.ui.page import Visit, chip, date_of, page, patient_line, patient_name
from gateway.ui.worklist import age


def to_mark_page(visit: Visit, rows: Sequence[Mapping[str, Any]], now: datetime) -> str:
    """Write the page."""
    words = visit.words
    heads = ("patient", "study", "status", "waiting")
    table = tag(
        "table",
        tag("caption", words("to_mark"), class_="unseen"),
        tag("thead", tag("tr", [tag("th", words(head), scope="col") for head in heads])),
        tag("tbody", [_row(visit, row, now) for row in rows]),
        class_="figures",
    )
    return page(
        visit,
        words("to_mark"),
        tag(
            "main",
            tag("p", tag("a", words("worklist"), href="/ui"), class_="onward"),
            tag("h1", words("to_mark")),
            tag("p", words("marks_hidden"), class_="muted"),
            table if rows else tag("p", words("nothing_to_mark"), class_="empty"),
        ),
        kind="reader-studies",
        scripts=("common.js",),
    )


def _row(visit: Visit, row: Mapping[str, Any], now: datetime) -> Html:
    words, attributes = visit.words, row["attributes"] or {}
    modality = "/".join(plain(item, 4) for item in (row["modalities"] or [])[:4])
    described = (date_of(attributes), modality, plain(attributes.get("StudyDescription"), 48))
    name = patient_name(attributes, words.language) or "–"
    return tag(
        "tr",
        tag(
            "th",
            tag("a", outside(name, 60), href=f"/ui/screenings/{row['screening_id']}"),
            tag(
                "span",
                outside(attributes.get("PatientID"), 40),
                " ",
                patient_line(attributes),
                class_="muted line",
            ),
            scope="row",
        ),
        tag("td", tag("bdi", " · ".join(part for part in described if part))),
        tag("td", chip(words, "begun") if row["begun"] else None),
        tag("td", age(now, row["created_at"])),
    )
