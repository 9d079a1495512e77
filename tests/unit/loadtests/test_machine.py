"""What a report says of the machine, and of who kept it busy."""

from __future__ import annotations

import time

from loadtests.dimse_sender import NotAcceptedError
from loadtests.machine import Busy, Machine, facts


def test_own_work_is_told_from_that_of_others() -> None:
    """A core kept busy here is ours; what is left of the busy ones is others'."""
    busy = Busy()
    spent = time.process_time()
    while time.process_time() - spent < 0.5:
        sum(range(1000))
    told = facts(busy)
    assert 0 < told["cores_own"] <= told["cores_busy"]
    assert told["cores_others"] >= 0
    assert told["cores_busy"] <= 1.2 * told["cores"] + 0.2


def test_the_machine_is_named_in_general_words() -> None:
    """Cores, memory, processor, commit; neither host nor user."""
    machine = Machine.this()
    assert machine.cores >= 1
    assert machine.memory_gb >= 1
    assert machine.processor
    assert machine.commit


def test_a_rejection_says_whether_one_may_ask_again() -> None:
    """A-ASSOCIATE-RJ: 1 is permanent, 2 transient (PS3.8, 9.3.4); an abort is neither."""
    assert NotAcceptedError(3, bytes((0, 2, 3, 2))).is_transient
    assert not NotAcceptedError(3, bytes((0, 1, 1, 3))).is_transient
    assert not NotAcceptedError(7, bytes((0, 2, 0, 0))).is_transient
