"""KEDA's part, as https://keda.sh/docs/2.17/concepts/scaling-deployments/ has it."""

from __future__ import annotations

from loadtests.capacity.keda import HOUR, OUTSIDE, Keda, Schedule


def test_a_trigger_wakes_a_pool_at_once() -> None:
    """From zero to one, or to the minimum; the HPA does the rest."""
    assert Keda(0, 300.0).poll(0.0, 0, active=True) == 1
    assert Keda(3, 300.0).poll(0.0, 0, active=True) == 3
    assert Keda(0, 300.0).poll(0.0, 7, active=True) == 7


def test_the_cool_down_is_for_the_way_to_zero_only() -> None:
    """All pods go at once when no trigger was active for longer than it; never above zero."""
    keda = Keda(0, 300.0)
    keda.poll(0.0, 4, active=True)
    assert keda.poll(300.0, 4, active=False) == 4
    assert keda.poll(315.0, 4, active=False) == 0
    above = Keda(2, 0.0)
    above.poll(0.0, 4, active=True)
    assert above.poll(1e6, 4, active=False) == 4


def test_a_pool_that_was_never_active_does_not_cool_down() -> None:
    """KEDA ignores the period then ("LastActiveTime can be nil")."""
    assert Keda(0, 300.0).poll(0.0, 2, active=False) == 0


def test_the_clock_asks_within_its_window() -> None:
    """Outside of it the metric is one pod, as `defaultDesiredReplicas` says."""
    morning = Schedule(6 * HOUR, 9 * HOUR, 8)
    assert [morning.proposal(hour * HOUR) for hour in (5, 6, 8.99, 9)] == [OUTSIDE, 8, 8, OUTSIDE]
    assert morning.active(24 * HOUR + 7 * HOUR)
