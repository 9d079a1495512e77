"""Results as DICOM objects: made when a screening ends, kept in its study, sent back, fetched."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pydicom
import pytest
import pytest_asyncio

from gateway.api.keys import OBJECTS
from gateway.client import GatewayClient
from gateway.commands.screen import write_results
from gateway.results.dicom_uids import ResultUids
from gateway.runtime.ports import free_port
from gateway.screening.mask import KeptMask, Mask
from gateway.screening.provenance import digest_of_uids
from gateway.settings import ResultSettings, Settings
from gateway.store import result_jobs, screenings
from gateway.store.keys import create_key
from gateway.store.masks import Pointer, write_mask
from tests.databases import fresh_database
from tests.orthanc import Orthanc, running_orthanc
from tests.partner_api import KEY, Client, api_settings, claimed, database, order, problem, running
from tests.result_case import check_result
from tests.small_ct import write_small_ct

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

PATIENCE_SECONDS = 40.0
CENTRE = (-40.0, -34.0, 30.0)
"""Of the lesion, LPS mm."""

STUDIES = {
    "cstore": "1.2.826.0.1.3680043.8.498.81",
    "stow": "1.2.826.0.1.3680043.8.498.82",
    "away": "1.2.826.0.1.3680043.8.498.83",
    "signed": "1.2.826.0.1.3680043.8.498.85",
    "none": "1.2.826.0.1.3680043.8.498.84",
}


@pytest.fixture(scope="module")
def orthanc(need_tool: Callable[[str], str]) -> Iterator[Orthanc]:
    with running_orthanc(need_tool) as running_one:
        yield running_one


@pytest.fixture(scope="module")
def settings(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory, orthanc: Orthanc
) -> Iterator[Settings]:
    """A site whose partners differ in what becomes of results."""
    home = tmp_path_factory.mktemp("site")
    (home / "partners.toml").write_text(
        f"""
        [partners.cstore]
        keys = ["cstore"]
        results = ["sr", "seg", "sc"]
        send_results_to = "pacs"

        [partners.stow]
        keys = ["stow"]
        results = ["sr", "seg"]
        send_results_to = "web"

        [partners.away]
        keys = ["away"]
        results = ["sr"]
        send_results_to = "nobody"

        [partners.signed]
        keys = ["signed"]
        results = ["sr"]

        [archives.pacs]
        tenants = ["default"]
        host = "127.0.0.1"
        port = {orthanc.dicom_port}
        ae_title = "ORTHANC"

        [archives.nobody]
        tenants = ["default"]
        host = "127.0.0.1"
        port = {free_port("127.0.0.1")}
        ae_title = "NOBODY"

        [sources.web]
        tenants = ["default"]
        url = "{orthanc.url}/dicom-web"
        """,
        encoding="utf-8",
    )
    with fresh_database(postgres_url) as url:
        made = api_settings(url, home)
        yield dataclasses.replace(
            made,
            api=dataclasses.replace(made.api, max_json_bytes=2_000_000),
            results=ResultSettings(first_delay_seconds=0.1),
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(settings: Settings) -> AsyncIterator[Client]:
    async with running(settings) as client:
        yield client


async def screened(api: Client, folder: Path, partner: str) -> str:
    """Send a study, screen it as a worker does, by the order of a partner; give the screening."""
    study = STUDIES[partner]
    paths = write_small_ct(folder / partner, study_instance_uid=study, slices=20)
    parts = [path.read_bytes() for path in paths]
    body = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + p + b"\r\n" for p in parts)
    kind = 'multipart/related; type="application/dicom"; boundary=x'
    answer = await api.post(
        "/dicomweb/studies", data=body + b"--x--\r\n", headers={"Content-Type": kind}
    )
    assert answer.status == 200, await answer.text()
    async with database(api).connection() as connection:
        key = await create_key(connection, "default", partner, ["send"], actor="test")
    as_partner = {"Authorization": f"Bearer {key.secret}"}
    made = await api.post("/v1/screenings", json={"study_instance_uid": study}, headers=as_partner)
    assert made.status == 202, await made.text()
    told = await made.json()
    await end(api, told, [pydicom.dcmread(path) for path in paths])
    return str(told["screening_id"])


async def end(api: Client, told: dict[str, Any], images: list[Any]) -> None:
    """Release a result with a lesion and its mask, and finish with organs."""
    claim = await claimed(api, told)
    first = images[0]
    uids = [str(one.SOPInstanceUID) for one in images]
    series = str(first.SeriesInstanceUID)
    affine = np.array([[0, 0, 3.0, -100], [0, 3.0, 0, -100], [3.0, 0, 0, 0], [0, 0, 0, 1]])
    array = np.zeros((20, 64, 64), np.uint8)
    array[8:13, 20:25, 18:23] = 1  # its middle is CENTRE
    organs = np.zeros((20, 64, 64), np.uint8)
    organs[:, 10:50, 10:30] = 2
    kept = [keep(api, Mask(one, affine)) for one in (array, organs)]
    (lesion_map, pointer), (organ_map, organ_pointer) = kept
    lesion = {
        **json.loads(json.dumps(LESION)),
        "series_instance_uid": series,
        "sop_instance_uid": uids[10],
    }
    result = check_result("liver", lesions=[lesion], mask=lesion_map)
    result["provenance"]["series_instance_uid"] = series
    result["provenance"]["sop_instance_digest"] = digest_of_uids(uids)
    study_level = {
        "provenance": {
            "software_version": "0",
            "inputs": {series: {"sop_instance_uids": uids, "digest": digest_of_uids(uids)}},
        },
        "anatomy": {
            series: {
                "spacing_mm": [3, 3, 3],
                "organs": {},
                "phase": {},
                "mask": {
                    **organ_map,
                    "name": "anatomy",
                    "labels": ["background", "spleen", "liver"],
                },
            }
        },
    }
    async with database(api).connection() as connection:
        await screenings.release(
            connection,
            claim,
            check="liver",
            state="positive",
            reason=None,
            result=result,
            mask=pointer,
        )
        await screenings.finish(connection, claim, study_level, masks={"anatomy": organ_pointer})


def keep(api: Client, mask: Mask) -> tuple[dict[str, Any], Pointer]:
    encoded = mask.encode()
    assert api.app is not None
    return KeptMask.of(mask, encoded).to_json(), write_mask(api.app[OBJECTS], encoded)


LESION = {
    "id": 1,
    "kind": None,
    "classes": {},
    "score": 0.9,
    "centre_mm": list(CENTRE),
    "box_mm": [[-47, -41, 24], [-33, -27, 36]],
    "long_diameter_mm": 15.0,
    "short_diameter_mm": 15.0,
    "mean_diameter_mm": 15.0,
    "volume_mm3": 3375.0,
    "hu": None,
    "mask_value": 1,
    "measures": {},
    "frame_number": 1,
    "slice_index": 10,
    "site": "liver",
    "side": "right",
    "marked": True,
    "flagged": True,
}


async def until(
    api: Client, screening: str, wanted: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Wait for the only result of a screening to be so."""
    job: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not (job and wanted(job)):
            answer = await api.get(f"/v1/screenings/{screening}/results")
            [job] = (await answer.json())["results"]
            await asyncio.sleep(0.1)
    return job


