"""A segment that grows while what was written before is already read: one for each association."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gateway.store.segment import SegmentWriter, fsync_folder, full_disk_named


class GrowingSegment(SegmentWriter):
    """Writes one segment, instance by instance; each `publish` costs one flush after the first.

    Rows may point below the offset that was last published. What lies beyond, after a crash, is
    nobody's and stays: a segment is deleted whole or not at all.

    Parameters
    ----------
    check_room : callable
        Raises StorageFullError when the disk is too full to go on.
    """

    def __init__(
        self,
        *,
        key: str,
        temporary: Path,
        final: Path,
        make_durable: Callable[[Path], None],
        check_room: Callable[[], None],
    ) -> None:
        super().__init__(key=key, temporary=temporary, final=final, make_durable=make_durable)
        self._check_room = check_room
        self._published = False

    def publish(self) -> None:
        """Make what was written so far durable and visible; raises StorageFullError."""
        self._check_room()
        with full_disk_named():
            if self._published:
                os.fdatasync(self._fd)  # the size goes with it; times need not
                return
            os.fsync(self._fd)
            self._make_durable(self._final.parent)
            os.rename(self._temporary, self._final)
            fsync_folder(self._final.parent)
            self._published = True

    def commit(self) -> None:
        """Publish and end."""
        self.publish()
        self._close()

    def abort(self) -> None:
        """Leave nothing behind that nobody points at; what was published stays."""
        if not self._published:
            super().abort()

    def end(self) -> None:
        """Write no more; an empty segment disappears."""
        if self._fd < 0:
            return
        if not self._published or not self.offset:
            self._temporary.unlink(missing_ok=True)
            self._final.unlink(missing_ok=True)
        self._close()
