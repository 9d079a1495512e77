"""What starting an api or a worker imports: nothing heavy that only some results need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("fhir", "fhir_core", "pydantic", "highdicom")
"""Each takes a large part of a second; the forms that need them import them when asked for."""

STARTS = {
    "api": "import gateway.api.app, gateway.commands.serve",
    "worker": "import gateway.worker.pool, gateway.worker.attempt, gateway.commands.worker",
    "listener": "import gateway.dimse.server, gateway.commands.dimse",
    "command line": "import gateway.cli, gateway.commands.screen",
}


@pytest.mark.parametrize("start", STARTS)
def test_starting_imports_nothing_heavy(start: str) -> None:
    """Start-up times do not grow with the number of forms."""
    program = f"{STARTS[start]}\nimport sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(done.stdout.decode().split())
    assert "gateway" in loaded
    assert not loaded & set(HEAVY)


def test_the_models_are_imported_when_a_bundle_is_judged() -> None:
    """So the test above would see them."""
    program = (
        "from gateway.results.fhir import validated\n"
        "import sys\nassert 'fhir' not in sys.modules\n"
        "validated({'resourceType': 'Bundle', 'type': 'collection'})\n"
        "assert 'fhir' in sys.modules and 'pydantic' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
