"""Who is let in, what hostile or silent peers can do, and how the listener ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pynetdicom import AE

from gateway.store.objects import FolderObjects
from loadtests.dimse_sender import Sender, data_sets, request
from tests.databases import fresh_database
from tests.dimse_server import Listener, listening

pytestmark = pytest.mark.postgres

VERIFICATION = "1.2.840.10008.1.1"
ABORT, REJECT = 7, 3


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    """One database for the module."""
    with fresh_database(postgres_url) as made:
        yield made


@pytest.fixture(scope="module")
def strict(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    """A listener with narrow limits."""
    with listening(
        url,
        tmp_path_factory.mktemp("strict"),
        called_ae="exact",
        allowed_ae_titles="PYNETDICOM, MODALITY, NOBODY",
        max_associations=3,
        max_pdu_bytes=16384,
        request_seconds=3,
        idle_seconds=3,
        stall_seconds=3,
    ) as made:
        yield made


def associate(port: int, *, calling: str = "PYNETDICOM", called: str = "ONESCAN") -> object:
    """Ask for an association with verification only."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(VERIFICATION)
    return ae.associate("127.0.0.1", port, ae_title=called)


@pytest.mark.parametrize(
    ("calling", "called", "reason"),
    [
        ("STRANGER", "ONESCAN", (1, 1, 3)),  # not on the list
        ("NOBODY", "ONESCAN", (1, 1, 3)),  # on the list, without a profile
        ("OTHERSCU", "ONESCAN", (1, 1, 3)),  # with a profile, not on the list
        ("PYNETDICOM", "ELSEWHERE", (1, 1, 7)),
    ],
)
def test_who_is_rejected_and_why(
    calling: str, called: str, reason: tuple[int, int, int], strict: Listener
) -> None:
    """Result, source and reason are those of PS3.8, 9.3.4."""
    asked = bytearray(request(calling))
    asked[10:26] = called.ljust(16).encode()
    with closing(connected(strict.port, bytes(asked))) as connection:
        connection.settimeout(30)
        answer = b""
        while len(answer) < 10 and (part := connection.recv(10 - len(answer))):
            answer += part
    assert answer == struct.pack(">BBIBBBB", REJECT, 0, 4, 0, *reason)


def test_a_flood_is_rejected_beyond_the_maximum_and_room_comes_back(strict: Listener) -> None:
    """Three are served, the others told "local limit exceeded"; a release makes room."""
    held = [associate(strict.port) for _ in range(3)]
    try:
        assert all(item.is_established for item in held)
        further = [associate(strict.port) for _ in range(4)]
        assert all(item.is_rejected for item in further)
        told = further[0].acceptor.primitive
        assert (told.result, told.result_source, told.diagnostic) == (2, 3, 2)
    finally:
        for item in held:
            item.release()
    again = associate(strict.port)
    assert again.is_established
    again.release()


def connected(port: int, *chunks: bytes) -> socket.socket:
    """Open a connection and send something on it."""
    made = socket.create_connection(("127.0.0.1", port), 10)
    for chunk in chunks:
        made.sendall(chunk)
    return made


