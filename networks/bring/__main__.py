"""``python -m networks.bring``: what ``onescan models import`` runs in a process of its own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from networks.bring.run import bring
from networks.told import answer


def main(arguments: list[str] | None = None) -> int:
    """Bring a network in, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m networks.bring", description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--pipeline", type=Path, required=True)
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--name", default="")
    parser.add_argument("--allow-code", action="store_true")
    given = parser.parse_args(arguments)
    return answer(
        lambda: bring(
            given.path,
            given.pipeline,
            given.repository,
            name=given.name,
            allow_code=given.allow_code,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
