"""Become another program that cannot outlive the one that asked for it.

Run as a script, standard library only: ``python -I -S launch.py PARENT SIGNAL UID GID COMMAND…``.
It takes the user's identity (UID −1 keeps the present one), asks the kernel for SIGNAL at the
parent's death and executes COMMAND. A program of its own, since Python code between fork and exec
of a threaded parent may deadlock.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
"""prctl(2)."""


def main(arguments: list[str]) -> None:
    """Set the death signal and execute the command."""
    parent, death_signal, uid, gid = (int(text) for text in arguments[:4])
    command = arguments[4:]
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    # After setuid, which would clear it.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent died before the child began")
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
