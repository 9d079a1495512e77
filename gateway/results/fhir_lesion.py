"""FHIR Observations of lesions: one of each that is shown, with its place, size and HU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.results.dicom_codes import (
    HU_MEASURES,
    LESION_MEASURES,
    OWN,
    PROBABILITY,
    SIDES,
    Code,
    organ_code,
)
from gateway.results.fhir_check import item, number
from gateway.results.fhir_terms import (
    SCHEMES,
    Element,
    coding,
    concept,
    ours,
    plain,
    quantity,
    uid,
)

Lesion = Mapping[str, Any]

HU = "[hnsf'U]"


def is_shown(lesion: Lesion) -> bool:
    """Tell whether a lesion is for readers; those below the thresholds stay in the JSON."""
    return bool(lesion.get("marked") or lesion.get("flagged"))


def standard(known: Code) -> Element | None:
    """Give a code of a dictionary; None of one of our own, which stands under our own systems."""
    if known.scheme == OWN:
        return None
    return {"system": SCHEMES[known.scheme], "code": known.value, "display": known.meaning}


def lesion_code(codes: Mapping[str, Any], kind: str | None) -> Element:
    """Name what a lesion is one of: the finding of its check."""
    finding = coding(codes.get("finding"))
    what = plain(kind or "").replace("_", " ") or (finding or {}).get("display") or "lesion"
    return concept(ours("item", "lesion"), finding, en=what)


def body_site(lesion: Lesion) -> Element | None:
    """Give the organ in which it lies; None where that is not known."""
    site, side = lesion.get("site"), lesion.get("side")
    if not site:
        return None
    known = standard(organ_code(site)[0])
    bare = site.removesuffix("_left").removesuffix("_right").replace("_", " ")
    words = f"{side} {bare}" if side in SIDES else bare
    return concept(ours("organ", site), known, en=words)


def answer(lesion: Lesion) -> Element:
    """Say whether it is flagged or only marked: a machine's mark is no established presence."""
    shown = "flagged" if lesion.get("flagged") else "marked"
    return {"valueCodeableConcept": concept(ours("lesion", shown), en=shown.capitalize())}


def components(lesion: Lesion, code: Element) -> list[Element]:
    """Give place, sizes, HU, score and kinds, in an order that stays the same."""
    found = [*_place(lesion), *_sizes(lesion), *_judged(lesion)]
    taken = {(one["system"], one["code"]) for one in code["coding"]}
    for one in found:  # obs-7: the code of the whole is never that of a part
        codings = one["code"]["coding"]
        one["code"]["coding"] = [c for c in codings if (c["system"], c["code"]) not in taken]
    return found


def _place(lesion: Lesion) -> Iterable[Element]:
    yield item("lesion_id", valueInteger=lesion["id"])
    for axis, value in zip("xyz", lesion["centre_mm"], strict=True):
        yield item(f"centre_{axis}", valueQuantity=quantity(value, "mm"))
    for corner, point in zip(("low", "high"), lesion.get("box_mm") or (), strict=False):
        for axis, value in zip("xyz", point, strict=True):
            yield item(f"box_{corner}_{axis}", valueQuantity=quantity(value, "mm"))
    if side := lesion.get("side"):
        known = standard(SIDES[side]) if side in SIDES else None
        yield item("side", valueCodeableConcept=concept(ours("side", side), known))
    for name in ("series_instance_uid", "sop_instance_uid"):
        if lesion.get(name):
            yield item(name, valueString=uid(lesion[name]))
    for name in ("frame_number", "slice_index"):
        if lesion.get(name) is not None:
            yield item(name, valueInteger=lesion[name])


def _sizes(lesion: Lesion) -> Iterable[Element]:
    for name, (code, unit) in LESION_MEASURES.items():
        if lesion.get(name) is not None:
            what = concept(ours("item", name), standard(code))
            yield {"code": what, "valueQuantity": quantity(lesion[name], unit)}
    for name, code in HU_MEASURES.items():
        if lesion.get("hu"):
            what = concept(ours("item", f"hu_{name}"), standard(code))
            yield {"code": what, "valueQuantity": quantity(lesion["hu"][name], HU)}


def _judged(lesion: Lesion) -> Iterable[Element]:
    if lesion.get("score") is not None:
        what = concept(ours("item", "score"), standard(PROBABILITY))
        yield {"code": what, "valueQuantity": quantity(lesion["score"], "1")}
    if kind := lesion.get("kind"):
        yield item("kind", valueCodeableConcept=concept(ours("kind", kind)))
    if category := lesion.get("category"):
        yield item("category", valueString=plain(category))
    for kind, chance in sorted((lesion.get("classes") or {}).items()):
        what = concept(ours("kind", kind))
        yield {"code": what, "valueQuantity": quantity(chance, "1")}
    for name, value in sorted((lesion.get("measures") or {}).items()):
        yield {"code": concept(ours("measure", name)), **number(value, None)}
