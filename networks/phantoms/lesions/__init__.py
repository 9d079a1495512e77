"""What is planted into a scene, one module a check."""

from __future__ import annotations


class NoPlaceError(ValueError):
    """The patient has no place for this lesion."""
