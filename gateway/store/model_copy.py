"""A model repository in a bucket, copied into a folder: what a pod does before Triton starts."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path, PurePosixPath

from obstore.store import S3Store

from gateway.exceptions import UsageError
from gateway.settings import StoreSettings
from gateway.store.s3_client import SCHEME, connect, s3_named

PART = ".part"
"""End of a file's name until it is whole. Triton takes every folder for a model, files never."""


def copy_models(settings: StoreSettings, source: str, target: Path) -> int:
    """Copy a repository; safe to repeat, since a file has its name when it is whole. Blocks.

    Parameters
    ----------
    settings : StoreSettings
        Endpoint, region and credentials; `objects` does not matter.
    source : str
        ``s3://bucket`` or ``s3://bucket/prefix``.
    target : Path
        Made when missing. What is there already is written over, and nothing is removed.

    Returns
    -------
    int
        Files copied.

    Raises
    ------
    UsageError
        When `source` names no bucket, holds nothing, or has a key that leaves the folder.
    StoreUnavailableError
        When the bucket cannot be read.
    """
    if not source.startswith(SCHEME):
        raise UsageError(f"{source!r} is not s3://bucket or s3://bucket/prefix.")
    client = connect(dataclasses.replace(settings, objects=source))
    keys = _keys(client)
    if not keys:
        raise UsageError(f"{source} holds no model.")
    for key in keys:
        _copy(client, key, target / _relative(key))
    return len(keys)


def _keys(client: S3Store) -> list[str]:
    """List what lies below the prefix, without the empty objects that stand for folders."""
    with s3_named():
        keys = [entry["path"] for page in client.list() for entry in page]
    folders = {str(parent) for key in keys for parent in PurePosixPath(key).parents}
    return [key for key in keys if key not in folders]


def _relative(key: str) -> PurePosixPath:
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(f"The key {key!r} leaves the folder of models.")
    return path


def _copy(client: S3Store, key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PART)
    with s3_named(key), part.open("wb") as file:
        for chunk in client.get(key):
            file.write(chunk)
    os.replace(part, target)
