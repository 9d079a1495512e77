"""Restart a Triton that believes itself to be healthy and is not."""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.exceptions import StubDiedError
from gateway.runtime.processes import ProcessIdentity
from gateway.settings import Settings

log = logging.getLogger("onescan.triton")


def restart_embedded(home: Path, error: StubDiedError) -> bool:
    """Kill the embedded Triton, so that its supervisor starts a new one.

    SIGKILL at once: with a dead stub Triton takes its whole exit timeout on SIGTERM.
    A Triton that started after the failed call was sent is spared, so that several callers
    who met the same dead stub restart it once.

    Parameters
    ----------
    home : Path
        ``ONESCAN_HOME`` whose pid record names the process.
    error : StubDiedError
        What `gateway.triton.client.TritonClient` raised.

    Returns
    -------
    bool
        False when no Triton is embedded here: then the pod must fail its liveness probe.
    """
    identity = ProcessIdentity.load(home / "run" / "triton.json")
    if identity is None:
        return False
    if identity.start_seconds < error.sent_seconds and identity.kill():
        log.warning("onescan.triton.killed pid=%d reason=stub_died", identity.pid)
    return True


def restart_triton(settings: Settings, error: StubDiedError) -> bool:
    """Restart the embedded Triton, or have the pod restart its sidecar.

    In a pod the kubelet does it, since Triton's liveness probe looks for
    ``ONESCAN_TRITON__RESTART_FILE``; ``onescan triton`` takes the file away when it begins.

    Returns
    -------
    bool
        True when Triton is there again within seconds, so that a study may begin again.
    """
    if restart_embedded(settings.home, error):
        return True
    if settings.triton.restart_file:
        Path(settings.triton.restart_file).touch()
        log.warning("onescan.triton.restart_wanted reason=stub_died")
    return False
