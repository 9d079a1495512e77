"""A partner's first hour, as the README has it: the very commands, without TLS and with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.runtime.ports import free_port
from gateway.settings import ROOT
from tests.served import serving

pytestmark = [pytest.mark.triton, pytest.mark.postgres, pytest.mark.slow]

SMALL = "--matrix 96 --increment 5"
"""What the test adds to the README's phantom, to be quick."""


def blocks() -> list[str]:
    """The shell blocks of the README's section: server, partner, certificate."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    section = readme.split("## A partner's first hour")[1].split("\n## ")[0]
    return re.findall(r"```bash\n(.*?)```", section, re.DOTALL)


def exports(block: str) -> dict[str, str]:
    """The variables that a block exports, those of the shell itself aside."""
    found = re.findall(r"\b([A-Z][A-Z_]+)=(\S+)", block.replace("$PWD", "."))
    return {
        name.removeprefix("ONESCAN_"): value
        for name, value in found
        if name.startswith("ONESCAN_") and name != "ONESCAN_HOME"
    }


def small(block: str, url: str, callback: int) -> str:
    """Point a block at the test's server and receiver."""
    return (
        block.replace("http://127.0.0.1:8042", url)
        .replace("--finding fatty_liver_moderate", f"--finding fatty_liver_moderate {SMALL}")
        .replace("9000", str(callback))
        .replace("onescan ", f"{sys.executable} -m gateway.cli ")
    )


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_the_readmes_first_hour(tls: bool, tmp_path: Path, need_tool: Callable[[str], str]) -> None:
    """A key, a study by curl, a webhook with a true signature, the result."""
    for tool in ("curl", "jq", "openssl", "bash"):
        need_tool(tool)
    server, partner, certificate = blocks()
    environ = exports(server)
    prelude = ""
    if tls:
        making, _, using = certificate.partition("export ONESCAN_API__CERTIFICATE")
        subprocess.run(["bash", "-euc", making], cwd=tmp_path, check=True, capture_output=True)
        environ |= {
            "API__CERTIFICATE": str(tmp_path / "certificate.pem"),
            "API__CERTIFICATE_KEY": str(tmp_path / "key.pem"),
        }
        prelude = "\n".join(line for line in using.splitlines() if "CURL_CA_BUNDLE" in line)
    with serving(**environ) as served:
        url = served.url.replace("127.0.0.1", "localhost") if tls else served.url
        assert url.startswith("https:" if tls else "http:")
        script = small(partner, url, free_port("127.0.0.1"))
        script = script.replace(
            "export ONESCAN_HOME=$PWD/trial", f"export ONESCAN_HOME={served.home}"
        )
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"{prelude}\n{script}"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    webhook, _, rest = done.stdout.partition("\n{")
    assert webhook.startswith("verified ")
    decoder = json.JSONDecoder()
    told, end = decoder.raw_decode("{" + rest)
    assert told["type"] == "screening.done"
    assert "study" not in told["data"]
    states = {}
    remaining = ("{" + rest)[end:].strip()
    while remaining:
        check, end = decoder.raw_decode(remaining)
        states[check["check"]] = check["state"]
        remaining = remaining[end:].strip()
    assert states["liver"] == "positive"
    assert states == {check["check"]: check["state"] for check in told["data"]["checks"]}
