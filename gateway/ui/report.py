"""A study's findings as one file: no server, no script, no picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.results.json import DISCLAIMER
from gateway.screening.manifest import Manifest
from gateway.ui.check import check_card
from gateway.ui.html import Html, tag
from gateway.ui.page import chip
from gateway.ui.words import LANGUAGES, Words
from gateway.ui.worklist import title_of

STYLE = (Path(__file__).parent / "static" / "ui.css").read_text(encoding="utf-8")
"""That of the pages; the report carries it."""

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def report(result: Mapping[str, Any], manifests: Mapping[str, Manifest]) -> str:
    """Write the report of a screening, in English and Chinese below each other.

    Parameters
    ----------
    result : mapping
        As `gateway.results.json.screening_result` gives it.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "OneScan"),
        tag("style", Html(STYLE)),
    )
    parts = [_part(Words(language), result, manifests) for language in LANGUAGES]
    body = tag("body", tag("main", parts, tag("p", DISCLAIMER, class_="muted")), class_="report")
    return f"<!doctype html>{tag('html', head, body, lang='en')}\n"


def _part(words: Words, result: Mapping[str, Any], manifests: Mapping[str, Manifest]) -> Html:
    language = "zh-CN" if words.language == "zh" else "en"
    cards = [
        check_card(words, title_of(words, manifests, one["check"]), one) for one in result["checks"]
    ]
    return tag(
        "section",
        tag("h1", words("findings"), " ", chip(words, result["state"])),
        tag("p", tag("code", result["study"]["study_instance_uid"])),
        cards,
        lang=language,
    )
