"""One screening in its forms: JSON for whoever asks for nothing else, FHIR for whoever does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import pytest_asyncio

from gateway.cli import main
from gateway.client import GatewayClient
from gateway.commands.screen import write_results
from gateway.results.fhir import validated
from gateway.store.study_header import study_header
from tests.databases import fresh_database
from tests.fhir_case import lesion
from tests.fhir_r4 import added_by_r4b, unknown_to_r4
from tests.fhir_reading import read_checks, resources
from tests.partner_api import (
    KEY,
    Client,
    api_settings,
    claimed,
    database,
    finish,
    order,
    problem,
    release,
    running,
)
from tests.small_ct import write_small_ct

pytestmark = [pytest.mark.postgres, pytest.mark.asyncio(loop_scope="module")]

FHIR = "application/fhir+json"
STUDY = "1.2.826.0.1.3680043.8.498.91"
NAME = "Wang^XiaoDong=王^小东<script>"


@dataclass
class Screened:
    """A server with one study of two slices, screened, its nodule on the first of them."""

    api: Client
    path: str
    image: Any


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def screened(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Screened]:
    """One for the module, since its tests only read."""
    folder = tmp_path_factory.mktemp("home")
    with fresh_database(postgres_url) as url:
        async with running(api_settings(url, folder)) as api:
            yield await screen(api, folder)


async def screen(api: Client, folder: Path) -> Screened:
    """Send the study and screen it as a worker does."""
    paths = write_small_ct(
        folder / "ct",
        slices=2,
        study_instance_uid=STUDY,
        changes={
            "SpecificCharacterSet": "ISO_IR 192",
            "PatientName": NAME,
            "PatientID": "P-1",
            "AccessionNumber": "ACC-9",
        },
    )
    parts = b"".join(
        b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n"
        for path in paths
    )
    kind = 'multipart/related; type="application/dicom"; boundary=X'
    stored = await api.post(
        "/dicomweb/studies", data=parts + b"--X--\r\n", headers={"Content-Type": kind}
    )
    assert stored.status == 200, await stored.text()
    image = pydicom.dcmread(paths[0])
    made = await order(api, STUDY, checks=["liver"])
    claim = await claimed(api, made)
    there = lesion(
        1,
        series_instance_uid=str(image.SeriesInstanceUID),
        sop_instance_uid=str(image.SOPInstanceUID),
    )
    await release(
        api, claim, "liver", state="positive", score=0.9, urgency="urgent", lesions=(there,)
    )
    path = f"/v1/screenings/{made['screening_id']}"
    early = await (await api.get(f"{path}/fhir")).json()
    assert resources(early, "DiagnosticReport")[0]["status"] == "partial"
    await finish(api, claim)
    return Screened(api, path, image)


async def test_forms_are_negotiated(screened: Screened) -> None:
    """JSON is the default; 406 for what is given in no form."""
    api, path = screened.api, screened.path
    for accept in (
        "",
        "*/*",
        "application/*",
        "application/json",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        f"{FHIR};q=0.5, application/json",
        "application/fhir+json; fhirVersion=5.0, */*;q=0.1",
    ):
        answer = await api.get(path, headers={"Accept": accept})
        assert (answer.status, answer.content_type) == (200, "application/json"), accept
        assert answer.headers["Vary"] == "Accept"
    for accept in (FHIR, f"application/json;q=0.5, {FHIR}", f"{FHIR}; fhirVersion=4.0, */*;q=0.1"):
        answer = await api.get(path, headers={"Accept": accept})
        assert answer.status == 200, accept
        assert answer.headers["Content-Type"] == "application/fhir+json; fhirVersion=4.0"
        assert answer.headers["Vary"] == "Accept"
    for accept in (
        "text/html",
        "application/fhir+xml",
        f"{FHIR}; fhirVersion=5.0",
        "application/json;q=0",
        'multipart/related; type="application/json"',
    ):
        await problem(
            await api.get(path, headers={"Accept": accept}), 406, "request.not_acceptable"
        )
    for accept in ("text/html", f"{FHIR}; fhirVersion=3.0"):
        await problem(
            await api.get(f"{path}/fhir", headers={"Accept": accept}),
            406,
            "request.not_acceptable",
        )


async def test_the_bundle_says_what_the_json_says(screened: Screened) -> None:
    """Of the study as it was received, by either address, byte by byte the same."""
    api, path = screened.api, screened.path
    first = await api.get(f"{path}/fhir")
    again = await api.get(path, headers={"Accept": FHIR})
    assert first.status == again.status == 200, await first.text()
    assert await first.read() == await again.read()
    bundle = validated(await first.json())
    assert not list(unknown_to_r4(bundle, "Bundle"))
    assert not added_by_r4b(bundle)
    told = (await (await api.get(path)).json())["checks"]
    (check,) = read_checks(bundle)
    for key in ("check", "state", "reason", "score", "urgency", "text"):
        assert check[key] == told[0][key], key
    assert check["lesions"][0]["centre_mm"] == told[0]["lesions"][0]["centre_mm"]
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["status"] == "preliminary"
    assert {"urn:oid:" + STUDY, "ACC-9"} <= {one["value"] for one in report["identifier"]}
    assert report["contained"][0]["name"][1]["text"] == "王 小东<script>"
    assert report["contained"][0]["identifier"][0]["value"] == "P-1"
    (study,) = resources(bundle, "ImagingStudy")
    (series,) = study["series"]
    (instance,) = series["instance"]
    assert series["numberOfInstances"] == 2
    assert instance["uid"] == screened.image.SOPInstanceUID
    assert instance["sopClass"]["code"] == f"urn:oid:{screened.image.SOPClassUID}"
    assert instance["number"] == screened.image.InstanceNumber


async def test_a_header_is_of_its_tenant(screened: Screened) -> None:
    """Nobody else's study is described, nor one that is not there."""
    uid = str(screened.image.SOPInstanceUID)
    async with database(screened.api).connection() as connection:
        mine = await study_header(connection, "default", STUDY, [uid, "1.2.3"])
        assert mine is not None
        assert mine.attributes["PatientName"] == NAME
        assert [one.sop_instance_uid for one in mine.instances] == [uid]
        assert await study_header(connection, "other", STUDY, [uid]) is None
        assert await study_header(connection, "default", "1.2.3") is None
        assert await study_header(connection, "default", None) is None


