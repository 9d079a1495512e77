"""A mount namespace of its own: small disks and a small ``/dev/shm``, which nobody else fills.

A fault may fill them to the last byte, and only the server that runs in the cage notices.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

FILLER = "chaos-filler"

CHUNK_BYTES = 1024**2


class Cage:
    """Which folders are small disks of their own.

    Parameters
    ----------
    sizes_bytes : mapping
        Absolute path of an existing folder → size of the tmpfs over it.
    """

    def __init__(self, sizes_bytes: Mapping[Path, int]) -> None:
        self.sizes_bytes = dict(sizes_bytes)

    def command(self, inner: Sequence[str]) -> list[str]:
        """Give the command that runs another one inside; it becomes that one, with its pid."""
        mounts = [
            f"mount -t tmpfs -o size={size},mode={'1777' if path == Path('/dev/shm') else '700'}"
            f" chaos {shlex.quote(str(path))}"
            for path, size in self.sizes_bytes.items()
        ]
        script = " && ".join([*mounts, f"exec {shlex.join(inner)}"])
        return [*_unshare(), "--mount", "--propagation", "private", "/bin/sh", "-c", script]


class SmallDisk:
    """One of the folders of a cage, seen from outside.

    Parameters
    ----------
    pid : int
        Of a process inside.
    path : Path
        As it is called there.
    """

    def __init__(self, pid: int, path: Path) -> None:
        self.path = Path(f"/proc/{pid}/root") / path.relative_to("/")

    def free_bytes(self) -> int:
        """Tell how much fits."""
        disk = os.statvfs(self.path)
        return disk.f_bavail * disk.f_frsize

    def fill(self, *, leave_bytes: int = 0) -> int:
        """Take all room but this; give how much was taken."""
        taken = 0
        with (self.path / FILLER).open("ab") as file:
            end = os.fstat(file.fileno()).st_size
            while (room := self.free_bytes() - leave_bytes) > 0:
                try:
                    os.posix_fallocate(file.fileno(), end, min(room, CHUNK_BYTES))
                except OSError as error:
                    if error.errno == errno.ENOSPC:
                        break
                    raise
                end += min(room, CHUNK_BYTES)
                taken += min(room, CHUNK_BYTES)
        return taken

    def empty(self) -> None:
        """Give the room back."""
        with suppress(FileNotFoundError):
            (self.path / FILLER).unlink()

    def names(self) -> list[str]:
        """List what lies at the top of it."""
        return sorted(path.name for path in self.path.iterdir() if path.name != FILLER)


@cache
def may_mount() -> bool:
    """Tell whether this machine lets us have such a namespace."""
    probe = [*_unshare(), "--mount", "/bin/sh", "-c", "mount -t tmpfs chaos /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _unshare() -> list[str]:
    """Give the beginning of the command; whoever is not root becomes it in a user namespace."""
    own_user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return [shutil.which("unshare") or "/usr/bin/unshare", *own_user]