def everything(connection: socket.socket) -> bytes:
    """Read until the other side closes, which it has to within seconds."""
    connection.settimeout(8)
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@pytest.mark.parametrize(
    "opening",
    [
        b"",
        b"\x01\x00\x00",
        request("PYNETDICOM")[:100],
        request("PYNETDICOM"),
        request("PYNETDICOM") + b"\x04\x00\x00\x00\x40\x00" + bytes(100),
    ],
    ids=["nothing", "half a head", "half a request", "idle", "half a PDU"],
)
def test_silence_ends(opening: bytes, strict: Listener) -> None:
    """Whatever a peer has begun, after the time-out of that wait it is aborted and closed."""
    with closing(connected(strict.port, opening)) as connection:
        started = time.monotonic()
        answer = everything(connection)
        assert time.monotonic() - started < 7
    assert answer[-10:-9] == bytes([ABORT])


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1),
        (b"\x04\x00\x00\x00\x00\x04abcd", 2),
        (b"\x01\x00\xff\xff\xff\xff" + bytes(100), 6),
        (request("PYNETDICOM") + b"\x04\x00\x7f\xff\xff\xff" + bytes(100), 6),
        (request("PYNETDICOM") + b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\x63\x03", 6),
        (request("PYNETDICOM") + b"\x01\x00\x00\x00\x00\x00", 2),
    ],
    ids=["http", "data first", "4 GiB request", "2 GiB PDU", "unknown context", "asked twice"],
)
def test_nonsense_is_aborted_with_a_reason(sent: bytes, reason: int, strict: Listener) -> None:
    """The provider's abort says what was wrong, and no length is believed."""
    with closing(connected(strict.port, sent)) as connection:
        answer = everything(connection)
    assert answer[-10:] == struct.pack(">BBIBBBB", ABORT, 0, 4, 0, 0, 2, reason)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.builds(
            lambda kind, body: struct.pack(">BBI", kind, 0, len(body)) + body,
            st.integers(1, 7),
            st.binary(max_size=300),
        ),
        st.builds(
            lambda at, byte: (lambda r: r[:at] + bytes([byte]) + r[at + 1 :])(
                request("PYNETDICOM")
            ),
            st.integers(6, 200),
            st.integers(0, 255),
        ),
        st.builds(
            lambda control, body: (
                request("PYNETDICOM")
                + struct.pack(">BBIIBB", 4, 0, len(body) + 6, len(body) + 2, 1, control)
                + body
            ),
            st.integers(0, 3),
            st.binary(max_size=200),
        ),
    )
)
def test_garbage_neither_kills_nor_hangs_nor_leaks(data: bytes, strict: Listener) -> None:
    """Whatever the bytes, the connection ends and the listener goes on."""
    with closing(connected(strict.port, data)) as connection:
        connection.shutdown(socket.SHUT_WR)
        everything(connection)
    assert strict.process.poll() is None


def test_after_all_that_it_still_serves_and_has_let_go_of_everything(strict: Listener) -> None:
    """No descriptor and no temporary file is left of the peers above, no traceback in the log."""
    deadline = time.monotonic() + 10
    while True:
        association = associate(strict.port)
        if association.is_established or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()
    quiet = strict.descriptors()
    held = [connected(strict.port) for _ in range(20)]
    for item in held:
        item.close()
    while strict.descriptors() > quiet and time.monotonic() < deadline:
        time.sleep(0.05)
    assert strict.descriptors() <= quiet
    incoming = strict.home / "objects" / "incoming"
    assert not list(incoming.iterdir())
    assert "Traceback" not in strict.log.read_text()


def test_half_an_instance_leaves_nothing(strict: Listener) -> None:
    """A sender that dies within a data set leaves neither a row nor a file."""
    [(uid, data)] = data_sets(1, size=128)
    incoming = FolderObjects(strict.home / "objects").root / "incoming"
    with Sender(strict.port) as sender:
        sender.send(b"".join(sender.message(1, uid, data)[:2]))
        assert within(10, lambda: any(incoming.iterdir())), "nothing was begun"
    assert within(10, lambda: not any(incoming.iterdir()))


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Wait until something holds; tell whether it came to."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, a server's and a client's certificate, and another CA's client."""
    folder = tmp_path_factory.mktemp("tls")
    for ca in ("ca", "other"):
        openssl(
            folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/CN={ca}", "-keyout", f"{ca}.key", "-out", f"{ca}.pem",
        )  # fmt: skip
    (folder / "san").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl(
            folder, "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
            "-keyout", f"{name}.key", "-out", f"{name}.csr",
        )  # fmt: skip
        openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey",
            f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", "san", "-out", f"{name}.pem",
        )  # fmt: skip
    return folder


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def test_tls_with_client_certificates(
    url: str, tmp_path: Path, certificates: Path, need_tool: Callable[[str], str]
) -> None:
    """A client of the CA is served; one of another CA, one without and plain TCP are not."""
    echoscu, folder = need_tool("echoscu"), certificates
    with listening(
        url,
        tmp_path / "home",
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_ca=folder / "ca.pem",
        request_seconds=2,
    ) as made:

        def echo(*options: object) -> int:
            command = [echoscu, *options, "-ta", "5", "127.0.0.1", made.port]
            return subprocess.run(
                list(map(str, command)), capture_output=True, timeout=30, check=False
            ).returncode

        ours = ("+tls", folder / "client.key", folder / "client.pem", "+cf", folder / "ca.pem")
        theirs = ("+tls", folder / "stranger.key", folder / "stranger.pem")
        assert echo(*ours) == 0
        assert echo(*theirs, "+cf", folder / "ca.pem") != 0
        assert echo("+tla", "-ic") != 0
        assert echo() != 0
        half_open = [connected(made.port) for _ in range(5)]  # handshakes that never come
        assert echo(*ours) == 0
        for item in half_open:
            item.close()


