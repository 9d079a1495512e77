"""The object store that the settings name: a folder of this node, or S3."""

from __future__ import annotations

from gateway.settings import Settings
from gateway.store.node import claim_folder
from gateway.store.objects import FolderObjects, ObjectStore
from gateway.store.s3_client import SCHEME


def open_objects(settings: Settings) -> ObjectStore:
    """Open the object store; blocks.

    Raises
    ------
    UsageError
        When an address in S3 makes no sense.
    FolderOfAnotherNodeError
        When the folder belongs to another node.
    """
    if settings.store.objects.startswith(SCHEME):
        from gateway.store.s3 import S3Objects

        return S3Objects(settings.store)
    claim_folder(settings.objects, settings.store.node)
    return FolderObjects(settings.objects)
