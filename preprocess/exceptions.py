"""Everything preprocess raises on purpose; the caller turns it into its own words.

* PreprocessError(ValueError)
  x ArrayError       shape or dtype
  x GeometryError    affine, spacing
  x RoiError         empty, or outside the slab
  x RecipeError      an unknown key, a missing one, a value out of range
  x RegionError      a shared region that may not or cannot be read
  x BankError        a memory bank that is missing, broken or another network's
"""

from __future__ import annotations


class PreprocessError(ValueError):
    """The input cannot be preprocessed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])


class ArrayError(PreprocessError):
    """An array has the wrong shape or dtype."""


class GeometryError(PreprocessError):
    """An affine or a spacing is not usable."""


class RoiError(PreprocessError):
    """A region of interest is empty or leaves the slab."""


class RecipeError(PreprocessError):
    """A recipe is not understood."""


class RegionError(PreprocessError):
    """A shared region may not or cannot be read."""


class BankError(PreprocessError):
    """A memory bank is missing, broken or another network's."""
