"""Errors → C-STORE status codes (PS3.4, B.2.3; PS3.7, annex C)."""

from __future__ import annotations

from typing import Final

from gateway.exceptions import (
    InstanceError,
    IntakeSuspendedError,
    OneScanError,
    OverloadedError,
    StorageFullError,
    StoreUnavailableError,
)

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
NO_SUCH_ARGUMENT: Final = 0x0114
INVALID_ARGUMENT: Final = 0x0115
CLASS_CONFLICT: Final = 0x0119
CLASS_NOT_SUPPORTED: Final = 0x0122
NO_SUCH_ACTION: Final = 0x0123
UNRECOGNISED_OPERATION: Final = 0x0211
OUT_OF_RESOURCES: Final = 0xA700
MISMATCH: Final = 0xA900
"""Data set does not match SOP class."""

CANNOT_UNDERSTAND: Final = 0xC000

RESOURCES = (StorageFullError, StoreUnavailableError, OverloadedError, IntakeSuspendedError)
"""Come and go: the sender may try again."""


def status_of(error: OneScanError) -> int:
    """Give the status of an error; what is nobody's known error is a processing failure."""
    if isinstance(error, RESOURCES):
        return OUT_OF_RESOURCES
    if isinstance(error, InstanceError):
        return error.failure_reason
    return PROCESSING_FAILURE
