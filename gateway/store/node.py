"""A folder of objects belongs to one node: two would each believe that its locks hold."""

from __future__ import annotations

import hashlib
import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from gateway.exceptions import FolderOfAnotherNodeError
from gateway.store.segment import fsync_folder, make_root

MARK = "node"
"""File in the folder that names its node."""

MACHINE_ID = Path("/etc/machine-id")
"""Survives a change of the host's name; empty in many containers."""


def claim_folder(folder: Path, node: str = "") -> None:
    """Mark a folder as this node's; do nothing when it is that already.

    Processes of one node share a folder. Between nodes, which means NFS or the like, neither
    the lock of a living writer nor the order of fsync and rename is what the store relies on.

    Parameters
    ----------
    folder : Path
        Made when missing.
    node : str
        Name of this node; empty takes the machine's own.

    Raises
    ------
    FolderOfAnotherNodeError
        When another node has marked the folder.
    """
    make_root(folder)
    ours = node_name(node)
    mark = folder / MARK
    if not mark.exists():
        draft = folder / f".{MARK}-{uuid.uuid4()}"
        draft.write_text(ours + "\n")
        with suppress(FileExistsError):  # of two at once the first one has it
            os.link(draft, mark)
        draft.unlink()
        fsync_folder(folder)
    theirs = mark.read_text().strip()
    if theirs != ours:
        raise FolderOfAnotherNodeError(
            f"{folder} belongs to the node {theirs} and this is {ours}: a folder serves one node,"
            f" several need S3; if the disk has moved here, delete {mark}."
        )


def node_name(node: str = "") -> str:
    """Give the name of this node: a digest of the machine's id, which is nobody's business."""
    if node:
        return node
    machine = ""
    with suppress(OSError):
        machine = MACHINE_ID.read_text().strip()
    host = socket.gethostname()
    return hashlib.sha256(f"onescan {machine or host}".encode()).hexdigest()[:16]
