"""One check of a study: its state, score, lesions, why, and where it comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.ui.html import Child, Html, outside, plain, tag
from gateway.ui.page import chip
from gateway.ui.scale import threshold_scale
from gateway.ui.words import Words

SHOWN_LESIONS = 40
"""Of one check; the rest stands in the result."""


def check_card(
    words: Words, title: str, result: Mapping[str, Any], kinds: Sequence[str] | None = None
) -> Html:
    """Write the card of a check's result.

    Parameters
    ----------
    kinds : sequence of str, optional
        Of lesions, for who corrects one; with it the card has room for a review.
    """
    state, thresholds = result["state"], result["thresholds"]
    marked = [lesion for lesion in result["lesions"] if lesion["marked"]]
    shows = state == "positive" or bool(marked) or bool(thresholds and thresholds["marked_by"])
    answered = state in ("positive", "negative", "indeterminate")
    return tag(
        "article",
        tag(
            "header",
            tag("h3", title, id=f"check-{result['check']}"),
            chip(words, result["urgency"]) if shows and result["urgency"] != "note" else None,
            chip(words, state, "state"),
        ),
        tag("p", tag("b", outside(words.name(result["grade"]), 60)), class_="grade")
        if result["grade"]
        else None,
        tag("p", _says(words, result), class_="says"),
        threshold_scale(words, result["score"], thresholds) if thresholds and answered else None,
        _lesions(words, result["check"], marked, judged=kinds is not None),
        _room_for_review(words, result["check"], state, shows, kinds),
        _more(words, result),
        class_=f"check {state}" + (" shows" if shows else ""),
        aria_labelledby=f"check-{result['check']}",
        data_check=result["check"],
    )


def lesion_label(words: Words, lesion: Mapping[str, Any]) -> str:
    """Name a lesion by kind and place, as a line of text."""
    site, side = lesion["site"], lesion["side"]
    place = words.name(site) if site else ""
    if side and not str(site or "").endswith(str(side)):
        place = f"{place}, {words.name(side)}" if place else words.name(side)
    kind = words.name(lesion["kind"]) if lesion["kind"] else words("lesions")
    return plain(" · ".join(part for part in (kind, place) if part), 80)


def _says(words: Words, result: Mapping[str, Any]) -> Child:
    if result["reason"]:
        code = tag("code", plain(result["reason"], 60))
        return tag("b", words("why")), ": ", outside(words.of(result["text"]), 1200), " ", code
    return outside(words.of(result["text"]), 1200)


def _room_for_review(
    words: Words, check: str, state: str, shows: bool, kinds: Sequence[str] | None
) -> Child:
    """Leave room for the lesions that a reader adds, and for his decision; a script fills it."""
    if kinds is None:
        return None
    named = json.dumps([(kind, words.name(kind)) for kind in kinds], ensure_ascii=False)
    return (
        tag("div", class_="additions", hidden=True),
        tag(
            "div",
            class_="decision",
            data_check=check,
            data_state=state,
            data_shows=shows,
            data_kinds=named,
            hidden=True,
        ),
    )


def _lesions(
    words: Words, check: str, marked: Sequence[Mapping[str, Any]], *, judged: bool
) -> Html | None:
    if not marked:
        return None
    return tag(
        "ol",
        [
            tag(
                "li",
                tag(
                    "button",
                    tag("span", f"{lesion['id']}", class_="number"),
                    tag("span", lesion_label(words, lesion), class_="label"),
                    tag("span", _numbers(words, lesion), class_="numbers"),
                    data_lesion=f"{check}/{lesion['id']}",
                    class_="lesion" + (" flagged" if lesion["flagged"] else ""),
                ),
                tag("div", class_="judged", data_judged=f"{check}/{lesion['id']}", hidden=True)
                if judged
                else None,
            )
            for lesion in marked[:SHOWN_LESIONS]
        ],
        class_="lesions",
    )


def _numbers(words: Words, lesion: Mapping[str, Any]) -> str:
    parts = [f"{words('slice')} {lesion['slice_index'] + 1}"]
    size = lesion["long_diameter_mm"] or lesion["mean_diameter_mm"]
    if size:
        parts.append(f"{size:.1f} mm")
    if lesion["score"] is not None:
        parts.append(f"{lesion['score']:.2f}")
    if lesion.get("category"):
        parts.append(plain(lesion["category"], 8))
    return " · ".join(parts)


def _more(words: Words, result: Mapping[str, Any]) -> Child:
    units = result["units"]
    measures = [
        (words.name(name), f"{value:g} {_unit(units.get(name, ''))}")
        for name, value in result["measures"].items()
        if value is not None
    ]
    rules = [
        (words.name(one["rule"]), " ".join(part for part in _rule(words, one) if part))
        for one in result["assessments"]
        if one["category"] not in ("negative", None) or one["text"]
    ]
    return (
        _details(words("measures"), measures),
        _details(words("rules"), rules),
        _details(words("provenance"), _provenance(result["provenance"]), "provenance"),
    )


def _rule(words: Words, one: Mapping[str, Any]) -> tuple[str, ...]:
    missing = ", ".join(words.name(item) for item in one["missing"])
    return (
        words.name(one["category"] or ""),
        "" if one["value"] is None else f"({one['value']:g})",
        words.of(one["text"]),
        f"{words('missing')}: {missing}" if missing else "",
    )


def _provenance(provenance: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, value in provenance.items():
        if value is None or value == {}:
            continue
        if isinstance(value, Mapping):
            said = ", ".join(f"{key}: {item}" for key, item in value.items())
        else:
            said = str(value)
        rows.append((name.replace("_", " "), said))
    return rows


def _details(name: str, rows: Sequence[tuple[str, str]], kind: str = "") -> Html | None:
    if not rows:
        return None
    listed = [(tag("dt", label), tag("dd", outside(said, 600))) for label, said in rows]
    return tag("details", tag("summary", name), tag("dl", listed), class_=kind or None)


def _unit(unit: str) -> str:
    """Show a UCUM unit as people write it."""
    return {"1": "", "mm3": "mm³", "[hnsf'U]": "HU", "{HU}": "HU"}.get(unit, unit.strip("{}"))
