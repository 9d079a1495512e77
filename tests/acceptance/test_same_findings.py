"""The same study by curl, dicomweb-client and storescu, and pulled from Orthanc: one answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomweb_client import DICOMwebClient

from gateway.client import GatewayClient
from gateway.commands.operator import on_database
from gateway.runtime.ports import free_port
from gateway.settings import ROOT, Settings
from gateway.store import keys
from gateway.store.database import Connection
from networks.phantoms.study import make_study
from tests.orthanc import Orthanc, running_orthanc
from tests.served import Served, serving

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.timeout(300)]

CHECKS = ("calcium", "liver")
MODELS = ("anatomy*", "calcium*", "ct_*", "liver*")
"""What those need; a server with them alone is up sooner."""

WAYS = ("curl", "client", "storescu", "dimse", "dicomweb")
"""Each is a tenant of its own."""

PARTNERS = """
[partners.modality]
tenant = "storescu"
ae_titles = ["STORESCU"]

[archives.orthanc]
tenants = ["dimse"]
host = "127.0.0.1"
port = {dicom_port}
ae_title = "{ae_title}"
requests_per_minute = 6000

[sources.orthanc]
tenants = ["dicomweb"]
url = "{url}/dicom-web"
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, an archive with a study, and the study's files."""

    served: Served
    dimse_port: int
    secrets: dict[str, str]
    study: str
    files: list[Path]


def fill(orthanc: Orthanc, files: list[Path]) -> None:
    for file in files:
        orthanc.call("POST", "/instances", file.read_bytes())


def keys_of(served: Served) -> dict[str, str]:
    """Make the tenants, and a key of each."""

    async def make(connection: Connection) -> dict[str, str]:
        made = {}
        for tenant in WAYS:
            await keys.ensure_tenant(connection, tenant)
            key = await keys.create_key(connection, tenant, "test", ["send", "read"], actor="test")
            made[tenant] = key.secret
        return made

    return on_database(Settings(home=served.home), make)


@pytest.fixture(scope="module")
def scene(
    tmp_path_factory: pytest.TempPathFactory, need_tool: Callable[[str], str]
) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("same")
    truth = make_study(
        folder / "study", seed=11, pdff_percent=20, matrix=256, increment_mm=3.0, series=("thin",)
    )
    files = sorted((folder / "study").rglob("*.dcm"))
    assert len(files) > 50
    rights = {f"DicomAlwaysAllow{name}": True for name in ("Find", "Get")}
    port = free_port("127.0.0.1")
    with running_orthanc(need_tool, **rights) as orthanc:
        fill(orthanc, files)
        partners = folder / "partners.toml"
        partners.write_text(
            PARTNERS.format(
                url=orthanc.url, dicom_port=orthanc.dicom_port, ae_title=orthanc.ae_title
            )
        )
        models = folder / "models"
        models.mkdir()
        for pattern in MODELS:
            for model in (ROOT / "model_repository").glob(pattern):
                (models / model.name).symlink_to(model)
        settings = {
            "INTAKE__PARTNERS": str(partners),
            "DIMSE__PORT": str(port),
            "TRITON__MODEL_REPOSITORY": str(models),
        }
        with serving(**settings) as served:
            yield Scene(served, port, keys_of(served), truth["study_instance_uid"], files)


def by_curl(scene: Scene, folder: Path, need_tool: Callable[[str], str]) -> None:
    """One STOW-RS request, its body put together here."""
    body = folder / "body"
    with body.open("wb") as out:
        for file in scene.files:
            out.write(b"--B\r\nContent-Type: application/dicom\r\n\r\n")
            out.write(file.read_bytes() + b"\r\n")
        out.write(b"--B--\r\n")
    command = [need_tool("curl"), "-sS", "--fail-with-body", "-X", "POST", "-T", str(body)]
    command += ["-H", f"Authorization: Bearer {scene.secrets['curl']}"]
    command += ["-H", 'Content-Type: multipart/related; type="application/dicom"; boundary=B']
    command += ["-H", "Accept: application/dicom+json", f"{scene.served.url}/dicomweb/studies"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def by_client(scene: Scene) -> None:
    """As a script in Python does it."""
    headers = {"Authorization": f"Bearer {scene.secrets['client']}"}
    client = DICOMwebClient(f"{scene.served.url}/dicomweb", headers=headers)
    client.store_instances([pydicom.dcmread(file) for file in scene.files])


def by_storescu(scene: Scene, need_tool: Callable[[str], str]) -> None:
    """As a scanner does it; the tenant is that of its AE title."""
    command = [need_tool("storescu"), "-aet", "STORESCU", "-aec", "ONESCAN", "127.0.0.1"]
    command += [str(scene.dimse_port), *map(str, scene.files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def screened(scene: Scene, way: str, **source: Any) -> dict[str, Any]:
    """Have a tenant's study screened."""
    order = {"study_instance_uid": scene.study, "checks": CHECKS, **source}
    async with GatewayClient(scene.served.url, scene.secrets[way]) as client:
        made = await client.create_screening(order)
        return await client.wait(made["screening_id"])


def test_whichever_way_a_study_comes_its_findings_are_the_same(
    scene: Scene, tmp_path: Path, need_tool: Callable[[str], str]
) -> None:
    """Byte by byte: no way transcodes, reorders, drops or adds anything that is looked at.

    Of a result its id and its times differ and are not compared; of its checks nothing is left
    out. They are sorted by name, for equally urgent ones stand in the order of their release.
    """
    by_curl(scene, tmp_path, need_tool)
    by_client(scene)
    by_storescu(scene, need_tool)
    sources = {way: {"source": {way: "orthanc"}} for way in ("dimse", "dicomweb")}

    async def screen() -> list[dict[str, Any]]:
        return await asyncio.gather(*(screened(scene, way, **sources.get(way, {})) for way in WAYS))

    results = dict(zip(WAYS, asyncio.run(screen()), strict=True))
    assert {way: result["state"] for way, result in results.items()} == dict.fromkeys(WAYS, "done")
    first, *others = (compared(result) for result in results.values())
    for way, other in zip(WAYS[1:], others, strict=True):
        assert other == first, f"{way} is not as {WAYS[0]}"
    liver = next(check for check in json.loads(first)["checks"] if check["check"] == "liver")
    assert (liver["state"], liver["grade"]) == ("positive", "S2")
    assert liver["provenance"]["sop_instance_count"] == len(scene.files)
    assert len({result["screening_id"] for result in results.values()}) == len(WAYS)


def compared(result: dict[str, Any]) -> str:
    """Write what is compared of a result."""
    checks = sorted(result["checks"], key=lambda check: str(check["check"]))
    assert [check["check"] for check in checks] == sorted(CHECKS)
    kept = {"checks": checks, "quality": result["quality"], "anatomy": result["anatomy"]}
    return json.dumps(kept, sort_keys=True)