async def test_the_command_writes_it_beside_the_json(screened: Screened, tmp_path: Path) -> None:
    """As ``STUDY.fhir.json``, the same as the server gives; only when asked."""
    address = str(screened.api.make_url("/"))
    result = await (await screened.api.get(screened.path)).json()
    await write_results(tmp_path / "without", [result], GatewayClient(address, KEY))
    assert [one.name for one in (tmp_path / "without").iterdir()] == [f"{STUDY}.json"]
    await write_results(tmp_path / "with", [result], GatewayClient(address, KEY), fhir=True)
    written = json.loads((tmp_path / "with" / f"{STUDY}.fhir.json").read_text(encoding="utf-8"))
    assert written == await (await screened.api.get(f"{screened.path}/fhir")).json()


async def test_fhir_needs_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is read or started."""
    assert main(["screen", "nowhere", "--fhir"]) == 2
    assert "--out" in capsys.readouterr().err


async def test_what_is_not_there_has_no_form(screened: Screened) -> None:
    """404, whatever is asked for."""
    nowhere = "/v1/screenings/9a0a1a8c-1434-4a73-bdd3-2c192b78f80e"
    for path in (nowhere, f"{nowhere}/fhir", "/v1/screenings/x/fhir"):
        await problem(
            await screened.api.get(path, headers={"Accept": FHIR}), 404, "request.not_found"
        )
