"""``make demo`` as the README tells it: what it leaves, and the way to the lesion in a browser."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from playwright.async_api import Page, async_playwright

from gateway.runtime.home import discard
from gateway.runtime.stack import embedded, sign_in_link
from gateway.settings import Settings
from tests.ui.conftest import CHROMIUM, DESK

pytestmark = [
    pytest.mark.triton,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(400),
]

NEAR_MM = 3.0


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The folder that the demo leaves, and what it prints."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    ran = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "demo", "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    yield out, ran.stdout
    discard(out / "home")


def planted(out: Path) -> dict[str, Any]:
    truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    return next(one for one in truth["lesions"] if one["kind"] == "solid_nodule")


def test_the_demo_finds_what_it_planted(demo: tuple[Path, str]) -> None:
    """And says both."""
    out, said = demo
    found = json.loads((out / "findings.json").read_text(encoding="utf-8"))
    states = {check["check"]: check for check in found["checks"]}
    assert states["liver"]["state"] == "positive"
    places = [one["centre_mm"] for one in states["nodule"]["lesions"] if one["flagged"]]
    assert any(math.dist(place, planted(out)["centre_lps_mm"]) < NEAR_MM for place in places)
    assert "a solid nodule of" in said
    assert f"ONESCAN_HOME={out}/home make serve" in said
    assert "synthetic phantoms" in said


def test_the_demo_leaves_every_form(
    demo: tuple[Path, str], need_tool: Callable[[str], str]
) -> None:
    """A page, FHIR, and DICOM objects without an error."""
    out, _ = demo
    assert "solid nodule" in (out / "report.html").read_text(encoding="utf-8")
    [bundle] = (out / "results").glob("*.fhir.json")
    assert json.loads(bundle.read_text(encoding="utf-8"))["resourceType"] == "Bundle"
    objects = sorted((out / "results").glob("*.dcm"))
    assert {pydicom.dcmread(path, stop_before_pixels=True).Modality for path in objects} == {
        *("SR", "SEG", "OT")
    }
    for path in objects:
        said = subprocess.run(
            [need_tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False
        )
        assert said.returncode == 0, said.stderr
        assert not [line for line in said.stderr.splitlines() if line.startswith("Error")]


@asynccontextmanager
async def browsing(settings: Settings) -> AsyncIterator[Page]:
    """A browser at the link that a server on this home prints."""
    async with embedded(settings) as server, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page(viewport=DESK, locale="en-GB")
        await page.goto(await sign_in_link(server))
        yield page
        await browser.close()


async def test_the_planted_lesion_is_two_clicks_away(demo: tuple[Path, str]) -> None:
    """The study, and it lies in the middle; a click on the finding leads back to it."""
    out, _ = demo
    settings = Settings.from_environ({"ONESCAN_HOME": str(out / "home"), "ONESCAN_API__PORT": "0"})
    async with browsing(settings) as page:
        await page.click("table.studies tbody th a")
        lesion = page.locator('[data-lesion="nodule/1"]')
        await lesion.click()
        axial = page.locator('[data-plane="axial"] canvas')
        view = json.loads(await page.get_attribute("#study", "data-view") or "")
        at = next(one for one in view["lesions"] if (one["check"], one["id"]) == ("nodule", 1))
        assert math.dist(at["centre_mm"], planted(out)["centre_lps_mm"]) < NEAR_MM
        [volume] = [one for one in view["volumes"] if one["series_instance_uid"] == at["series"]]
        origin, step = volume["affine"][2][3], volume["affine"][2][0]
        expected = round((at["centre_mm"][2] - origin) / step)
        await page.wait_for_function(
            "n => document.querySelector('[data-plane=axial] canvas').dataset.shown == n",
            arg=expected,
        )
        assert await axial.get_attribute("data-index") == str(expected)
