"""A modality that sends by C-STORE and comes again until every instance is taken."""

from __future__ import annotations

import time

from loadtests.chaos.ledger import ACKNOWLEDGED, REFUSED, UNANSWERED
from loadtests.chaos.studies import data_set, parts
from loadtests.dimse_sender import Sender

AGAIN_SECONDS = 1.0
"""Between two associations."""

SUCCESS = 0x0000


def send_by_dimse(port: int, body: bytes, patience_seconds: float) -> str:
    """Send the instances of a STOW body; gives what became of them in one word.

    A failure status and a broken association are the same to a modality: it opens another one
    and sends what was not answered with success.
    """
    waiting = dict(data_set(file) for file in parts(body))
    deadline = time.monotonic() + patience_seconds
    refused = False
    while waiting and time.monotonic() < deadline:
        try:
            with Sender(port) as sender:
                for number, (uid, data) in enumerate(list(waiting.items())):
                    status = sender.store(sender.message(number, uid, data))
                    refused = status != SUCCESS
                    if refused:
                        break
                    del waiting[uid]
                sender.release()
        except (OSError, ValueError):
            refused = False
        if waiting:
            time.sleep(AGAIN_SECONDS)
    if not waiting:
        return ACKNOWLEDGED
    return REFUSED if refused else UNANSWERED
