"""A disk that forgets: a trace of system calls is replayed, and the power fails at any of them.

Only what was fsynced is sure to be there afterwards: bytes of a file by fsync of the file, its name
by fsync of the folder that holds it. A disk may keep more than that, so there are two extremes:
one keeps nothing that was not fsynced, the other keeps every name and still loses the bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

CALLS = "openat,mkdir,pwrite64,pwritev2,ftruncate,fsync,fdatasync,rename,unlink,sendto"
"""What strace has to follow: ``-f -y -xx -s BYTES``, bytes enough for every buffer."""


@dataclass(frozen=True)
class Call:
    """One completed system call."""

    name: str
    arguments: str
    """As strace prints them, strings and paths in hexadecimal escapes."""

    result: int

    @property
    def paths(self) -> list[str]:
        """The paths that it names, descriptors by what they are open on."""
        found = re.findall(r'<([^>]*)>|"([^"]*)"', self.arguments.split(", [")[0])
        return [_unescaped(a or b) for a, b in found]

    @property
    def sent(self) -> str:
        """What a socket was given, as latin-1."""
        match = re.search(r'"([^"]*)"', self.arguments)
        return _unescaped(match[1]) if match and self.name == "sendto" else ""


def calls_of(lines: Sequence[str]) -> Iterator[Call]:
    """Read a trace; a call that another thread interrupted counts when it ends.

    An answer on its way counts when it begins: the peer may have it before the call returns.
    """
    begun: dict[str, str] = {}
    for line in lines:
        thread, _, text = line.partition(" ")
        text = text.strip()
        if text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>").rstrip()
            if not text.startswith("sendto("):
                begun[thread] = text
                continue
            text += ") = 0"
        elif resumed := re.match(r"<\.\.\. (\w+) resumed>(.*)", text):
            if resumed[1] == "sendto" or thread not in begun:
                continue
            text = begun.pop(thread) + resumed[2]
        if match := re.match(r"(\w+)\((.*)\)\s+= (-?\d+)", text):
            yield Call(match[1], match[2], int(match[3]))


def _unescaped(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), text)


@dataclass
class _File:
    data: bytearray = field(default_factory=bytearray)
    kept: bytes = b""


@dataclass
class Disk:
    """The part of a file system below `root`; what leads there is durable from the start."""

    root: str
    names: dict[str, _File | None] = field(default_factory=dict)
    """Path → file, None for a folder: as processes see it."""

    kept: dict[str, _File | None] = field(default_factory=dict)
    """The same, as far as folders were fsynced."""

    def perform(self, call: Call) -> None:
        """Replay a call; what lies elsewhere or failed changes nothing."""
        if call.result < 0 or not (paths := [p for p in call.paths if self._is_ours(p)]):
            return
        path = paths[0]
        if call.name == "openat" and "O_CREAT" in call.arguments:
            self.names.setdefault(paths[0], _File())
        elif call.name == "mkdir":
            self.names[path] = None
        elif call.name == "unlink":
            self.names.pop(path, None)
        elif call.name == "rename":
            self.names[paths[1]] = self.names.pop(path)
        elif call.name in ("fsync", "fdatasync"):
            self._keep(path)
        elif isinstance(file := self.names.get(path), _File):
            self._change(file, call)

    def after_power_loss(self, folder: Path, *, keep_names: bool) -> None:
        """Write what is left into a folder, under the paths below the root.

        Parameters
        ----------
        keep_names : bool
            The extreme that keeps every name; else only the fsynced ones are there, and of those
            only what fsynced folders lead to.
        """
        names = self.names if keep_names else self.kept
        for path, file in sorted(names.items()):
            if not keep_names and not self._is_reached(path):
                continue
            target = folder / PurePosixPath(path).relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if file is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(file.kept)

    def _is_ours(self, path: str) -> bool:
        return path == self.root or path.startswith(self.root + "/")

    def _is_reached(self, path: str) -> bool:
        above = [str(p) for p in PurePosixPath(path).parents if str(p).startswith(self.root + "/")]
        return all(folder in self.kept for folder in above)

    def _keep(self, path: str) -> None:
        file = self.names.get(path)
        if file is not None:
            file.kept = bytes(file.data)
            return
        for name in {*self.names, *self.kept}:
            if str(PurePosixPath(name).parent) != path:
                continue
            if name in self.names:
                self.kept[name] = self.names[name]
            else:
                del self.kept[name]

    @staticmethod
    def _change(file: _File, call: Call) -> None:
        if call.name == "ftruncate":
            size = int(call.arguments.rpartition(", ")[2])
            del file.data[size:]
            return
        rest = call.arguments
        if call.name == "pwritev2":
            rest = rest.removesuffix(", 0")  # its flags
            parts = re.findall(r'iov_base="([^"]*)"(\.*)', call.arguments)
        elif call.name == "pwrite64":
            parts = re.findall(r'"([^"]*)"(\.*)', call.arguments)
        else:
            return
        offset = int(rest.rpartition(", ")[2])
        assert not any(cut for _, cut in parts), "strace has cut a buffer"
        data = "".join(_unescaped(part) for part, _ in parts).encode("latin-1")[: call.result]
        file.data.extend(bytes(max(0, offset - len(file.data))))
        file.data[offset : offset + len(data)] = data
