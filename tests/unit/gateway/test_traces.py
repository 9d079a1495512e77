"""Spans go to a real OTLP receiver; nobody waits for one that is away."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import traces
from gateway.exceptions import SeriesError, UsageError
from gateway.log import Scrubber, configure_logging, get_logger
from gateway.metrics import SPANS
from gateway.settings import TraceSettings
from gateway.traces import uplink
from gateway.traces.collector import Collector
from tests.otlp_receiver import OtlpReceiver, receiving_spans

KEY = b"k" * 32
UID = "1.2.826.0.1.3680043.8.498.4711"
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def server() -> Iterator[OtlpReceiver]:
    with receiving_spans() as receiver:
        yield receiver


@pytest.fixture
def receiver(server: OtlpReceiver) -> Iterator[OtlpReceiver]:
    server.bodies.clear()
    server.headers.clear()
    server.statuses.clear()
    server.delay_seconds = 0.0
    yield server
    traces.stop()


def start(receiver: OtlpReceiver, **settings: object) -> None:
    traces.start(TraceSettings(**{"endpoint": receiver.url, **settings}), "api", KEY)  # type: ignore[arg-type]


def counted(outcome: str) -> float:
    return float(SPANS.labels(outcome)._value.get())


def test_spans_come_with_their_parents_and_the_hashes_of_the_log(receiver: OtlpReceiver) -> None:
    """A UID is the hash that the log has; an error is told by its code and nothing else."""
    start(receiver)
    with traces.span("outer", {"onescan.study": traces.hashed(UID)}, kind="server"):
        with pytest.raises(SeriesError), traces.child("inner", {"uid": UID}):
            raise SeriesError(f"DOE^JANE has no slices in {UID}.")
    traces.stop()
    spans = {span.name: span for span in receiver.spans}
    assert spans["inner"].parent_id == spans["outer"].span_id
    assert spans["inner"].trace_id == spans["outer"].trace_id
    assert spans["outer"].parent_id == ""
    assert spans["outer"].attributes["onescan.study"] == Scrubber(KEY).uid(UID)
    assert spans["inner"].attributes["uid"] == Scrubber(KEY).uid(UID)
    assert (spans["inner"].status, spans["outer"].status) == (2, 0)
    assert spans["inner"].attributes["error.type"] == SeriesError.code
    assert spans["outer"].service == "onescan-api"
    raw = b"".join(receiver.bodies)
    assert not [word for word in (UID, "DOE", "JANE", "slices") if word.encode() in raw]


def test_a_trace_that_is_named_is_continued(receiver: OtlpReceiver) -> None:
    """Across processes, by the string that is kept with a screening."""
    start(receiver)
    with traces.span("first", parent=CALLER):
        kept = traces.traceparent()
        assert traces.recorded_headers() == {"traceparent": kept}
    with traces.span("second", parent=kept):
        pass
    traces.stop()
    spans = {span.name: span for span in receiver.spans}
    assert {span.trace_id for span in spans.values()} == {CALLER.split("-")[1]}
    assert spans["first"].parent_id == CALLER.split("-")[2]
    assert spans["second"].parent_id == spans["first"].span_id


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        CALLER + "-more",
        "\udcff" * 600,
    ],
)
def test_what_is_no_traceparent_begins_a_trace(receiver: OtlpReceiver, sent: str) -> None:
    """As if nothing had been sent."""
    start(receiver)
    with traces.span("first", parent=sent):
        pass
    traces.stop()
    [span] = receiver.spans
    assert span.parent_id == ""
    assert span.trace_id != CALLER.split("-")[1]


def test_the_share_is_ours_to_choose(receiver: OtlpReceiver) -> None:
    """With 0 nothing is sent, whatever a caller says, and a log line still has its trace."""
    start(receiver, sample_ratio=0.0)
    for parent in (None, CALLER):
        with traces.span("first", parent=parent), traces.child("second"):
            assert traces.recorded_headers() is None
            told = traces.traceparent()
            assert told is not None
            assert int(told[-2:], 16) & 1 == 0
    traces.stop()
    assert receiver.bodies == []
    start(receiver, sample_ratio=1.0)
    with traces.span("first", parent=CALLER[:-2] + "00"):
        assert traces.recorded_headers() is None
    with traces.span("second"):
        pass
    traces.stop()
    assert [span.name for span in receiver.spans] == ["second"]


def test_lines_of_the_log_name_the_trace(receiver: OtlpReceiver) -> None:
    """Ours and those of libraries; outside of a span they name none."""
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        configure_logging("api", KEY, stream=stream)
        start(receiver)
        with traces.span("first", parent=CALLER):
            get_logger("onescan.test").info("onescan.test.said")
            logging.getLogger("library").warning("said")
        get_logger("onescan.test").info("onescan.test.later")
    finally:
        root.handlers[:], root.level = before, level
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.get("trace_id") for line in lines] == [CALLER.split("-")[1]] * 2 + [None]
    assert len(lines[0]["span_id"]) == 16


def test_a_collector_that_is_busy_is_asked_again(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With the headers of the file as it is at that moment."""
    monkeypatch.setattr(uplink, "PAUSES_SECONDS", (0.05, 0.05))
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer first\n")
    receiver.statuses[:] = [503, 429]
    start(receiver, headers_file=str(headers))
    headers.write_text("Authorization: Bearer second\n\nX-Scope: ct\n")
    sent = counted("sent")
    with traces.span("first"):
        pass
    receiver.until(lambda spans: len(spans) == 1)
    traces.stop()
    assert receiver.headers[0]["Authorization"] == "Bearer second"
    assert receiver.headers[0]["X-Scope"] == "ct"
    assert counted("sent") - sent == 1


