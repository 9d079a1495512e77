"""What a DICOMweb server's answers to results mean."""

from __future__ import annotations

import pytest

from gateway.delivery.sending import _check, send
from gateway.exceptions import SourceRefusedError, SourceUnreachableError, UnknownSourceError
from gateway.intake.partners import Partners
from gateway.intake.remotes import Archive, DicomwebSource


@pytest.mark.parametrize(("status", "said"), [(200, b""), (202, b'{"00081199": {}}')])
def test_stored_is_stored(status: int, said: bytes) -> None:
    """202 without a failed instance is a warning."""
    _check(status, said)


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (202, b'{"00081198": {"vr": "SQ"}}', SourceRefusedError),
        (202, b"<xml/>", SourceRefusedError),
        (409, b"", SourceRefusedError),
        (301, b"", SourceRefusedError),
        (429, b"", SourceUnreachableError),
        (503, b"", SourceUnreachableError),
    ],
)
def test_anything_else_is_not(status: int, said: bytes, error: type[Exception]) -> None:
    """What is busy is told apart from what refuses."""
    with pytest.raises(error):
        _check(status, said)


@pytest.mark.parametrize("name", ["pacs", "web", "gone"])
async def test_another_tenant_s_receiver_gets_nothing(name: str) -> None:
    """Nor one that the file names no more."""
    partners = Partners(
        archives={"pacs": Archive(name="pacs", tenants=("other",))},
        sources={"web": DicomwebSource(name="web", tenants=("other",), url="http://127.0.0.1:9")},
    )
    with pytest.raises(UnknownSourceError):
        await send([b""], name, "default", partners=partners, archives={})
