"""The faults, by name."""

from __future__ import annotations

from loadtests.chaos.faults.base import Fault
from loadtests.chaos.faults.clock import CLOCKS
from loadtests.chaos.faults.full import FULLS
from loadtests.chaos.faults.kill import KILLS
from loadtests.chaos.faults.model import MODELS
from loadtests.chaos.faults.network import NETWORK
from loadtests.chaos.faults.objects import OBJECTS
from loadtests.chaos.faults.stop import STOPS

FAULTS: dict[str, Fault] = {
    fault.name: fault for fault in (*KILLS, *STOPS, *FULLS, *NETWORK, *OBJECTS, *CLOCKS, *MODELS)
}
