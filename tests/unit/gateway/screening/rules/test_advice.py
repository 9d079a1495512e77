"""What follows is told in both languages, for every category of every rule."""

from __future__ import annotations

import pytest

from gateway.screening.manifest import URGENCIES, Text
from gateway.screening.rules import (
    apri,
    c_lung_rads,
    cac_drs,
    fib4,
    fleischner_advice,
    lung_rads_advice,
    lung_rule,
    nfs,
)
from gateway.screening.rules.assessment import Advice

EVERY: dict[str, Advice] = {
    f"{name} {category}": advice
    for name, table in {
        "fib4": fib4.ADVICE,
        "apri": apri.ADVICE,
        "nfs": nfs.ADVICE,
        "cac_drs": cac_drs.ADVICE,
        "lung_rads": lung_rads_advice.ADVICE,
        "lung_rads 0": lung_rads_advice.INCOMPLETE,
        "c_lung_rads": c_lung_rads.ADVICE,
        **{
            f"fleischner {risk}": {row: by[risk] for row, by in fleischner_advice.ADVICE.items()}
            for risk in ("low", "high")
        },
    }.items()
    for category, advice in table.items()
}


def assert_both(text: Text) -> None:
    """A whole sentence in English and in Chinese."""
    assert text.en.endswith(".")
    assert text.zh.endswith("。")
    assert text.en.isascii()
    assert not text.zh.isascii()


@pytest.mark.parametrize("name", EVERY)
def test_advice_is_told_in_both_languages(name: str) -> None:
    """And has an urgency of the list."""
    advice = EVERY[name]
    assert_both(advice.text)
    assert advice.urgency in URGENCIES
    if advice.asks_for_action:
        assert advice.urgency != "note"
    if advice.first_ct_months:
        assert advice.first_ct_months[0] <= advice.first_ct_months[1]


@pytest.mark.parametrize("basis", lung_rule.WHY_NO_RULE)
def test_no_rule_is_told_in_both_languages(basis: str) -> None:
    """The reader learns why there is no category."""
    assert_both(lung_rule.WHY_NO_RULE[basis])
