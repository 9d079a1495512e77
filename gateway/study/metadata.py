"""The header of a stored file: as a dataset, and as DICOM JSON with its bulk data left out."""

from __future__ import annotations

import io
import math
from typing import Any

import pydicom
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from gateway.exceptions import InvalidHeaderError, NotFoundError
from gateway.intake.dataset import OpenDataset, open_dataset
from gateway.store.locate import StoredFile
from gateway.store.objects import ObjectReader

BINARY = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))

INLINE_BYTES = 1024
"""Longer binary values are told by their address."""

PIXEL_DATA = "7FE00010"

MAX_DEPTH = 16
"""Of a path to bulk data."""

_PIXELS_VR = {0x7FE00008: "OF", 0x7FE00009: "OD"}


class _Stored:
    """A stored file, read by position."""

    def __init__(self, reader: ObjectReader, file: StoredFile) -> None:
        self._reader = reader
        self._file = file
        self.size = file.object_length

    def read_at(self, offset: int, length: int) -> bytes:
        """Read a range; shorter than `length` only at the end."""
        length = max(0, min(length, self.size - offset))
        return self._reader.read(self._file.object_key, self._file.object_offset + offset, length)


def read_dataset_header(reader: ObjectReader, file: StoredFile) -> tuple[Dataset, str]:
    """Read everything before the pixel data; blocks.

    Returns
    -------
    Dataset
        With ``file_meta`` where the file is not deflated.
    str
        VR of the pixel data, empty where there is none.

    Raises
    ------
    InvalidHeaderError
        When it is no DICOM file any more.
    """
    found: OpenDataset = open_dataset(_Stored(reader, file), frozenset())
    pixels = found.found.pixels
    end = found.found.end
    vr = ""
    if pixels is not None:
        vr = pixels[1].vr.decode("ascii") or _PIXELS_VR.get(pixels[0], "OW")
    try:
        if found.deflated:
            window = io.BytesIO(found.source.read_at(0, end))
            return read_dataset(window, is_implicit_VR=False, is_little_endian=True), vr
        return pydicom.dcmread(io.BytesIO(found.window[:end])), vr
    except Exception as error:  # pydicom's own, whatever the bytes were
        raise InvalidHeaderError(f"The header cannot be read ({type(error).__name__}).") from None


def metadata(reader: ObjectReader, file: StoredFile, *, url: str) -> dict[str, Any]:
    """Write the header as DICOM JSON, PS3.18 annex F; blocks.

    What copies that came later have changed is told as it is now. Group 2 is left out, since
    the transfer syntax is negotiated when something is retrieved.

    Parameters
    ----------
    url : str
        Of the instance; bulk data lies under ``{url}/bulkdata/``.
    """
    ds, pixels_vr = read_dataset_header(reader, file)
    correct(ds, file.corrections)
    out = _dataset(ds, f"{url}/bulkdata/")
    if "SpecificCharacterSet" in ds:
        out["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # JSON is UTF-8
    out["00083002"] = {"vr": "UI", "Value": [file.transfer_syntax_uid]}
    if pixels_vr:
        out[PIXEL_DATA] = {"vr": pixels_vr, "BulkDataURI": f"{url}/bulkdata/{PIXEL_DATA}"}
    return dict(sorted(out.items()))


def correct(ds: Dataset, corrections: dict[str, Any]) -> None:
    """Apply what later copies changed.

    Attributes that an enhanced object keeps in its functional groups are not moved out of them.
    """
    enhanced = "PerFrameFunctionalGroupsSequence" in ds
    for keyword, value in corrections.items():
        if enhanced and keyword not in ds:
            continue
        if value is None:
            if keyword in ds:
                delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)


def bulk_value(ds: Dataset, path: str) -> bytes:
    """Give a binary value by its path: ``TAG``, or ``TAG.ITEM.TAG`` with items from 1.

    Raises
    ------
    NotFoundError
        When there is none.
    """
    words = path.split(".")
    if len(words) % 2 == 0 or len(words) > 2 * MAX_DEPTH + 1:
        raise NotFoundError("There is no bulk data of that name.")
    try:
        for tag, item in zip(words[:-1:2], words[1::2]):
            ds = ds[int(tag, 16)].value[int(item) - 1]
        element = ds[int(words[-1], 16)]
    except (KeyError, ValueError, IndexError, TypeError, OverflowError):
        raise NotFoundError("There is no bulk data of that name.") from None
    if element.VR not in BINARY or not isinstance(element.value, bytes):
        raise NotFoundError("There is no bulk data of that name.")
    return bytes(element.value)


def _dataset(ds: Dataset, prefix: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for tag in sorted(ds.keys()):
        if tag.element == 0:  # group lengths
            continue
        name = f"{int(tag):08X}"
        try:
            element = ds[tag]
            if element.VR == "SQ":
                items = [
                    _dataset(item, f"{prefix}{name}.{number}.")
                    for number, item in enumerate(element.value or (), 1)
                ]
                out[name] = {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
            else:
                out[name] = _element(element, prefix + name)
        except Exception:  # a value that is none of its VR: the attribute is told without it
            out[name] = {"vr": ds.get_item(tag).VR or "UN"}
    return out


def _element(element: DataElement, url: str) -> dict[str, Any]:
    value = element.value
    if element.VR in BINARY and isinstance(value, bytes) and len(value) > INLINE_BYTES:
        return {"vr": element.VR, "BulkDataURI": url}
    out: dict[str, Any] = element.to_json_dict(None, 0)
    if "Value" in out:
        out["Value"] = [
            None if isinstance(v, float) and not math.isfinite(v) else v for v in out["Value"]
        ]
    return out
