"""The memory bank of a network: labelled tiles that lie beside its model, pinned by a digest.

A bank is ``bank.npz`` and ``bank.json`` in one folder. The one that was released lies in the
model's own folder; a site that reviewed tiles of its own may put another one in its place.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.exceptions import BankError

ARRAYS = "bank.npz"
DESCRIPTION = "bank.json"

SCHEMA = 1
"""Of the two files."""

LEAST_TILES = 20
"""As many as vote."""

Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """Labelled tiles."""

    embedded: NDArray[np.float16]
    """(B, E), unit vectors."""

    labels: NDArray[np.uint8]
    """(B, L), 1 where a tile has a label."""

    names: tuple[str, ...]
    """Of the labels, in order."""

    encoder: str
    """Digest of the network that embedded the tiles."""

    digest: str
    """SHA-256 over all of it and the tiles' sources, hexadecimal."""


class Banks:
    """The banks of a model repository, read once and again when a file is another one.

    Parameters
    ----------
    repository : Path
        Each model's folder holds its released bank.
    own : Path, optional
        The site's folder: ``NAME/bank.npz`` and ``NAME/bank.json`` take the place of a model's.
    """

    def __init__(self, repository: Path, own: Path | None = None) -> None:
        self._repository, self._own = repository, own
        self._read: dict[Path, tuple[Stamp, Bank]] = {}

    def get(self, model: str, names: Sequence[str]) -> Bank:
        """Give the bank of a model.

        Parameters
        ----------
        model : str
            Name of its folder.
        names : sequence of str
            Labels that the bank must have, in that order.

        Raises
        ------
        BankError
            When there is none, it is broken, its labels are others, or a site's is of another
            network than the released one.
        """
        if not model.isidentifier():
            raise BankError(f"{model!r} is no name of a model.")
        bank = released = self._bank(self._repository / model)
        if self._own is not None and (self._own / model / ARRAYS).is_file():
            bank = self._bank(self._own / model)
            if bank.encoder != released.encoder:
                raise BankError(f"the site's bank of {model} is of another network's tiles.")
        if bank.names != tuple(names):
            raise BankError(f"the bank of {model} has other labels than the recipe.")
        return bank

    def _bank(self, folder: Path) -> Bank:
        try:
            stamp = tuple(_stamp(folder / name) for name in (ARRAYS, DESCRIPTION))
        except OSError:
            raise BankError(f"{folder.name} has no memory bank.") from None
        known = self._read.get(folder)
        if known is None or known[0] != stamp:
            known = self._read[folder] = (stamp, read_bank(folder))
        return known[1]


def read_bank(folder: Path) -> Bank:
    """Read a bank and hold it to its digest.

    Raises
    ------
    BankError
        When a file is missing or unreadable, arrays do not fit, or the digest is another one.
    """
    try:
        told: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        with (folder / ARRAYS).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            embedded, labels, sources = (stored[k] for k in ("embedded", "labels", "sources"))
        names, encoder = tuple(map(str, told["labels"])), str(told["encoder"])
        digest = str(told["digest"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise BankError(f"the memory bank of {folder.name} cannot be read: {error}") from None
    fits = (
        embedded.ndim == 2
        and embedded.dtype == np.float16
        and labels.shape == (len(embedded), len(names))
        and labels.dtype == np.uint8
        and sources.shape == (len(embedded),)
        and len(embedded) >= LEAST_TILES
    )
    if not fits:
        raise BankError(f"the arrays of the memory bank of {folder.name} do not fit each other.")
    if bank_digest(names, encoder, (embedded, labels, sources)) != digest:
        raise BankError(f"the memory bank of {folder.name} is not what its digest says.")
    return Bank(embedded, labels, names, encoder, digest)


def bank_digest(names: Sequence[str], encoder: str, arrays: Sequence[NDArray[Any]]) -> str:
    """Give the SHA-256 of a bank: its names, its encoder, then vectors, labels and sources."""
    text = hashlib.sha256(json.dumps([SCHEMA, list(names), encoder], ensure_ascii=False).encode())
    for array in arrays:
        text.update(f"{array.dtype.str}{array.shape}".encode())
        text.update(np.ascontiguousarray(array).tobytes())
    return text.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    known = path.stat()
    return known.st_mtime_ns, known.st_size
