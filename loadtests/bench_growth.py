"""What a study costs as it grows, as checks are added, and as studies run side by side.

Slices: the same 300 mm of the same patient in more and more slices, all checks. Checks: the first
so many of the installed ones; beyond them copies under other names in a repository of their own.
Side by side: that many fresh studies, ordered at once. Each point is measured once, after a study
that warms up; wall time, core-seconds and memory in one run, copied bytes in another one under
strace, which makes it slower. `loadtests.server_costs` says how each is counted.
"""

from __future__ import annotations

import asyncio
import random
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.client import GatewayClient
from gateway.intake.folders import collect
from gateway.runtime.stack import Server
from gateway.screening.manifest_reader import load_manifests
from loadtests.bench_studies import SLICES, phantom, resliced
from loadtests.fresh import CONTENT_TYPE, Template
from loadtests.own_server import own_server
from loadtests.planned import REPOSITORY, ct_checks
from loadtests.server_costs import copied_bytes, measured_costs, part_pids
from loadtests.study_bodies import post

AS_SLICES = (100, 300, 600, 1200)
AS_CHECKS = (1, 2, 4, 8, 16)
AS_STUDIES = (1, 2, 4, 8)

COPY = "_again"
"""What a copied check's name ends with."""


def run(
    *,
    as_slices: Sequence[int] = AS_SLICES,
    as_checks: Sequence[int] = AS_CHECKS,
    as_studies: Sequence[int] = AS_STUDIES,
    slices: int = SLICES,
) -> dict[str, Any]:
    """Measure all three.

    Returns
    -------
    dict
        ``name`` and a list of points for `slices`, `checks` and `studies`: ``x`` and its costs.
    """
    with tempfile.TemporaryDirectory(prefix="onescan-bench-") as scratch:
        return asyncio.run(_run(Path(scratch), as_slices, as_checks, as_studies, slices))


async def _run(
    scratch: Path,
    as_slices: Sequence[int],
    as_checks: Sequence[int],
    as_studies: Sequence[int],
    slices: int,
) -> dict[str, Any]:
    folder = phantom(slices)
    async with own_server() as server, GatewayClient(server.url, server.key) as client:
        first = await _store(client, server, folder)
        await _screen(client, [first], None)  # warms up
        grown = []
        for count in as_slices:
            made = await asyncio.to_thread(resliced, folder, scratch / "grown", count)
            study = await _store(client, server, made)
            grown.append({"x": count, **await _costs(server, client, [study], None)})
            shutil.rmtree(made)
        beside = []
        template = await asyncio.to_thread(Template.read, "study", folder)
        for count in as_studies:
            studies = [
                await asyncio.to_thread(_send_fresh, server, template, seed)
                for seed in range(count)
            ]
            point = await _costs(server, client, studies, None, bytes_too=False)
            beside.append({"x": count, **point})
    repository, names = with_copies(REPOSITORY, scratch / "models")
    async with (
        own_server(model_repository=repository) as server,
        GatewayClient(server.url, server.key) as client,
    ):
        first = await _store(client, server, folder)
        await _screen(client, [first], names)  # warms up
        added = [
            {"x": count, **await _costs(server, client, [first], names[:count])}
            for count in as_checks
        ]
    return {"name": "growth", "slices": grown, "checks": added, "studies": beside}


def with_copies(repository: Path, target: Path) -> tuple[Path, list[str]]:
    """Copy a repository, and each check of CT in it once more under another name.

    Returns
    -------
    Path
        The copy.
    list of str
        Names of all its checks of CT, the originals first. The networks are shared: a copied
        check is one more ensemble, and one more time through the network.
    """
    shutil.copytree(repository, target, ignore=shutil.ignore_patterns("__pycache__"))
    names = [one.name for one in ct_checks(load_manifests(repository))]
    for name in names:
        other = f"{name}{COPY}"
        shutil.copytree(target / name, target / other)
        for file, key in (("config.pbtxt", "name: "), ("pipeline.toml", "name = ")):
            path = target / other / file
            path.write_text(_renamed(path.read_text(encoding="utf-8"), key, name, other))
        manifest = target / other / "pipeline.toml"
        manifest.write_text(_renamed(manifest.read_text(), "ensemble = ", name, other))
    return target, [*names, *(f"{name}{COPY}" for name in names)]


def _renamed(text: str, key: str, name: str, other: str) -> str:
    changed, count = re.subn(rf'(?m)^{key}"{name}"', f'{key}"{other}"', text, count=1)
    if not count:
        raise ValueError(f"there is no line {key}{name!r}")
    return changed


async def _costs(
    server: Server,
    client: GatewayClient,
    studies: Sequence[str],
    checks: Sequence[str] | None,
    *,
    bytes_too: bool = True,
) -> dict[str, Any]:
    """Screen some studies at once; then, if asked for, once more while bytes are counted."""
    with measured_costs(server.settings.home) as costs:
        states = await _screen(client, studies, checks)
    point: dict[str, Any] = {**costs.to_json(), "states": states}
    if bytes_too:
        with copied_bytes(part_pids(server.settings.home)["worker"]) as counted:
            await _screen(client, studies, checks)
        point["copied_mb"] = {name: round(n / 1e6, 2) for name, n in sorted(counted.items())}
    return point


async def _screen(
    client: GatewayClient, studies: Sequence[str], checks: Sequence[str] | None
) -> dict[str, int]:
    """Screen studies at once and count the states of their checks."""

    async def one(study: str) -> dict[str, Any]:
        asked: dict[str, Any] = {"study_instance_uid": study}
        if checks is not None:
            asked["checks"] = list(checks)
        created = await client.create_screening(asked)
        answer: dict[str, Any] = await client.wait(created["screening_id"])
        return answer

    states: dict[str, int] = {}
    for answer in await asyncio.gather(*map(one, studies)):
        for check in answer["checks"]:
            states[check["state"]] = states.get(check["state"], 0) + 1
    return states


async def _store(client: GatewayClient, server: Server, folder: Path) -> str:
    with collect([folder], settings=server.settings.intake) as found:
        failed = await client.store(found.instances)
        assert not failed, failed[:1]
        return found.instances[0].study_instance_uid


def _send_fresh(server: Server, template: Template, seed: int) -> str:
    study, body = template.fresh(random.Random(seed))
    headers = {"Content-Type": CONTENT_TYPE, "Authorization": f"Bearer {server.key}"}
    status = post(f"{server.url}/dicomweb/studies", [body], length=len(body), headers=headers)
    assert status == 200, f"answered {status}"
    return study
