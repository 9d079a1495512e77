"""Text of a source and of ours in one object: which character set, and what becomes of bytes.

What the source says is kept to the letter. Where its bytes are no text of the character set that
it names, they are copied as they are, and what we add to them is plain ASCII.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

UTF_8 = "ISO_IR 192"
ANY_TEXT = {UTF_8: "utf-8", "GB18030": "gb18030"}
"""Character sets in which every character can be written, and their codecs."""

_DELIMITERS = {ord("\\"), ord("^"), ord("="), ord("\r"), ord("\n"), ord("\t"), ord("\f")}
_LONGEST = 0xFFFE
"""Of a value of a VR with a length of two bytes; a longer one is written as UN."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Attributes of a source, ready to be written."""

    character_set: tuple[str, ...]
    """(0008,0005) of the object that they are copied into."""

    elements: tuple[RawDataElement, ...]

    @property
    def any_text(self) -> bool:
        """Whether what we add may hold characters beyond ASCII."""
        return self.character_set[:1] != () and self.character_set[0] in ANY_TEXT

    def into(self, ds: Dataset) -> None:
        """Put them into an object, over what it had."""
        if self.character_set:
            ds.SpecificCharacterSet = list(self.character_set)
        elif "SpecificCharacterSet" in ds:
            del ds.SpecificCharacterSet
        for element in self.elements:
            ds[element.tag] = element


def copy_attributes(header: Dataset, keywords: Iterable[str]) -> Copied:
    """Copy attributes of a header; those that it lacks are left empty."""
    declared = _declared(header)
    wanted = [(Tag(tag_for_keyword(name) or 0), dictionary_VR(name)) for name in keywords]
    kept = {tag: _bytes_or_text(header, tag) for tag, _ in wanted}
    target = declared[0] if declared and declared[0] in ANY_TEXT else UTF_8
    texts: dict[int, str] = {}
    for tag, value in kept.items():
        text = value if isinstance(value, str) else _decoded(value, declared)
        if text is None:
            break
        texts[tag] = text
    else:
        codec = ANY_TEXT[target]
        encoded = {tag: texts[tag].encode(codec, "surrogatepass") for tag, _ in wanted}
        return Copied((target,), tuple(_raw(tag, vr, encoded[tag]) for tag, vr in wanted))
    as_it_is = {
        tag: value if isinstance(value, bytes) else value.encode("ascii", "replace")
        for tag, value in kept.items()
    }
    return Copied(tuple(declared), tuple(_raw(tag, vr, as_it_is[tag]) for tag, vr in wanted))


def _declared(header: Dataset) -> list[str]:
    said = header.get("SpecificCharacterSet")
    if said is None or said == "":
        return []
    return [said] if isinstance(said, str) else [str(one) for one in said]


def _bytes_or_text(header: Dataset, tag: int) -> bytes | str:
    """Give a value's bytes as they were stored, or its text where it was set later."""
    if tag not in header:
        return b""
    element = header.get_item(tag)
    if isinstance(element, RawDataElement):
        return (element.value or b"").rstrip(b"\0")
    assert isinstance(element, DataElement)
    value = element.value
    if value is None:
        return b""
    if isinstance(value, PersonName):
        return value.original_string if value.original_string else str(value)
    if isinstance(value, str | bytes | int | float):
        return value if isinstance(value, bytes) else str(value)
    return "\\".join(str(one) for one in value)


def _decoded(value: bytes, declared: list[str]) -> str | None:
    """Read text strictly; None where it is none of the declared character sets."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    if not declared:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            encodings = convert_encodings(list(declared))
            if len(encodings) == 1 and b"\x1b" not in value:
                return value.decode(encodings[0])
            return str(decode_bytes(value, encodings, _DELIMITERS))
    except (UserWarning, LookupError, ValueError):
        return None


def _raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    long = len(value) > _LONGEST
    return RawDataElement(Tag(tag), "UN" if long else vr, len(value), value, 0, False, True)
