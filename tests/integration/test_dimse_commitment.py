"""Storage commitment: asked, kept, told on this association, the next one or one of ours."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association

from gateway.dimse.syntaxes import COMMITMENT, COMMITMENT_INSTANCE
from gateway.runtime.ports import free_port
from tests.ct_files import CT_IMAGE, ct_dataset
from tests.databases import fresh_database
from tests.dimse_server import PARTNERS, listening

pytestmark = pytest.mark.postgres


class Asker:
    """An AE that asks for commitment and takes results, on its associations or its listener."""

    def __init__(self, calling: str = "COMMITSCU") -> None:
        self.results: queue.Queue[tuple[int, Dataset]] = queue.Queue()
        self.status = 0
        self.ae = AE(ae_title=calling)
        self.ae.add_requested_context(COMMITMENT)
        self.ae.add_requested_context(CT_IMAGE, ExplicitVRLittleEndian)
        self.handlers = [(evt.EVT_N_EVENT_REPORT, self._take)]

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.results.put((event.event_type, event.event_information))
        return self.status, None

    @contextmanager
    def association(self, port: int) -> Iterator[Association]:
        """Associate and release."""
        made = self.ae.associate("127.0.0.1", port, evt_handlers=self.handlers)
        assert made.is_established
        yield made
        made.release()

    def ask(self, association: Association, transaction: str, *instances: Any) -> int:
        """Send the N-ACTION and give its status."""
        asked = Dataset()
        asked.TransactionUID = transaction
        asked.ReferencedSOPSequence = []
        for sop_class, uid in instances:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            asked.ReferencedSOPSequence.append(item)
        answer, _ = association.send_n_action(asked, 1, COMMITMENT, COMMITMENT_INSTANCE)
        return int(answer.Status)


def told(url: str) -> list[bool]:
    """Give for each request whether its result was taken."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT told_at IS NOT NULL FROM commitments ORDER BY commitment_id"
        ).fetchall()
    return [row[0] for row in rows]


def until_told(url: str) -> None:
    """Wait until every result was taken."""
    deadline = time.monotonic() + 20
    while not all(told(url)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """A database of its own."""
    with fresh_database(postgres_url) as made:
        yield made


def test_held_unknown_and_of_another_class(url: str, tmp_path: Path) -> None:
    """What is held is committed; what is not, or is something else, is told by its reason."""
    asker, ds = Asker(), ct_dataset(seed=200)
    held = (CT_IMAGE, ds.SOPInstanceUID)
    with listening(url, tmp_path / "home") as made:
        with asker.association(made.port) as association:
            assert association.send_c_store(ds).Status == 0
            assert asker.ask(association, "1.2.3.7.1", held) == 0
            event_type, result = asker.results.get(timeout=10)
            assert event_type == 1
            assert result.TransactionUID == "1.2.3.7.1"
            assert [i.ReferencedSOPInstanceUID for i in result.ReferencedSOPSequence] == [held[1]]
            unknown, other = (CT_IMAGE, "1.2.3.4.99"), ("1.2.840.10008.5.1.4.1.1.4", held[1])
            assert asker.ask(association, "1.2.3.7.2", held, unknown) == 0
            event_type, result = asker.results.get(timeout=10)
            assert event_type == 2
            assert len(result.ReferencedSOPSequence) == 1
            assert [i.FailureReason for i in result.FailedSOPSequence] == [0x0112]
            assert asker.ask(association, "1.2.3.7.3", other) == 0
            _, result = asker.results.get(timeout=10)
            assert [i.FailureReason for i in result.FailedSOPSequence] == [0x0119]
            until_told(url)
        other_partner = Asker("OTHERSCU")  # of another tenant, which holds nothing
        with other_partner.association(made.port) as association:
            assert other_partner.ask(association, "1.2.3.7.1", held) == 0
            event_type, _ = other_partner.results.get(timeout=10)
            assert event_type == 2


def test_a_request_survives_a_restart(url: str, tmp_path: Path) -> None:
    """Killed after the answer to the request: the result comes on the next association."""
    asker, ds = Asker(), ct_dataset(seed=201)
    asker.status = 0x0110  # it does not take the result this time
    with listening(url, tmp_path / "home") as made:
        with asker.association(made.port) as association:
            assert association.send_c_store(ds).Status == 0
            assert asker.ask(association, "1.2.3.7.4", (CT_IMAGE, ds.SOPInstanceUID)) == 0
            asker.results.get(timeout=10)
        made.kill()
    assert told(url) == [False]
    asker.status = 0
    with listening(url, tmp_path / "home") as made, asker.association(made.port):
        event_type, result = asker.results.get(timeout=10)
        assert (event_type, result.TransactionUID) == (1, "1.2.3.7.4")
        until_told(url)


def test_a_result_is_told_on_an_association_of_ours(url: str, tmp_path: Path) -> None:
    """An AE that the partners file knows as an archive is called, again until it takes it."""
    asker, ds = Asker(), ct_dataset(seed=202)
    port = free_port("127.0.0.1")
    partners = PARTNERS + (
        '\n[archives.asker]\ntenants = ["default"]\nhost = "127.0.0.1"\n'
        f'port = {port}\nae_title = "COMMITSCU"\ntimeout_seconds = 5\n'
    )
    asker.status = 0x0110
    with listening(url, tmp_path / "home", partners=partners) as made:
        with asker.association(made.port) as association:
            assert association.send_c_store(ds).Status == 0
            assert asker.ask(association, "1.2.3.7.5", (CT_IMAGE, ds.SOPInstanceUID)) == 0
            asker.results.get(timeout=10)
        asker.status = 0
        ae = AE(ae_title="COMMITSCU")
        ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        server = ae.start_server(("127.0.0.1", port), block=False, evt_handlers=asker.handlers)
        try:
            event_type, result = asker.results.get(timeout=20)
            assert (event_type, result.TransactionUID) == (1, "1.2.3.7.5")
            until_told(url)
        finally:
            server.shutdown()


def test_what_makes_no_sense_is_refused(url: str, tmp_path: Path) -> None:
    """Another action, another instance, no references: a status each, and nothing is kept."""
    asker = Asker()
    with listening(url, tmp_path / "home") as made, asker.association(made.port) as association:
        assert asker.ask(association, "1.2.3.7.6") == 0x0115
        asked = Dataset()
        asked.TransactionUID = "1.2.3.7.7"
        answer, _ = association.send_n_action(asked, 2, COMMITMENT, COMMITMENT_INSTANCE)
        assert answer.Status == 0x0123
        answer, _ = association.send_n_action(asked, 1, COMMITMENT, "1.2.3.4")
        assert answer.Status == 0x0112
    assert told(url) == []
