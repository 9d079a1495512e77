"""The way of spans to the collector: a queue with a bound, and a thread of its own.

Nobody waits for it. What finds no place, and what a collector does not take within its tries, is
dropped and counted.
"""

from __future__ import annotations

import queue
import threading
import time
from contextlib import suppress

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from gateway.log import get_logger
from gateway.metrics import SPANS
from gateway.traces.collector import Answer, Collector

QUEUE_SPANS = 4096
"""A study has some forty; this is a minute of a busy worker, and a few MB."""

BATCH_SPANS = 512

GATHER_SECONDS = 1.0
"""A batch waits so long for more."""

PAUSES_SECONDS = (1.0, 2.0, 4.0)
"""Before a batch is tried again; then it is dropped."""

log = get_logger("onescan.traces")


class Uplink(SpanProcessor):
    """Sends spans that have ended, in batches."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._queue: queue.Queue[ReadableSpan | None] = queue.Queue(QUEUE_SPANS)
        self._stopping = threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Take a span that has ended; never waits."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        try:
            self._queue.put_nowait(span)
        except queue.Full:
            SPANS.labels("overflow").inc()

    def stop(self, seconds: float) -> None:
        """Send what is left, each batch once, for so long at most."""
        self._stopping.set()
        with suppress(queue.Full):  # then the thread is awake
            self._queue.put_nowait(None)
        self._thread.join(seconds)
        SPANS.labels("lost").inc(sum(span is not None for span in self._rest()))

    def _run(self) -> None:
        while not (self._stopping.is_set() and self._queue.empty()):
            if batch := self._gather():
                sent = self._send(batch)
                SPANS.labels("sent" if sent else "lost").inc(len(batch))

    def _gather(self) -> list[ReadableSpan]:
        """Wait for a span, then a little for others."""
        first = self._queue.get()
        batch = [] if first is None else [first]
        until = time.monotonic() + GATHER_SECONDS
        while len(batch) < BATCH_SPANS:
            left = 0.0 if self._stopping.is_set() else max(0.0, until - time.monotonic())
            try:
                span = self._queue.get(timeout=left) if left else self._queue.get_nowait()
            except queue.Empty:
                break
            if span is not None:
                batch.append(span)
        return batch

    def _send(self, batch: list[ReadableSpan]) -> bool:
        try:
            body = encode_spans(batch).SerializeToString()
        except Exception:
            log.exception("onescan.traces.not_encoded")
            return False
        for pause in (*PAUSES_SECONDS, None):
            answer = self._collector.send(body)
            self._tell(answer)
            if answer.taken:
                return True
            if not answer.worth_another_try or pause is None or self._stopping.wait(pause):
                return False
        return False

    def _tell(self, answer: Answer) -> None:
        """Say when the collector goes away and when it is back, not every time."""
        if answer.taken and self._away:
            log.info("onescan.traces.collector_back")
        if not answer.taken and not self._away:
            log.warning("onescan.traces.collector_away", answer=answer.says)
        self._away = not answer.taken

    def _rest(self) -> list[ReadableSpan | None]:
        left = []
        while True:
            try:
                left.append(self._queue.get_nowait())
            except queue.Empty:
                return left
