"""PostgreSQL's client programs: which are taken, and what they are told and say."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from gateway.exceptions import BackupToolsError
from gateway.runtime import pgtools


def programs(folder: Path, version: str, *, names: tuple[str, ...] = pgtools.PROGRAMS) -> Path:
    """Write programs that know their version and nothing else."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")
        (folder / name).chmod(stat.S_IRWXU)
    return folder


def test_the_nearest_that_are_not_older_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer ones write what older servers cannot read, older ones refuse newer servers."""
    folders = [
        programs(tmp_path / "a", "18.4"),
        programs(tmp_path / "b", "15.2"),
        programs(tmp_path / "c", "16.9"),
        programs(tmp_path / "d", "17.1", names=("pg_dump",)),
        tmp_path / "nothing",
    ]
    monkeypatch.setattr(pgtools, "_folders", lambda: folders)
    chosen = {major: pgtools.client_tools(major).version for major in (14, 15, 16, 17, 18)}
    assert chosen == {14: "15.2", 15: "15.2", 16: "16.9", 17: "18.4", 18: "18.4"}
    with pytest.raises(BackupToolsError, match=r"PostgreSQL 19 or later.* 15, 16, 18"):
        pgtools.client_tools(19)


def test_the_wheel_brings_them() -> None:
    """All three, of the embedded server's version."""
    assert pgtools.client_tools(18).major == 18


def test_a_password_is_on_no_command_line() -> None:
    where, environ = pgtools._connection("postgresql://u:s3cret@h:5/d?sslmode=require")
    assert "s3cret" not in where
    assert "sslmode=require" in where
    assert environ["PGPASSWORD"] == "s3cret"


def test_what_older_servers_do_not_know_is_left_out_once() -> None:
    """Only where pg_restore sets it; a row may say whatever it likes."""
    line = pgtools.TRANSACTION_TIMEOUT
    script = b"SET lock_timeout = 0;\n" + line + b"COPY t FROM stdin;\n" + line + b"\\.\n"
    old, new = io.BytesIO(), io.BytesIO()
    pgtools._pass_on(io.BytesIO(script), old, to_old_server=True)
    assert old.getvalue() == b"SET lock_timeout = 0;\nCOPY t FROM stdin;\n" + line + b"\\.\n"
    pgtools._pass_on(io.BytesIO(script), new, to_old_server=False)
    assert new.getvalue() == script


def test_last_words_repeat_no_row() -> None:
    said = b'psql:<stdin>:9: ERROR:  invalid input\nCONTEXT:  COPY studies, line 1: "Doe^Jane"\n'
    assert pgtools._words(io.BytesIO(said)) == "psql:<stdin>:9: ERROR:  invalid input"