async def test_results_are_kept_sent_and_fetched(
    api: Client, tmp_path: Path, orthanc: Orthanc
) -> None:
    """By C-STORE and by STOW-RS; in the study that they are about, and never screened."""
    sent = {name: await screened(api, tmp_path, name) for name in ("cstore", "stow")}
    for name, screening in sent.items():
        job = await until(api, screening, lambda one: one["state"] in ("done", "failed"))
        assert (job["state"], job["last_error"]) == ("done", None), job
        kinds = [one["kind"] for one in job["objects"]]
        assert kinds == (["sr", "seg", "sc", "sc"] if name == "cstore" else ["sr", "seg"])
        held = orthanc.call("POST", "/tools/lookup", STUDIES[name].encode())
        [study] = [one["ID"] for one in held if one["Type"] == "Study"]
        there = orthanc.call("GET", f"/studies/{study}/instances?expand")
        uids = {one["MainDicomTags"]["SOPInstanceUID"] for one in there}
        assert uids == {one["sop_instance_uid"] for one in job["objects"]}
        listed = await api.get(f"/dicomweb/studies/{STUDIES[name]}/series")
        modalities = [one["00080060"]["Value"][0] for one in await listed.json()]
        assert sorted(modalities) == (["CT", "OT"] if name == "cstore" else ["CT"]) + ["SEG", "SR"]
    again = orthanc.call("GET", f"/studies/{study}/instances?expand")
    segs = [one for one in again if one["MainDicomTags"]["SOPInstanceUID"] in uids]
    for one in segs:
        tags = orthanc.call("GET", f"/instances/{one['ID']}/simplified-tags")
        assert tags["PatientID"] == "PID-4711-X"
    async with database(api).connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) AS n FROM screenings WHERE study_instance_uid = ANY(%s)",
            ([STUDIES[name] for name in sent],),
        )
        row = await cursor.fetchone()
        assert row["n"] == len(sent)
    screening = sent["cstore"]
    seg = pydicom.dcmread(io.BytesIO(await fetched(api, screening, "seg")))
    assert [one.SegmentLabel for one in seg.SegmentSequence] == ["liver 1", "liver"]
    assert seg.NumberOfFrames == 5 + 20
    report = pydicom.dcmread(io.BytesIO(await fetched(api, screening, "sr")))
    assert report.VerificationFlag == "UNVERIFIED"
    answer = await api.get(f"/v1/screenings/{screening}/sc")
    assert answer.content_type == "multipart/related"
    assert (await answer.read()).count(b"DICM") == 2
    result = await (await api.get(f"/v1/screenings/{screening}")).json()
    client = GatewayClient(str(api.make_url("/")), KEY)
    await write_results(tmp_path / "out", [result], client, dicom=True)
    written = sorted(
        path.name.removeprefix(STUDIES["cstore"]) for path in tmp_path.glob("out/*.dcm")
    )
    assert written == [".sc.1.dcm", ".sc.2.dcm", ".seg.1.dcm", ".sr.1.dcm"]
    stored = await api.get(
        f"/dicomweb/studies/{STUDIES['cstore']}/series/{seg.SeriesInstanceUID}"
        f"/instances/{seg.SOPInstanceUID}/metadata"
    )
    assert stored.status == 200


