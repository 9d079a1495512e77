"""The reading list as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from gateway.screening.manifest import STATES, Manifest
from gateway.store.queue import LANES
from gateway.store.worklist import PAGE_ROWS, URGENCIES
from gateway.ui.html import Child, Html, join, outside, plain, tag
from gateway.ui.page import (
    Visit,
    chip,
    date_of,
    keys_dialog,
    page,
    patient_line,
    patient_name,
)
from gateway.ui.words import Words

KEYS = (
    ("j k", "key_next"),
    ("Enter", "key_open"),
    ("/", "key_search"),
    ("a", "key_acknowledge"),
    ("?", "key_help"),
)

SCREENING_STATES = ("accepted", "running", "done", "failed")

REPORTS = {"": "unsigned", "signed": "signed", "all": "any"}
"""Value of the field → its word; what is signed has left the list unless it is asked for."""

_WEIGHT = {state: place for place, state in enumerate(STATES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class List:
    """What the page shows."""

    rows: Sequence[Mapping[str, Any]]
    critical: Sequence[Mapping[str, Any]]
    patients: Mapping[str, Mapping[str, Any]]
    """Study → attributes, of the studies with critical results."""

    manifests: Mapping[str, Manifest]
    filters: Mapping[str, str]
    """As they were asked for, by the names of the form."""

    number: int
    now: datetime
    reader_studies: bool = False
    """Whether whoever looks has a part in a reader study."""

    learns: bool = False
    """Whether he marks studies before he sees their findings."""


def worklist_page(visit: Visit, shown: List) -> str:
    """Write the page."""
    words = visit.words
    return page(
        visit,
        words("worklist"),
        tag(
            "main",
            tag("h1", words("worklist"), class_="unseen"),
            _onward(words, shown),
            _filters(words, shown),
            tag("div", live_part(visit, shown), id="live", aria_live="off"),
        ),
        tag("div", id="told", class_="unseen", role="status"),
        keys_dialog(words, KEYS),
        kind="worklist",
        scripts=("worklist.js",),
    )


def _onward(words: Words, shown: List) -> Html | None:
    """Lead to what somebody reads by himself."""
    links = [
        tag("a", words(name), href=href, class_="button")
        for name, href, there in (
            ("to_mark", "/ui/to-mark", shown.learns),
            ("reader_studies", "/ui/reader-studies", shown.reader_studies),
        )
        if there
    ]
    return tag("nav", links, aria_label=words("review"), class_="onward") if links else None


def live_part(visit: Visit, shown: List) -> Html:
    """Write what changes: critical results and the list."""
    return join((_critical(visit, shown), _table(visit.words, shown)))


def _critical(visit: Visit, shown: List) -> Html | None:
    words = visit.words
    if not shown.critical:
        return None
    return tag(
        "section",
        tag(
            "h2", words("critical_results"), " ", tag("b", len(shown.critical)), id="critical-title"
        ),
        tag("ul", [_critical_row(visit, shown, row) for row in shown.critical]),
        class_="critical-results",
        aria_labelledby="critical-title",
    )


def _critical_row(visit: Visit, shown: List, row: Mapping[str, Any]) -> Html:
    words = visit.words
    attributes = shown.patients.get(row["study_instance_uid"], {})
    late = row["due_at"] is None
    asked: Child = (
        (words("asked"), " ", tag("b", outside(row["asked"], 64)))
        if row["asked"]
        else words("nobody_yet")
    )
    return tag(
        "li",
        tag("span", title_of(words, shown.manifests, row["check_name"]), class_="what"),
        tag(
            "span",
            outside(patient_name(attributes, words.language) or "–"),
            " ",
            tag("span", outside(attributes.get("PatientID"), 64), class_="muted"),
            class_="patient",
        ),
        tag("span", age(shown.now, row["raised_at"]), class_="age"),
        tag(
            "span",
            asked,
            tag("em", words("overdue")) if late else None,
            tag("em", words("escalated")) if row["level"] and not late else None,
            tag("span", f"{words('next_in')} {age(row['due_at'], shown.now)}", class_="muted")
            if row["due_at"] and row["asked"]
            else None,
            class_="asked",
        ),
        tag(
            "button",
            words("acknowledge"),
            data_acknowledge=str(row["critical_id"]),
            class_="strong",
        )
        if visit.may_review
        else None,
        tag("a", words("open"), href=f"/ui/screenings/{row['screening_id']}", class_="button"),
        data_level=row["level"],
    )


def _table(words: Words, shown: List) -> Html:
    rows = shown.rows[:PAGE_ROWS]
    heads = ("urgency", "patient", "study", "findings", "status", "waiting")
    body: Child = [_row(words, shown, row) for row in rows]
    if not rows:
        body = tag("tr", tag("td", words("empty"), colspan=len(heads), class_="empty"))
    return join(
        (
            tag(
                "table",
                tag("caption", words("studies"), class_="unseen"),
                tag("thead", tag("tr", [tag("th", words(head), scope="col") for head in heads])),
                tag("tbody", body),
                class_="studies",
            ),
            _pages(words, shown),
        )
    )


def _row(words: Words, shown: List, row: Mapping[str, Any]) -> Html:
    attributes = row["attributes"] or {}
    href = f"/ui/screenings/{row['screening_id']}"
    urgency = URGENCIES[row["urgency"]]
    name = patient_name(attributes, words.language) or plain(row["study_instance_uid"], 24)
    modality = "/".join(plain(item, 4) for item in (row["modalities"] or [])[:4])
    described = (date_of(attributes), modality, plain(attributes.get("StudyDescription"), 48))
    return tag(
        "tr",
        tag("td", chip(words, urgency) if row["urgency"] < 4 else tag("span", "–", class_="muted")),
        tag(
            "th",
            tag("a", outside(name, 60), href=href),
            tag(
                "span",
                outside(attributes.get("PatientID"), 40),
                " ",
                patient_line(attributes),
                class_="muted line",
            ),
            scope="row",
        ),
        tag(
            "td",
            tag("bdi", " · ".join(part for part in described if part)),
            class_="described",
        ),
        tag("td", _findings(words, shown, row), class_="found"),
        tag(
            "td",
            chip(words, row["state"]),
            chip(words, row["lane"]) if row["lane"] != "routine" else None,
            chip(words, "signed") if row["signed"] else None,
            tag(
                "span",
                words("failed_again" if row["newer_state"] == "failed" else "runs_again"),
                class_="muted line",
            )
            if row["newer_state"]
            else None,
        ),
        tag("td", age(shown.now, row["created_at"]), class_="age"),
        data_key=str(row["screening_id"]),
        data_href=href,
        class_=f"is-{urgency}",
    )


def _findings(words: Words, shown: List, row: Mapping[str, Any]) -> Child:
    """Name what shows something by its title, and count the rest by state."""
    seen = sorted(
        (one for one in row["results"] if one["state"] == "positive" or one["marked"]),
        key=lambda one: (_rank(one["urgency"]), _WEIGHT[one["state"]], one["check"]),
    )
    named: list[Child] = [
        tag(
            "span",
            title_of(words, shown.manifests, one["check"]),
            tag("b", f" {plain(words.name(one['grade']), 28)}") if one["grade"] else None,
            class_=f"finding {one['state']} {one['urgency'] or 'note'}",
            title=plain(words.of(one["text"]), 300) or None,
        )
        for one in seen
    ]
    rest: dict[str, int] = {}
    for one in row["results"]:
        if one not in seen:
            rest[one["state"]] = rest.get(one["state"], 0) + 1
    waiting = len(row["checks"]) - len(row["results"])
    counted = [f"{rest[state]} {words(state)}" for state in STATES if rest.get(state)]
    if waiting > 0 and row["state"] in ("accepted", "running"):
        counted.append(f"{waiting} {words('accepted')}")
    if row["state"] == "failed" and row["error_code"]:
        counted.append(plain(row["error_code"], 40))
    return (*named, tag("span", " · ".join(counted), class_="rest") if counted else None)


def _filters(words: Words, shown: List) -> Html:
    given = shown.filters

    def choice(name: str, label: str, options: Iterable[tuple[str, str]]) -> Html:
        return tag(
            "label",
            tag("span", words(label)),
            tag(
                "select",
                tag("option", words("any"), value=""),
                [
                    tag("option", said, value=value, selected=given.get(name) == value)
                    for value, said in options
                ],
                name=name,
            ),
        )

    def field(name: str, label: str, kind: str) -> Html:
        return tag(
            "label",
            tag("span", words(label)),
            tag("input", type=kind, name=name, value=given.get(name, ""), maxlength=64),
        )

    checks = [name for name, manifest in shown.manifests.items() if manifest.is_check]
    return tag(
        "form",
        choice("urgency", "urgency", ((one, words(one)) for one in URGENCIES)),
        choice("check", "check", ((n, title_of(words, shown.manifests, n)) for n in checks)),
        choice("check_state", "result", ((one, words(one)) for one in STATES)),
        choice("state", "status", ((one, words(one)) for one in SCREENING_STATES)),
        choice("lane", "lane", ((one, words(one)) for one in LANES)),
        tag(
            "label",
            tag("span", words("report")),
            tag(
                "select",
                [
                    tag("option", words(said), value=value, selected=given.get("report") == value)
                    for value, said in REPORTS.items()
                ],
                name="report",
            ),
        ),
        field("date_from", "from", "date"),
        field("date_to", "to", "date"),
        field("patient", "patient_id", "search"),
        tag("button", words("apply")),
        tag("a", words("clear"), href="/ui", class_="button quiet"),
        action="/ui",
        method="get",
        role="search",
        aria_label=words("filters"),
        class_="filters",
    )


def _pages(words: Words, shown: List) -> Html | None:
    links: list[Child] = []
    for number, label, there in (
        (shown.number - 1, "previous_page", shown.number > 1),
        (shown.number + 1, "next_page", len(shown.rows) > PAGE_ROWS),
    ):
        if there:
            asked = {**{k: v for k, v in shown.filters.items() if v}, "page": number}
            links.append(tag("a", words(label), href=f"/ui?{urlencode(asked)}", class_="button"))
    return tag("nav", links, aria_label=words("studies"), class_="pages") if links else None


def title_of(words: Words, manifests: Mapping[str, Manifest], check: str) -> str:
    """Give the title of a check; one that is not installed any more keeps its name."""
    manifest = manifests.get(check)
    if manifest is None:
        return words.name(check)
    return manifest.title.zh if words.language == "zh" else manifest.title.en


def age(now: datetime, then: datetime) -> str:
    """Give a time between two moments in its largest unit."""
    seconds = max(0.0, (now - then).total_seconds())
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= length:
            return f"{int(seconds // length)} {unit}"
    return f"{int(seconds)} s"


def _rank(urgency: str | None) -> int:
    return URGENCIES.index(urgency) if urgency in URGENCIES else len(URGENCIES)
