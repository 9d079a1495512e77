"""The frame of every page, and what goes with it: who is signed in, in which language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway import __version__
from gateway.ui.html import Child, Html, outside, plain, tag
from gateway.ui.words import Words

POLICY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Nothing foreign is loaded, no script but our files runs, and nobody frames a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who looks at a page."""

    words: Words
    name: str = ""
    tenant: str = ""
    csrf_token: str = ""
    may_review: bool = False
    here: str = "/ui"
    """Path of the page, for the language switch."""


def page(visit: Visit, title: str, *body: Child, kind: str, scripts: tuple[str, ...] = ()) -> str:
    """Write a whole page."""
    words = visit.words
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{plain(title, 60)} · OneScan"),
        tag("link", rel="icon", href="/ui/static/icon.svg", type="image/svg+xml"),
        tag("link", rel="stylesheet", href=f"/ui/static/ui.css?{__version__}"),
        [tag("script", type="module", src=f"/ui/static/{name}?{__version__}") for name in scripts],
    )
    inside = tag(
        "body",
        _bar(visit),
        *body,
        class_=kind,
        data_csrf=visit.csrf_token or None,
    )
    lang = "zh-CN" if words.language == "zh" else "en"
    return f"<!doctype html>{tag('html', head, inside, lang=lang)}"


def patient_name(attributes: Mapping[str, Any], language: str) -> str:
    """Give (0010,0010) *Patient's Name* as people write it: the group that fits the language."""
    value = attributes.get("PatientName") or ""
    if isinstance(value, list):
        value = value[0] if value else ""
    groups = [plain(group.replace("^", " ")) for group in str(value)[:1000].split("=")[:3]]
    alphabetic, ideographic = groups[0], groups[1] if len(groups) > 1 else ""
    first, second = (ideographic, alphabetic) if language == "zh" else (alphabetic, ideographic)
    return " ".join(part for part in (first, second) if part)


def patient_line(attributes: Mapping[str, Any]) -> str:
    """Give sex and age as a header has them."""
    sex, age = (plain(attributes.get(key), 4) for key in ("PatientSex", "PatientAge"))
    return " ".join(part for part in (sex, age.lstrip("0")) if part)


def date_of(attributes: Mapping[str, Any]) -> str:
    """Give the date of the study as 2026-11-21; what is no date as it stands."""
    text = plain(attributes.get("StudyDate"), 10)
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdigit() else text


def chip(words: Words, code: str, kind: str = "") -> Html:
    """Show a state or an urgency as a small label."""
    return tag("span", words.name(code), class_=f"chip {code}" + (f" {kind}" if kind else ""))


def keys_dialog(words: Words, rows: tuple[tuple[str, str], ...]) -> Html:
    """Show the keys that a page takes."""
    return tag(
        "dialog",
        tag("h2", words("help"), id="help-title"),
        tag(
            "dl",
            [
                (tag("dt", [tag("kbd", key) for key in keys.split()]), tag("dd", words(says)))
                for keys, says in rows
            ],
        ),
        tag("form", tag("button", words("close")), method="dialog"),
        id="help",
        aria_labelledby="help-title",
    )


def problem_page(visit: Visit, status: int, code: str, says: str, sign_in: str = "") -> str:
    """Say what went wrong, and how to sign in where that is what is missing."""
    words = visit.words
    unknown = status == 401
    body = tag(
        "main",
        tag("h1", words("sign_in_first" if unknown else "problem")),
        tag("p", says),
        tag("p", tag("code", code), class_="muted"),
        tag("p", tag("a", words("sign_in"), href=sign_in, class_="button")) if sign_in else None,
        tag("p", words("link_hint"), class_="muted") if unknown and not sign_in else None,
        tag("p", tag("a", words("worklist"), href="/ui")) if not unknown else None,
    )
    return page(visit, words("sign_in" if unknown else "problem"), body, kind="problem")


def _bar(visit: Visit) -> Html:
    words = visit.words
    other = "en" if words.language == "zh" else "zh"
    joint = "&" if "?" in visit.here else "?"
    return tag(
        "header",
        tag("a", "OneScan", href="/ui", class_="brand"),
        tag("span", words("not_clinical"), class_="warning"),
        tag("span", class_="gap"),
        tag("span", words("live"), id="live-state", class_="live", data_off=words("offline"))
        if visit.name
        else None,
        tag(
            "a",
            words("language"),
            href=f"{visit.here}{joint}lang={other}",
            lang="zh-CN" if other == "zh" else "en",
        ),
        (
            tag("span", outside(visit.name, 40), " · ", outside(visit.tenant, 40), class_="who"),
            tag("button", words("sign_out"), id="sign-out", class_="quiet")
            if visit.csrf_token
            else None,
        )
        if visit.name
        else None,
        class_="bar",
    )
