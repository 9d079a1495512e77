"""Studies with results as workers write them, patients with names that nobody expects."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import numpy as np
import pydicom
from aiohttp import web

from gateway.api.keys import DATABASE, OBJECTS
from gateway.screening.findings import CheckResult
from gateway.screening.mask import KeptMask, Mask
from gateway.store import screenings
from gateway.store.masks import write_mask
from tests.access_server import STORE_TYPE, body_of
from tests.small_ct import write_small_ct

SLICES, SIZE = 40, 96

LESION = (25, 40, 60)
"""Voxel (slice, row, column) of the planted lesion's centre."""

SECOND = (12, 50, 40)
"""Of a second lesion, where a check says two."""

SPACING_MM = 3.0
ORIGIN_MM = (-100.0, -100.0, 0.0)

LESIONS = {"lesion": (LESION,), "pair": (LESION, SECOND)}
"""What a check finds → where its lesions lie."""

HOSTILE = (
    '<img src=x onerror="alert(1)"><script>alert(2)</script>^\u202egnp.exe\u202c'
    "^\"' onmouseover=alert(3) x='"
)

LONG = "Hubert" + "Blaine" * 10_920
"""64 KB, as much as an explicit VR holds; intake keeps the first 1,024 characters."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a test needs to find a study again."""

    study: str
    screening: UUID


Asked = tuple[str, dict[str, Any], tuple[str, ...]]
"""Name of a study, attributes that differ, what its checks find."""


async def write_studies(
    app: web.Application, url: str, folder: Path, asked: Sequence[Asked] = ()
) -> dict[str, Written]:
    """Store and screen those that are asked for, or else those of every module, by name."""
    made = {}
    for number, (name, changes, results) in enumerate(asked or _studies()):
        with pydicom.config.disable_value_validation():  # as senders do
            paths = write_small_ct(folder / name, slices=SLICES, size=SIZE, changes=changes)
            _plant(paths)
        headers = {"Authorization": "Bearer key-of-the-test", "Content-Type": STORE_TYPE}
        async with aiohttp.ClientSession() as session:
            async with session.post(
                f"{url}/dicomweb/studies", data=io.BytesIO(body_of(paths)), headers=headers
            ) as sent:
                assert sent.status == 200, await sent.text()
        first = pydicom.dcmread(paths[0], stop_before_pixels=True)
        series = str(first.SeriesInstanceUID)
        made[name] = await _screen(app, str(first.StudyInstanceUID), series, results, number)
    return made


def _studies() -> list[Asked]:
    chinese = "Wang^XiaoDong=王^小东"
    return [
        ("plain", {"PatientName": "Doe^Jane", "PatientID": "P-001"}, ("negative",)),
        (
            "hostile",
            {
                "SpecificCharacterSet": "ISO_IR 192",
                "PatientName": HOSTILE,
                "PatientID": "P-<b>2</b>",
            },
            ("note",),
        ),
        ("long", {"PatientName": LONG, "PatientID": "P-003"}, ("not_evaluated",)),
        (
            "chinese",
            {
                "SpecificCharacterSet": "GB18030",
                "PatientName": chinese,
                "PatientID": "P-004",
                "StudyDescription": "胸部平扫",
            },
            ("critical", "lesion"),
        ),
        ("lesion", {"PatientName": "Roe^Richard", "PatientID": "P-005"}, ("lesion", "failed")),
        ("waiting", {"PatientName": "Poe^Ann", "PatientID": "P-006"}, ()),
    ]


def centre_mm(voxel: tuple[int, int, int] = LESION) -> list[float]:
    """Where the planted lesion lies, or another voxel, LPS."""
    s, r, c = voxel
    x, y, z = ORIGIN_MM
    return [x + SPACING_MM * c, y + SPACING_MM * r, z + SPACING_MM * s]


def _plant(paths: list[Path]) -> None:
    """Add a ball of 15 mm to the disc."""
    s, r, c = LESION
    y, x = np.mgrid[:SIZE, :SIZE]
    for index, path in enumerate(paths):
        near = ((y - r) ** 2 + (x - c) ** 2 + (index - s) ** 2) * SPACING_MM**2 <= 7.5**2
        if near.any():
            ds = pydicom.dcmread(path)
            pixels = np.frombuffer(ds.PixelData, "<i2").reshape(SIZE, SIZE).copy()
            pixels[near] = 400
            ds.PixelData = pixels.tobytes()
            pydicom.dcmwrite(path, ds, enforce_file_format=True)


