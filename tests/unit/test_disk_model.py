"""The disk that forgets, forgets what it should and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disk_model import Disk, calls_of

ROOT = "/d/objects"


def escaped(text: str | bytes) -> str:
    data = text.encode("latin-1") if isinstance(text, str) else text
    return "".join(f"\\x{byte:02x}" for byte in data)


def replay(*lines: str) -> Disk:
    disk = Disk(ROOT)
    for call in calls_of([f"7 {line}" for line in lines]):
        disk.perform(call)
    return disk


def left(disk: Disk, folder: Path, *, keep_names: bool) -> dict[str, bytes]:
    disk.after_power_loss(folder, keep_names=keep_names)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def fd(path: str, number: int = 9) -> str:
    return f"{number}<{escaped(f'{ROOT}/{path}' if path else ROOT)}>"


def create(path: str) -> str:
    return (
        f'openat(AT_FDCWD<{escaped("/")}>, "{escaped(f"{ROOT}/{path}")}", O_RDWR|O_CREAT, 0600)'
        f" = {fd(path)}"
    )


def write(path: str, data: bytes, offset: int = 0) -> str:
    return (
        f'pwritev2({fd(path)}, [{{iov_base="{escaped(data)}", iov_len={len(data)}}}], 1,'
        f" {offset}, 0) = {len(data)}"
    )


def rename(old: str, new: str) -> str:
    old, new = escaped(f"{ROOT}/{old}"), escaped(f"{ROOT}/{new}")
    return f'rename("{old}", "{new}") = 0'


FILE, FOLDER = f"fsync({fd('a')}) = 0", f"fsync({fd('')}) = 0"


@pytest.mark.parametrize(
    ("lines", "sure", "lucky"),
    [
        ([create("a"), write("a", b"xyz")], {}, {"a": b""}),
        ([create("a"), write("a", b"xyz"), FILE], {}, {"a": b"xyz"}),
        ([create("a"), write("a", b"xyz"), FOLDER], {"a": b""}, {"a": b""}),
        ([create("a"), write("a", b"xyz"), FILE, FOLDER], {"a": b"xyz"}, {"a": b"xyz"}),
        (
            [create("a"), write("a", b"xyz"), FILE, FOLDER, rename("a", "b")],
            {"a": b"xyz"},
            {"b": b"xyz"},
        ),
        (
            [create("a"), write("a", b"xyz"), FILE, FOLDER, rename("a", "b"), FOLDER],
            {"b": b"xyz"},
            {"b": b"xyz"},
        ),
        (
            [create("a"), write("a", b"xyz"), FILE, write("a", b'"<>}', 3), FOLDER],
            {"a": b"xyz"},
            {"a": b"xyz"},
        ),
        (
            [create("a"), write("a", b"xyz"), f"ftruncate({fd('a')}, 1) = 0", FILE, FOLDER],
            {"a": b"x"},
            {"a": b"x"},
        ),
        (
            [create("a"), FILE, FOLDER, f'unlink("{escaped(ROOT + "/a")}") = 0'],
            {"a": b""},
            {},
        ),
        ([create("a"), write("a", b'"<>},', 2), FILE, FOLDER], {"a": b'\0\0"<>},'}, None),
    ],
)
def test_what_was_not_fsynced_is_gone(
    lines: list[str], sure: dict[str, bytes], lucky: dict[str, bytes] | None, tmp_path: Path
) -> None:
    """Bytes by the file's fsync, names by the folder's; at best every name is there."""
    assert left(replay(*lines), tmp_path / "sure", keep_names=False) == sure
    assert left(replay(*lines), tmp_path / "lucky", keep_names=True) == (
        sure if lucky is None else lucky
    )


def test_a_file_in_a_folder_that_was_not_fsynced_is_not_reached(tmp_path: Path) -> None:
    """The folder's own name is in its parent."""
    lines = [
        f'mkdir("{escaped(ROOT + "/f")}", 0700) = 0',
        create("f/a"),
        write("f/a", b"x"),
        f"fsync({fd('f/a')}) = 0",
        f"fsync({fd('f')}) = 0",
    ]
    assert left(replay(*lines), tmp_path / "without", keep_names=False) == {}
    assert left(replay(*lines, FOLDER), tmp_path / "with", keep_names=False) == {"f/a": b"x"}


def test_an_interrupted_fsync_counts_when_it_ends_and_an_answer_when_it_begins() -> None:
    """The trace of several threads cuts calls in two."""
    lines = [
        f"7 fsync({fd('a')} <unfinished ...>",
        '8 sendto(5<socket:[1]>, "\\x48\\x49", 2, 0, NULL, 0 <unfinished ...>',
        "7 <... fsync resumed>) = 0",
        "8 <... sendto resumed>) = 2",
        f"7 fsync({fd('')}) = -1 EIO (Input/output error)",
    ]
    calls = list(calls_of(lines))
    assert [(call.name, call.result) for call in calls] == [
        ("sendto", 0),
        ("fsync", 0),
        ("fsync", -1),
    ]
    assert calls[0].sent == "HI"


def test_a_buffer_that_strace_has_cut_is_noticed() -> None:
    with pytest.raises(AssertionError, match="cut"):
        replay(create("a"), write("a", b"xyz").replace('", iov_len', '"..., iov_len'))
