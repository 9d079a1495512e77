"""What a module here tells the command that runs it: one JSON object on stdout.

``{"result": …}`` or ``{"error": {"code": …, "message": …}}``; lines for people go to stderr.
`gateway.runtime.networks_process` reads it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from gateway.exceptions import OneScanError


def tell(line: str) -> None:
    """Say what goes on."""
    print(line, file=sys.stderr, flush=True)


def answer(work: Callable[[], Any]) -> int:
    """Do the work and tell its result; give the exit code.

    What libraries print on the way cannot come between: stdout is theirs on stderr meanwhile.
    """
    kept = os.dup(1)
    sys.stdout.flush()
    os.dup2(2, 1)
    try:
        told = {"result": work()}
    except OneScanError as error:
        told = {"error": {"code": error.code, "message": " ".join(str(error).split())}}
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
    sys.stdout.write(json.dumps(told) + "\n")
    return int("error" in told)