async def _screen(
    app: web.Application, study: str, series: str, results: tuple[str, ...], number: int
) -> Written:
    checks = tuple(_check(kind) for kind in results) or ("liver",)
    order = screenings.Order(study_instance_uid=study, checks=checks, clinical={})
    async with app[DATABASE].connection() as connection:
        row, _ = await screenings.create(connection, "default", order)
        if not results:
            return Written(study, row["screening_id"])
        claim = await screenings.claim(connection, row["screening_id"], 1, f"w/{number}")
        assert claim is not None
        for kind in results:
            result, mask = _result(kind, series)
            await screenings.release(
                connection,
                claim,
                check=result.check,
                state=result.state,
                reason=result.reason,
                result=result.to_json(),
                mask=write_mask(app[OBJECTS], mask.encode()) if mask else None,
            )
        await screenings.finish(connection, claim, {})
    return Written(study, row["screening_id"])


def _check(kind: str) -> str:
    checks = {"critical": "aorta", "lesion": "nodule", "pair": "nodule", "failed": "pancreas"}
    return checks.get(kind, "liver")


def _result(kind: str, series: str) -> tuple[CheckResult, Mask | None]:
    provenance = {
        "pipeline": _check(kind),
        "version": "0.1.0",
        "series_instance_uid": series,
        "weights_origin": "synthetic",
        "software_version": "0.1.0",
    }
    if kind in ("not_evaluated", "failed"):
        reason = {"not_evaluated": "contrast", "failed": "crashed"}[kind]
        made = CheckResult.without_answer(_check(kind), kind, reason, provenance=provenance)
        return made, None
    thresholds = {
        "set": "test-1",
        "score": "probability",
        "unit": "1",
        "mark": 0.3,
        "flag": 0.6,
        "lesion": None,
        "marked_by": [] if kind == "negative" else ["probability"],
        "flagged_by": ["probability"] if kind in ("critical", *LESIONS) else [],
    }
    state = {"negative": "negative", "note": "indeterminate"}.get(kind, "positive")
    urgency = "critical" if kind == "critical" else "follow_up" if kind in LESIONS else "note"
    mask = _mask() if kind in LESIONS else None
    kept = KeptMask.of(mask, mask.encode()).to_json() if mask else None
    return (
        CheckResult(
            check=_check(kind),
            state=state,
            reason="weights_not_accepted" if kind == "note" else None,
            score={"negative": 0.05, "note": 0.41}.get(kind, 0.87),
            grade="4A" if kind in LESIONS else None,
            thresholds=thresholds,
            urgency=urgency,
            lesions=tuple(
                _lesion(series, number + 1, voxel)
                for number, voxel in enumerate(LESIONS.get(kind, ()))
            ),
            mask={**kept, "description": "lesions"} if kept else None,
            measures={"probability": 0.87, "volume": 1767.0},
            units={"probability": "1", "volume": "mm3"},
            text={"en": f"What was seen: {kind}.", "zh": f"所见：{kind}。"},
            provenance=provenance,
        ),
        mask,
    )


def _lesion(series: str, number: int, voxel: tuple[int, int, int]) -> dict[str, Any]:
    at = centre_mm(voxel)
    return {
        "id": number,
        "kind": "solid_nodule",
        "classes": {"solid_nodule": 0.9},
        "score": 0.87,
        "centre_mm": at,
        "box_mm": [[v - 7.5 for v in at], [v + 7.5 for v in at]],
        "long_diameter_mm": 15.0,
        "short_diameter_mm": 14.8,
        "mean_diameter_mm": 14.9,
        "volume_mm3": 1767.0,
        "hu": None,
        "mask_value": number,
        "measures": {},
        "series_instance_uid": series,
        "sop_instance_uid": None,
        "frame_number": 1,
        "slice_index": voxel[0],
        "site": "lung_left",
        "side": "left",
        "marked": True,
        "flagged": True,
    }


def _mask() -> Mask:
    """Outline the lesion on a grid of its own, 1.5 mm, that begins elsewhere."""
    step, size = 1.5, 16
    at = np.array(centre_mm())
    begin = at - step * (size - 1) / 2
    z, y, x = np.mgrid[:size, :size, :size]
    away = np.sqrt(sum(((g - (size - 1) / 2) * step) ** 2 for g in (z, y, x)))
    geometry = np.eye(4)
    geometry[:3, :3] = [[0, 0, step], [0, step, 0], [step, 0, 0]]
    geometry[:3, 3] = begin
    return Mask((away <= 7.5).astype(np.uint8), geometry)
