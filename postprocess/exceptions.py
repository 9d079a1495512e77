"""Everything postprocess raises on purpose.

* PostprocessError(ValueError)
  x OutputError      a network's output is missing or has the wrong shape, dtype or values
"""

from __future__ import annotations


class PostprocessError(ValueError):
    """The output cannot be postprocessed."""


class OutputError(PostprocessError):
    """A network's output does not fit its recipe."""
