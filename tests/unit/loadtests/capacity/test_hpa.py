"""The HorizontalPodAutoscaler's arithmetic against the examples of its documentation.

https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/ ("Algorithm details",
"Configurable scaling behavior") and https://kubernetes.io/blog/2025/04/28/kubernetes-v1-33-hpa-configurable-tolerance/.
"""

from __future__ import annotations

import pytest

from loadtests.capacity.hpa import Hpa, Policy, Rules, wanted_average, wanted_utilization

AT_ONCE = Rules(0.0, (Policy("Percent", 100, 15.0), Policy("Pods", 4, 15.0)))
ALL_DOWN = Rules(300.0, (Policy("Percent", 100, 15.0),))
"""Kubernetes' defaults."""


@pytest.mark.parametrize(
    ("used", "target", "pods", "wanted"),
    [
        (0.200, 100, 4, 8),  # "200m … desired value 100m, the number of replicas will be doubled"
        (0.050, 100, 4, 2),  # "If the current value is instead 50m, you'll halve the number"
        (0.109, 100, 4, 4),  # within the tolerance of 0.1
        (0.112, 100, 4, 5),  # not any more
    ],
)
def test_pods_follow_the_ratio(used: float, target: int, pods: int, wanted: int) -> None:
    """They are ceil[currentReplicas × (currentMetricValue / desiredMetricValue)]."""
    found = wanted_utilization(pods * used, 0.1, target, ready=pods, unready=0)
    assert found == wanted


def test_the_example_of_kubernetes_1_33() -> None:
    """50 replicas at 90 % with a target of 75 % become 50 × 90/75 = 60."""
    assert wanted_utilization(50 * 0.9, 1.0, 75, ready=50, unready=0) == 60


def test_pods_that_are_not_ready_dampen_the_way_up() -> None:
    """They count as using nothing, and may turn the way up into none."""
    assert wanted_utilization(2 * 1.0, 1.0, 50, ready=2, unready=1) == 4  # 2 × 2/3 × 3
    assert wanted_utilization(2 * 1.0, 1.0, 50, ready=2, unready=2) == 4  # the ratio is 1 by now


@pytest.mark.parametrize(
    ("value", "current", "wanted"),
    [(1200.0, 1, 2), (1201.0, 1, 3), (650.0, 1, 1), (550.0, 1, 1), (100.0, 3, 1), (0.0, 2, 0)],
)
def test_an_average_value_is_shared_by_all_pods(value: float, current: int, wanted: int) -> None:
    """A queue of 1200 GPU-seconds with 600 for each pod wants two; 10 % more or less, nothing."""
    assert wanted_average(value, 600.0, current) == wanted


def test_the_example_of_scaling_policies() -> None:
    """80 replicas, 10 % or 4 pods a minute: 8 go, then 72 × 10 % = 7.2 is rounded up to 8.

    Below 40 replicas the second policy goes, four pods a minute.
    """
    down = Rules(0.0, (Policy("Pods", 4, 60.0), Policy("Percent", 10, 60.0)))
    hpa = Hpa(least=1, most=100, up=AT_ONCE, down=down)
    pods, steps = 80, []
    for minute in range(1, 14):
        after = hpa.sync(minute * 60.0, pods, [10])
        steps.append(pods - after)
        pods = after
    assert steps[:3] == [8, 8, 7]
    assert steps[-4:-1] == [4, 4, 4]
    assert min(steps[:-1]) == 4


def test_a_period_counts_what_was_removed_in_it() -> None:
    """A look every 15 s does not remove more than the policy allows in a minute."""
    down = Rules(0.0, (Policy("Pods", 4, 60.0),))
    hpa = Hpa(least=1, most=100, up=AT_ONCE, down=down)
    pods = 50
    for look in range(9):
        pods = hpa.sync(look * 15.0, pods, [1])
    assert pods == 50 - 3 * 4  # at 0, 60 and 120 s


def test_the_default_way_up_is_the_larger_of_two() -> None:
    """Four pods or all of them again in 15 s, as documented: 1 → 5 → 10 → 20."""
    hpa = Hpa(least=1, most=100, up=AT_ONCE, down=ALL_DOWN)
    pods = [1]
    for look in range(3):
        pods.append(hpa.sync(look * 15.0, pods[-1], [80]))
    assert pods == [1, 5, 10, 20]


def test_the_way_down_waits_for_the_window() -> None:
    """The highest recommendation of the last 300 s goes."""
    hpa = Hpa(least=1, most=20, up=AT_ONCE, down=ALL_DOWN)
    assert hpa.sync(0.0, 10, [10]) == 10
    assert [hpa.sync(15.0 * look, 10, [2]) for look in range(1, 20)] == [10] * 19
    assert hpa.sync(300.0, 10, [2]) == 2


def test_the_way_up_waits_for_its_window_too() -> None:
    """The lowest recommendation of the window goes."""
    hpa = Hpa(least=1, most=20, up=Rules(60.0, AT_ONCE.policies), down=ALL_DOWN)
    assert hpa.sync(0.0, 2, [2]) == 2
    assert [hpa.sync(15.0 * look, 2, [5]) for look in range(1, 4)] == [2] * 3
    assert hpa.sync(60.0, 2, [5]) == 5


def test_the_largest_metric_goes_within_the_bounds() -> None:
    """Of several metrics the most pods, never beyond minimum and maximum; none at zero."""
    hpa = Hpa(least=2, most=6, up=AT_ONCE, down=Rules(0.0, ALL_DOWN.policies))
    assert hpa.sync(0.0, 3, [1, 5, 2]) == 5
    assert hpa.sync(60.0, 5, [9]) == 6
    assert hpa.sync(120.0, 6, [0]) == 2
    assert hpa.sync(180.0, 0, [9]) == 0
    assert hpa.sync(240.0, 8, [1]) == 6
    assert hpa.sync(300.0, 1, [9]) == 2


@pytest.mark.parametrize(("select", "up", "down"), [("Min", 12, 8), ("Disabled", 10, 10)])
def test_the_selected_policy_goes(select: str, up: int, down: int) -> None:
    """Min is the smallest change; Disabled is none."""
    policies = (Policy("Percent", 50, 60.0), Policy("Pods", 2, 60.0))
    rules = Rules(0.0, policies, select)  # type: ignore[arg-type]
    hpa = Hpa(least=1, most=100, up=rules, down=rules)
    assert (hpa.up_limit(0.0, 10), hpa.down_limit(0.0, 10)) == (up, down)
