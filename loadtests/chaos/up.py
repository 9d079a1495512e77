"""``onescan up`` whose children are started through another interpreter: one that sets clocks.

``python up.py INTERPRETER [ARGUMENT…]``. The supervisor starts every child by ``sys.executable``,
so this is the one place where a library can be put in front of them all.
"""

from __future__ import annotations

import sys

from gateway.cli import main

if __name__ == "__main__":
    sys.executable = sys.argv[1]
    sys.exit(main(["up", *sys.argv[2:]]))