def test_killed_between_two_instances_nothing_acknowledged_is_missing(
    postgres_url: str, tmp_path: Path
) -> None:
    """SIGKILL while it stores; all that was answered with success is there after a restart."""
    sets = data_sets(60, size=256)
    acknowledged: list[str] = []
    with fresh_database(postgres_url) as url:
        with listening(url, tmp_path / "home") as made:
            threading.Timer(0.6, made.process.send_signal, [signal.SIGKILL]).start()
            with Sender(made.port) as sender, suppress(OSError):
                for number, (uid, data) in enumerate(sets):
                    assert sender.store(sender.message(number, uid, data)) == 0
                    acknowledged.append(uid)
                    time.sleep(0.02)
        assert 0 < len(acknowledged) < len(sets)
        with listening(url, tmp_path / "home") as made:
            objects = FolderObjects(tmp_path / "home" / "objects")
            with psycopg.connect(url) as connection:
                rows = connection.execute(
                    "SELECT sop_instance_uid, object_key, object_offset, object_length"
                    " FROM instances"
                ).fetchall()
            by_uid = dict(sets)
            assert set(acknowledged) <= {row[0] for row in rows}
            for uid, key, offset, length in rows:
                assert objects.read(key, offset, length).endswith(by_uid[uid])
            sender = Sender(made.port)  # the sender tries again: all are success
            for number, (uid, data) in enumerate(sets):
                assert sender.store(sender.message(number, uid, data)) == 0
            sender.release()


def test_sigterm_lets_the_instance_in_hand_finish(url: str, tmp_path: Path) -> None:
    """The store in hand is answered, the association then aborted, the exit code 0."""
    [(uid, data), (late, _)] = data_sets(2, size=512)
    with (
        listening(url, tmp_path / "home") as made,
        Sender(made.port, calling="PYNETDICOM") as idle,
        Sender(made.port) as sender,
    ):
        message = sender.message(1, uid, data)
        sender.send(b"".join(message[:-1]))
        time.sleep(0.3)
        made.process.terminate()
        assert idle.read()[0] == ABORT
        with pytest.raises(OSError):
            Sender(made.port)
        assert sender.store([message[-1]]) == 0
        assert sender.read()[0] == ABORT
        assert made.process.wait(10) == 0
    with psycopg.connect(url) as connection:
        [(count,)] = connection.execute(
            "SELECT count(*) FROM instances WHERE sop_instance_uid = ANY(%s)", ([uid, late],)
        ).fetchall()
    assert count == 1
    assert os.listdir(tmp_path / "home" / "objects" / "incoming") == []


def test_a_database_that_is_away_is_a700_after_patience(postgres_url: str, tmp_path: Path) -> None:
    """The sender is told to try again, and when it does the instance is stored once."""
    [(uid, data)] = data_sets(1, size=64)
    with fresh_database(postgres_url) as url, psycopg.connect(postgres_url) as admin:
        admin.autocommit = True
        name = url.partition("?")[0].rpartition("/")[2]
        with listening(url, tmp_path / "home", patience_seconds=1.5) as made:
            sender = Sender(made.port)
            admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (name,),
            )
            assert sender.store(sender.message(1, uid, data)) == 0xA700
            admin.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
            deadline = time.monotonic() + 10
            while (code := sender.store(sender.message(2, uid, data))) == 0xA700:
                assert time.monotonic() < deadline
            assert code == 0
            sender.release()
