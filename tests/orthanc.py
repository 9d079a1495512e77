"""A real Orthanc with its DICOMweb plugin, as a child of a test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.runtime import launch
from gateway.runtime.ports import free_port

PROGRAM = Path("/usr/sbin/Orthanc")
"""Where Debian installs it, which is not on everybody's PATH."""

DICOM_WEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
"""Debian's orthanc-dicomweb."""

MORTAL = (sys.executable, "-I", "-S", launch.__file__)
"""Becomes another program that dies with us."""

START_SECONDS = 30.0
"""It takes about one on an idle machine."""

STOP_SECONDS = 10.0

AE_TITLE = "ORTHANC"


@dataclass(frozen=True, slots=True)
class Orthanc:
    """One running Orthanc."""

    url: str
    """Of its REST interface, without a slash at the end; DICOMweb lies under ``/dicom-web``."""

    dicom_port: int
    """On 127.0.0.1."""

    ae_title: str
    log: Path

    def call(self, method: str, path: str, body: Any = None, *, timeout: float = 60.0) -> Any:
        """Ask the REST interface; bytes go as they are, anything else as JSON.

        Returns
        -------
        object
            What the answer's JSON says; its bytes where it is no JSON.

        Raises
        ------
        AssertionError
            With Orthanc's own words, when it answers an error.
        """
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"Orthanc: {error.code} {error.read().decode()}") from None
        try:
            return json.loads(answer)
        except ValueError:
            return answer

    def add_dicomweb_server(
        self, name: str, url: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Tell it of a DICOMweb server that it may ask (``/dicom-web/servers/{name}/…``)."""
        self.call(
            "PUT", f"/dicom-web/servers/{name}", {"Url": url, "HttpHeaders": dict(headers or {})}
        )

    def add_modality(self, name: str, ae_title: str, port: int, host: str = "127.0.0.1") -> None:
        """Tell it of a DICOM node that it may ask, and that may ask it."""
        self.call("PUT", f"/modalities/{name}", {"AET": ae_title, "Host": host, "Port": port})


@contextmanager
def running_orthanc(need_tool: Callable[[str], str], **settings: Any) -> Iterator[Orthanc]:
    """Run an empty Orthanc on loopback and remove it and what it kept afterwards.

    Parameters
    ----------
    need_tool : callable
        The fixture of that name.
    settings : any
        More of Orthanc's own configuration, over ours: ``DicomModalities={…}``.
    """
    program = str(PROGRAM) if PROGRAM.exists() else need_tool("Orthanc")
    folder = Path(tempfile.mkdtemp(prefix="os-orthanc-", dir="/tmp"))
    http_port, dicom_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    configuration: dict[str, Any] = {
        "Name": "OneScan test",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "DicomAet": AE_TITLE,
        "DicomCheckCalledAet": False,
        "DicomCheckModalityHost": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "OverwriteInstances": True,
        "StableAge": 1,
        "Plugins": [str(DICOM_WEB_PLUGIN)] if DICOM_WEB_PLUGIN.exists() else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    } | settings
    file, log = folder / "orthanc.json", folder / "orthanc.log"
    file.write_text(json.dumps(configuration))
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*MORTAL, str(os.getpid()), str(signal.SIGKILL.value), "-1", "-1", program, str(file)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    orthanc = Orthanc(f"http://127.0.0.1:{http_port}", dicom_port, configuration["DicomAet"], log)
    try:
        _wait(orthanc, process)
        yield orthanc
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait(orthanc: Orthanc, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"Orthanc ended: {orthanc.log.read_text()[-2000:]}")
        try:
            orthanc.call("GET", "/system", timeout=2.0)
            return
        except (OSError, AssertionError):
            time.sleep(0.05)
    raise AssertionError(f"Orthanc does not answer: {orthanc.log.read_text()[-2000:]}")