async def fetched(api: Client, screening: str, kind: str) -> bytes:
    answer = await api.get(f"/v1/screenings/{screening}/{kind}")
    assert (answer.status, answer.content_type) == (200, "application/dicom"), await answer.text()
    return bytes(await answer.read())


async def test_an_archive_that_is_away_is_asked_again(api: Client, tmp_path: Path) -> None:
    """What is made stays; the log says why it was not sent; replaying begins a new day."""
    screening = await screened(api, tmp_path, "away")
    job = await until(api, screening, lambda one: one["last_error"] is not None)
    assert (job["state"], job["last_error"]) == ("made", "pacs.unreachable")
    assert job["made_at"] is not None
    async with database(api).connection() as connection:
        [row] = await result_jobs.of_screening(connection, "default", UUID(screening))
        stale = {**row, "attempts": row["attempts"] + 1}  # somebody else has it now
        assert not await result_jobs.sent(connection, stale)
        assert not await result_jobs.made(connection, stale, [])
    assert await fetched(api, screening, "sr")
    async with database(api).connection() as connection:
        await connection.execute("UPDATE result_jobs SET due_since = now() - interval '2 days'")
    job = await until(api, screening, lambda one: one["state"] == "failed")
    assert job["next_attempt_at"] is None
    answer = await api.post(f"/v1/screenings/{screening}/results/{job['job_id']}/replay")
    assert (answer.status, (await answer.json())["state"]) == (202, "made")
    other = await api.post(f"/v1/screenings/{screening}/results/{screening}/replay")
    await problem(other, 404, "request.not_found")


async def test_what_nobody_ordered_is_made_when_it_is_fetched(api: Client, tmp_path: Path) -> None:
    """The same bytes each time, nothing is owed; before its end a screening has no objects."""
    told = await order(api)
    await problem(
        await api.get(f"/v1/screenings/{told['screening_id']}/sr"), 409, "request.conflict"
    )
    screening = await screened(api, tmp_path, "none")
    answer = await api.get(f"/v1/screenings/{screening}/results")
    assert await answer.json() == {"results": []}
    first, again = [await fetched(api, screening, "sr") for _ in range(2)]
    assert first == again
    result = await (await api.get(f"/v1/screenings/{screening}")).json()
    uids = ResultUids("default", result)
    ds = pydicom.dcmread(io.BytesIO(first))
    assert ds.SOPInstanceUID == uids.of("sr", "instance", "UNSIGNED")


async def test_a_signature_makes_another_report(api: Client, tmp_path: Path) -> None:
    """VERIFIED, made of the result as the reader left it, sent as the first was."""
    screening = await screened(api, tmp_path, "signed")
    first = await until(api, screening, lambda one: one["state"] == "done")
    async with database(api).connection() as connection:
        key = await create_key(connection, "default", "anna", ["review", "read"], actor="test")
    reader = {"Authorization": f"Bearer {key.secret}"}

    async def ask(method: str, path: str, body: Any) -> Any:
        answer = await api.request(method, path, json=body, headers=reader)
        assert answer.status < 300, await answer.text()
        return await answer.json()

    draft = await ask("POST", f"/v1/screenings/{screening}/reviews", {})
    path = f"/v1/reviews/{draft['review_id']}"
    said = {"findings": {"liver": {"decision": "accepted"}}, "comment": "As in June."}
    saved = await ask("PUT", path, {"revision": draft["revision"], "content": said})
    await ask("POST", f"{path}/sign", {"revision": saved["revision"]})
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await api.get(f"/v1/screenings/{screening}/results")
            jobs = (await answer.json())["results"]
            if len(jobs) == 2 and jobs[1]["state"] in ("done", "failed"):
                break
            await asyncio.sleep(0.1)
    assert (jobs[1]["state"], jobs[1]["review_id"]) == ("done", draft["review_id"]), jobs[1]
    report = pydicom.dcmread(io.BytesIO(await fetched(api, screening, "sr")))
    assert report.VerificationFlag == "VERIFIED"
    assert "anna" in str(report.VerifyingObserverSequence[0].VerifyingObserverName)
    assert report.SOPInstanceUID == jobs[1]["objects"][0]["sop_instance_uid"]
    [before] = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    named = before.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert named == first["objects"][0]["sop_instance_uid"] != report.SOPInstanceUID
    listed = await api.get(
        f"/dicomweb/studies/{STUDIES['signed']}/instances", params={"Modality": "SR"}
    )
    assert len(await listed.json()) == 2
