"""The memory bank: embedded tiles with their labels, pinned by a digest.

A bank is two files in one folder: ``bank.npz`` with the arrays and ``bank.json`` with the names of
the labels, the encoder that it belongs to, counts and the digest. It is an input of the chest's
network, so a site can add reviewed tiles without new weights; the digest then is another one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

ARRAYS = "bank.npz"

DESCRIPTION = "bank.json"

SCHEMA = 1

MOST_OF_A_LABEL = 500
"""Tiles of one label (pipelines.md §7.2)."""

MOST_OF_A_PHANTOM = 2
"""Tiles of one label from one phantom (pipelines.md §7.2)."""

LENGTH_TOLERANCE = 5e-3
"""How far from 1 the length of a stored vector may be: that of float16."""

FIRST_TEST_SEED = 900_000
"""Phantoms from this seed on judge, and are never in a bank."""


class BankError(ValueError):
    """A bank is not what it says, does not fit, or may not hold what it was given."""


@dataclass(frozen=True, kw_only=True)
class MemoryBank:
    """Labelled tiles.

    Attributes
    ----------
    embedded : (B, E) ndarray of float16
        Unit vectors.
    labels : (B, L) ndarray of uint8
        1 where a tile has a label; a healthy tile has none.
    sources : (B,) ndarray of int64
        Seed of the phantom; negative for tiles that a site added, a number for each study.
    names : tuple of str
        Of the labels, in order.
    encoder : str
        Digest of the network that embedded the tiles.
    """

    embedded: NDArray[np.float16]
    labels: NDArray[np.uint8]
    sources: NDArray[np.int64]
    names: tuple[str, ...]
    encoder: str

    def __post_init__(self) -> None:
        count = len(self.embedded)
        if self.embedded.ndim != 2 or self.embedded.dtype != np.float16:
            raise BankError(f"embedded must be (B, E) float16, not {_told(self.embedded)}.")
        if self.labels.shape != (count, len(self.names)) or self.labels.dtype != np.uint8:
            raise BankError(
                f"labels must be ({count}, {len(self.names)}) uint8, not {_told(self.labels)}."
            )
        if self.sources.shape != (count,) or self.sources.dtype != np.int64:
            raise BankError(f"sources must be ({count},) int64, not {_told(self.sources)}.")
        length = np.linalg.norm(self.embedded.astype(np.float32), axis=1)
        if not np.all(np.abs(length - 1) <= LENGTH_TOLERANCE):
            raise BankError("embedded must be vectors of length 1.")
        if self.labels.size and self.labels.max() > 1:
            raise BankError("labels must be 0 or 1.")
        if count and self.sources.max() >= FIRST_TEST_SEED:
            raise BankError(f"phantoms from seed {FIRST_TEST_SEED} on are kept for tests.")

    @property
    def digest(self) -> str:
        """SHA-256 over the arrays, the names and the encoder, in hexadecimal."""
        text = hashlib.sha256()
        text.update(json.dumps([SCHEMA, self.names, self.encoder], ensure_ascii=False).encode())
        for array in (self.embedded, self.labels, self.sources):
            text.update(f"{array.dtype.str}{array.shape}".encode())
            text.update(np.ascontiguousarray(array).tobytes())
        return text.hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Tiles of each label, and of none as ``healthy``."""
        held = {name: int(n) for name, n in zip(self.names, self.labels.sum(axis=0), strict=True)}
        return {**held, "healthy": int((self.labels.sum(axis=1) == 0).sum())}

    def added(
        self, embedded: ArrayLike, labels: ArrayLike, studies: ArrayLike, *, encoder: str
    ) -> MemoryBank:
        """Return a bank with reviewed tiles of a site behind what it held.

        Parameters
        ----------
        embedded : (A, E) array
            As the network gave them.
        labels : (A, L) array
            1 for what the reviewer confirmed.
        studies : (A,) array of int
            A number for each study, 1 or above.
        encoder : str
            Digest of the network that embedded them.

        Raises
        ------
        BankError
            When another network embedded them, or a label would have too many tiles.
        """
        if encoder != self.encoder:
            raise BankError(f"tiles of encoder {encoder[:12]} do not fit {self.encoder[:12]}.")
        numbers = np.asarray(studies, np.int64)
        if numbers.size and numbers.min() < 1:
            raise BankError("studies must be numbered from 1.")
        joined = MemoryBank(
            embedded=np.concatenate([self.embedded, unit(embedded)]),
            labels=np.concatenate([self.labels, np.asarray(labels, np.uint8)]),
            sources=np.concatenate([self.sources, -numbers]),
            names=self.names,
            encoder=self.encoder,
        )
        for name, n in joined.counts.items():
            if name != "healthy" and n > max(MOST_OF_A_LABEL, self.counts[name]):
                raise BankError(f"{name} would have {n} tiles; {MOST_OF_A_LABEL} are the most.")
        return joined

    def save(self, folder: Path) -> None:
        """Write the two files; each appears whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            "schema": SCHEMA,
            "digest": self.digest,
            "encoder": self.encoder,
            "tiles": len(self.embedded),
            "phantoms": int(np.unique(self.sources[self.sources >= 0]).size),
            "reviewed_tiles": int((self.sources < 0).sum()),
            "labels": list(self.names),
            "counts": self.counts,
        }
        arrays = folder / f"{ARRAYS}.part"
        with arrays.open("wb") as file:
            np.savez_compressed(
                file, embedded=self.embedded, labels=self.labels, sources=self.sources
            )
            file.flush()
            os.fsync(file.fileno())
        text = folder / f"{DESCRIPTION}.part"
        text.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")
        arrays.rename(folder / ARRAYS)
        text.rename(folder / DESCRIPTION)

    @classmethod
    def load(cls, folder: Path, *, encoder: str | None = None) -> MemoryBank:
        """Read a bank and hold it to its digest.

        Parameters
        ----------
        folder : Path
        encoder : str, optional
            Digest of the network that it is wanted for.

        Raises
        ------
        BankError
            When a file is missing or unreadable, the digest is another one, or the tiles were
            embedded by another network.
        """
        try:
            told: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
            with np.load(folder / ARRAYS, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in ("embedded", "labels", "sources")}
            names, made_by, digest = tuple(told["labels"]), told["encoder"], told["digest"]
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise BankError(f"{folder} holds no readable bank: {error}") from None
        bank = cls(**arrays, names=names, encoder=made_by)
        if bank.digest != digest:
            raise BankError(
                f"{folder} has digest {bank.digest[:12]}, not {digest[:12]} as it says."
            )
        if encoder is not None and encoder != made_by:
            raise BankError(f"{folder} is of encoder {made_by[:12]}, not {encoder[:12]}.")
        return bank


def build(
    embedded: ArrayLike,
    labels: ArrayLike,
    sources: ArrayLike,
    *,
    names: Sequence[str],
    encoder: str,
    groups: ArrayLike | None = None,
    scans: ArrayLike | None = None,
    seed: int = 0,
) -> MemoryBank:
    """Choose tiles for a bank: few of each phantom, no more of a common label than of a rare one.

    Parameters
    ----------
    embedded : (C, E) array
        Candidates.
    labels : (C, L) array
    sources : (C,) array of int
        Seed of the phantom of each.
    names : sequence of str
    encoder : str
    groups : (C,) array of int, optional
        Kinds of healthy tile, by what they mostly show: each counts as a label here.
    scans : (C,) array of int, optional
        A number for each planting of a phantom: planted and scanned anew, it is another phantom.
    seed : int
        Of the choice.

    Returns
    -------
    MemoryBank
        At most `MOST_OF_A_LABEL` of a label, and `MOST_OF_A_PHANTOM` of those of a phantom. Tiles
        with a rare label are taken first; a tile counts for each of its labels.
    """
    vectors, held = unit(embedded), np.asarray(labels, np.uint8)
    seeds = np.asarray(sources, np.int64)
    kinds = np.zeros(len(vectors), np.int64) if groups is None else np.asarray(groups, np.int64)
    phantoms = seeds if scans is None else np.asarray(scans, np.int64)
    healthy = held.sum(axis=1) == 0
    columns = [held[:, n] > 0 for n in range(held.shape[1])]
    columns += [healthy & (kinds == kind) for kind in np.unique(kinds[healthy])]
    member = np.stack(columns, axis=1)
    total = np.zeros(member.shape[1], np.int64)
    by_phantom: dict[tuple[int, int], int] = {}
    chosen: list[int] = []
    order = np.random.default_rng(seed).permutation(len(vectors))
    rarest = np.where(member, member.sum(axis=0), len(member) + 1).min(axis=1, initial=len(member))
    for tile in order[np.argsort(rarest[order], kind="stable")]:
        of = np.flatnonzero(member[tile])
        keys = [(int(phantoms[tile]), int(n)) for n in of]
        full = total[of] >= MOST_OF_A_LABEL
        if full.any() or any(by_phantom.get(key, 0) >= MOST_OF_A_PHANTOM for key in keys):
            continue
        chosen.append(int(tile))
        total[of] += 1
        for key in keys:
            by_phantom[key] = by_phantom.get(key, 0) + 1
    index = np.sort(np.array(chosen, np.int64))
    return MemoryBank(
        embedded=vectors[index],
        labels=held[index],
        sources=seeds[index],
        names=tuple(names),
        encoder=encoder,
    )


def unit(embedded: ArrayLike) -> NDArray[np.float16]:
    """Return vectors at length 1 as float16."""
    vectors = np.atleast_2d(np.asarray(embedded, np.float32))
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.all(np.isfinite(length)) or np.any(length == 0):
        raise BankError("embedded must be finite and not zero.")
    return (vectors / length).astype(np.float16)


def _told(array: NDArray[Any]) -> str:
    return f"{array.shape} {array.dtype}"
