"""A PACS: sends each study once, by STOW-RS or by C-STORE, and obeys refusals."""

from __future__ import annotations

from collections.abc import Sequence

from gevent import sleep
from gevent.pool import Group

from loadtests.arrivals import DIMSE, STOW, Arrival
from loadtests.dimse_sender import NotAcceptedError, Sender
from loadtests.fresh import CONTENT_TYPE
from loadtests.records import ERROR, REFUSED, Study
from loadtests.users.arriving import Arriving
from loadtests.users.http import DEFAULT_RETRY_SECONDS, Refused, expect, refuse
from loadtests.users.run import RUN

ASSOCIATIONS = 2
"""At once for one study, as archives send."""

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700


class Pacs(Arriving):
    """Sends studies, whatever the way."""

    abstract = True

    def begin(self, arrival: Arrival) -> None:
        """Send a study; what is acknowledged is the partner's to ask for."""
        study = RUN.arrived(arrival)
        try:
            with self.client.told(f"store {self.way} {study.lane}"):
                study.study, study.instances = self.send(study)
        except Refused:
            RUN.settle(study, REFUSED)
        except Exception as error:
            RUN.settle(study, ERROR, f"{type(error).__name__}: {error}")
        else:
            study.acknowledged = RUN.now()
            RUN.stored.put(study)

    def send(self, study: Study) -> tuple[str, int]:
        """Send; gives Study Instance UID and the number of acknowledged instances."""
        raise NotImplementedError


class PacsByStow(Pacs):
    """Sends a study in one STOW-RS request."""

    way = STOW

    def send(self, study: Study) -> tuple[str, int]:
        """Post the study's body."""
        template = RUN.templates[study.template]
        uid, body = template.fresh(RUN.random)
        headers = {"Content-Type": CONTENT_TYPE, "X-OneScan-Lane": study.lane}
        path = "/dicomweb/studies"
        answer = expect(self.client.ask("POST", path, data=body, headers=headers), 200)
        accepted = len(answer.json()["00081199"]["Value"])
        if accepted != template.instances:
            RUN.wrong(f"{template.name}: {accepted} of {template.instances} instances stored")
        return uid, accepted


class PacsByDimse(Pacs):
    """Sends a study by C-STORE on several associations."""

    way = DIMSE

    def send(self, study: Study) -> tuple[str, int]:
        """Deal the instances out to associations, and wait for all of them."""
        uid, data_sets = RUN.templates[study.template].fresh_data_sets(RUN.random)
        group = Group()
        sent = [
            group.spawn(self._associate, data_sets[number::ASSOCIATIONS])
            for number in range(ASSOCIATIONS)
        ]
        group.join()
        return uid, sum(greenlet.get() for greenlet in sent)

    def _associate(self, data_sets: Sequence[tuple[str, bytes]]) -> int:
        with self._accepted() as sender:
            for number, (uid, data) in enumerate(data_sets):
                message = sender.message(number, uid, data)
                while (status := self._store(sender, message)) == OUT_OF_RESOURCES:
                    refuse("C-STORE", OUT_OF_RESOURCES)
                    sleep(DEFAULT_RETRY_SECONDS)
                if status != SUCCESS:
                    raise ValueError(f"C-STORE: status {status:04X}")
            sender.release()
        return len(data_sets)

    def _accepted(self) -> Sender:
        """Open an association; one that is rejected as transient is asked for again."""
        address = RUN.plan["dimse"]
        while True:
            try:
                return Sender(address["port"], host=address["host"], calling=address["calling"])
            except NotAcceptedError as error:
                if not error.is_transient:
                    raise
                refuse("A-ASSOCIATE", OUT_OF_RESOURCES)
                sleep(DEFAULT_RETRY_SECONDS)

    def _store(self, sender: Sender, message: list[bytes]) -> int:
        RUN.found.asked += 1
        return sender.store(message)
