"""The panel of a reader's review beside the findings; its script fills in the decisions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from gateway.ui.html import Html, tag
from gateway.ui.words import Words

SAID = (
    *("accept", "reject", "correct", "correct_lesion", "undecided", "comment", "saved"),
    *("signed_by", "begin_review", "begin_first", "amend", "to_undecided", "take_back"),
    *("positive", "negative", "indeterminate", "lesions_corrected", "stands"),
    *("add_lesion", "added", "remove", "kind", "long", "short", "slice"),
)
"""Words that the script says."""

FATES = {"accepted": "fate_accepted", "rejected": "fate_rejected", "corrected": "fate_corrected"}
"""Decisions as they are told once they are signed."""


def review_panel(words: Words, screening: str, kinds: Mapping[str, Sequence[str]]) -> Html:
    """Write the panel.

    Parameters
    ----------
    kinds : mapping
        Check → kinds of its lesions.
    """
    named = {kind: words.name(kind) for listed in kinds.values() for kind in listed}
    said = {key: words(key) for key in SAID}
    said |= {decision: words(word) for decision, word in FATES.items()}
    return tag(
        "section",
        tag("h2", words("review"), id="review-title"),
        tag("p", id="review-state", class_="muted", role="status"),
        tag(
            "label",
            tag("span", words("comment")),
            tag("textarea", id="review-comment", rows=3, maxlength=10000, dir="auto"),
        ),
        tag(
            "p",
            tag("button", words("begin_review"), id="review-begin", hidden=True),
            tag("button", words("save"), id="review-save", hidden=True),
            tag("button", words("sign"), id="review-sign", class_="strong", hidden=True),
        ),
        id="review",
        class_="review",
        aria_labelledby="review-title",
        data_screening=screening,
        data_words=json.dumps({**said, "kinds": named}, ensure_ascii=False),
    )
