"""Kappa, the plan of a reader study, the record, and who may begin what."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exceptions import ConflictError, DamagedReviewError, SignedMeanwhileError
from gateway.review.crossover import allocate
from gateway.review.kappa import agreement
from gateway.review.purposes import is_shown, purpose_for
from gateway.review.record import seal, unseal
from networks.metrics import kappa

STATES = ("positive", "negative", "indeterminate")


def test_kappa_of_cohens_own_kind() -> None:
    """Two raters, 20 both yes, 15 both no, 5 and 10 apart: seen .7, by chance .5, so .4."""
    told = agreement({("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15})
    assert (told["n"], told["agreed"], told["kappa"]) == (50, 35, 0.4)
    # 1.96 * sqrt(.7 * .3 / 50) / .5 = .254
    assert (told["low"], told["high"]) == (
        pytest.approx(0.146, abs=1e-3),
        pytest.approx(0.654, abs=1e-3),
    )


@given(st.lists(st.tuples(st.sampled_from(STATES), st.sampled_from(STATES)), max_size=40))
def test_kappa_is_that_by_which_networks_are_judged(pairs: list[tuple[str, str]]) -> None:
    """Unweighted, over any table; unknown where chance alone agrees always."""
    told = agreement(Counter(pairs))
    assert told["n"] == len(pairs)
    places = [[STATES.index(pair[side]) for pair in pairs] for side in (0, 1)]
    chance = len({*places[0]} | {*places[1]}) > 1
    if not pairs or not chance:
        assert told["kappa"] is None
        return
    value = _unweighted(places[0], places[1])
    assert told["kappa"] == pytest.approx(value, abs=1e-4)
    if told["low"] is not None:
        assert -1.0 <= told["low"] <= told["kappa"] <= told["high"] <= 1.0


def _unweighted(ours: list[int], theirs: list[int]) -> float:
    import networks.metrics

    before = networks.metrics.BOOTSTRAPS
    networks.metrics.BOOTSTRAPS = 1
    try:
        return float(kappa(ours, theirs, len(STATES), weights="none").value)
    finally:
        networks.metrics.BOOTSTRAPS = before


CASES = [f"case-{index}" for index in range(11)]
READERS = ["key:a", "key:b", "key:c", "key:d"]


def test_every_reader_reads_every_case_both_ways() -> None:
    """Once a session, once with the findings and once without."""
    plan = allocate(7, READERS, CASES)
    for reader in READERS:
        for case in CASES:
            mine = [one for one in plan if (one.reader, one.case) == (reader, case)]
            assert sorted(one.session for one in mine) == [1, 2]
            assert sorted(one.with_findings for one in mine) == [False, True]
        for session in (1, 2):
            places = [o.position for o in plan if (o.reader, o.session) == (reader, session)]
            assert places == list(range(1, len(CASES) + 1))


def test_arms_are_balanced() -> None:
    """Over the cases of a session and over the readers of a case."""
    plan = [one for one in allocate(7, READERS, CASES) if one.session == 1 and one.with_findings]
    assert set(Counter(one.reader for one in plan).values()) <= {5, 6}
    assert set(Counter(one.case for one in plan).values()) == {len(READERS) // 2}


def test_the_seed_decides() -> None:
    """The same gives the same, on any machine; another gives another."""
    plan = allocate(7, READERS, CASES)
    assert plan == allocate(7, READERS, CASES)
    assert plan != allocate(8, READERS, CASES)
    first = [one.case for one in plan if (one.reader, one.session) == ("key:a", 1)]
    second = [one.case for one in plan if (one.reader, one.session) == ("key:a", 2)]
    other = [one.case for one in plan if (one.reader, one.session) == ("key:b", 1)]
    assert len({tuple(first), tuple(second), tuple(other), tuple(CASES)}) == 4
    assert first[:3] == ["case-10", "case-3", "case-2"]


def test_a_record_is_read_only_as_it_was_sealed() -> None:
    """One byte more and it is not shown."""
    text, digest = seal({"comment": "肝", "n": 1.5})
    assert unseal(text, digest) == {"comment": "肝", "n": 1.5}
    with pytest.raises(DamagedReviewError):
        unseal(text.replace("1.5", "1.6"), digest)


def signed(reader: str, purpose: str = "report", **values: Any) -> dict[str, Any]:
    return {
        "review_id": f"{reader}/{purpose}",
        "reader": reader,
        "purpose": purpose,
        "state": "signed",
        "final": purpose != "independent",
        "predecessor": None,
        "signed_at": datetime(2026, 11, 21, 8, tzinfo=UTC),
        **values,
    }


def test_two_readers_and_a_third() -> None:
    """Independent twice, then the adjudication by somebody else; the first review decides."""
    one, two = signed("a", "independent"), signed("b", "independent")
    assert purpose_for("double", [], "a") == "independent"
    assert purpose_for("single", [one], "b") == "independent"
    assert purpose_for("double", [signed("a", state="draft", final=False)], "b") == "report"
    with pytest.raises(ConflictError, match="another reader"):
        purpose_for("double", [one], "a")
    assert purpose_for("double", [one, two], "c") == "adjudication"
    with pytest.raises(ConflictError, match="another reader"):
        purpose_for("double", [one, two], "b")
    with pytest.raises(SignedMeanwhileError, match="a signed the final report"):
        purpose_for("single", [signed("a")], "b")


def test_independent_readers_do_not_see_each_other() -> None:
    """Until both have signed; nobody sees another's draft or marks."""
    one, two = signed("a", "independent"), signed("b", "independent")
    assert is_shown(one, [one], "a")
    assert not is_shown(one, [one], "b")
    assert is_shown(one, [one, two], "b")
    assert not is_shown({**one, "state": "draft"}, [one, two], "b")
    assert not is_shown(signed("a", "teaching"), [], "b")
    assert is_shown(signed("a"), [], "b")