def test_a_collector_that_is_away_costs_nobody_anything(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither refused connections nor silence is waited for; what is dropped is counted."""
    monkeypatch.setattr(uplink, "QUEUE_SPANS", 100)
    monkeypatch.setattr(traces, "FLUSH_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        for port in (1, silent.getsockname()[1]):
            before = counted("lost") + counted("overflow")
            start(receiver, endpoint=f"http://127.0.0.1:{port}")
            begun = time.perf_counter()
            for _ in range(2000):
                with traces.span("first"):
                    pass
            assert time.perf_counter() - begun < 2.0
            assert counted("overflow") > 0
            begun = time.perf_counter()
            traces.stop()
            assert time.perf_counter() - begun < 1.0
            assert counted("lost") + counted("overflow") - before <= 2000


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "collector:4317"},
        {"endpoint": "grpc://collector:4317"},
        {"endpoint": "http://user:secret@collector"},
        {"endpoint": "http://collector:99999"},
        {"endpoint": "http://collector", "sample_ratio": 1.5},
        {"endpoint": "http://collector", "sample_ratio": float("nan")},
        {"endpoint": "http://collector", "headers_file": "/nowhere"},
        {"endpoint": "https://collector", "ca_file": "/nowhere"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    """At start, in one sentence, without the secret."""
    with pytest.raises(UsageError) as caught:
        traces.start(TraceSettings(**settings), "api", KEY)  # type: ignore[arg-type]
    assert "ONESCAN_TRACES__" in str(caught.value)
    assert "secret@" not in str(caught.value)


def test_a_line_that_is_no_header_is_refused_by_its_number(tmp_path: Path) -> None:
    """Its text is not repeated: it may be a secret."""
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer one\nBearer-two\n")
    with pytest.raises(UsageError) as caught:
        Collector(TraceSettings(endpoint="http://collector", headers_file=str(file)))
    assert str(caught.value).startswith("Line 2 ")
    assert "two" not in str(caught.value)


def test_without_an_endpoint_nothing_of_opentelemetry_is_imported() -> None:
    """Nor do the standard variables switch anything on."""
    code = (
        "import sys; from gateway import traces; from gateway.settings import TraceSettings;"
        " import gateway.api.app, gateway.worker, gateway.log;"
        " traces.start(TraceSettings(), 'api', b'k');"
        " one = traces.span('a'); one.__enter__(); one.set({'b': 1}); one.fail('c');"
        " assert traces.traceparent() is None and traces.child('d') is one;"
        " print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    environ = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_TRACES_EXPORTER": "otlp",
    }
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    assert (ran.stdout.strip(), ran.returncode) == ("[]", 0), ran.stderr


def test_the_standard_variables_change_nothing_that_is_sent(
    receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it goes nor what goes along."""
    for name, value in {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-secret=one",
        "OTEL_RESOURCE_ATTRIBUTES": "patient=DOE",
        "OTEL_SERVICE_NAME": "another",
        "OTEL_TRACES_SAMPLER": "always_off",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "0",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    start(receiver)
    with traces.span("first", {"onescan.lane": "stat"}):
        pass
    traces.stop()
    [span] = receiver.spans
    assert span.attributes == {"onescan.lane": "stat"}
    assert span.service == "onescan-api"
    assert "x-secret" not in {name.lower() for name in receiver.headers[0]}
    assert b"DOE" not in receiver.bodies[0]
