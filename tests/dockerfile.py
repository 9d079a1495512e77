"""Read a Dockerfile and a .dockerignore: as much of their rules as ours use."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Instruction:
    """One instruction, its lines joined."""

    name: str
    text: str
    line: int

    @property
    def options(self) -> dict[str, str]:
        """Its ``--name=value`` in front."""
        words = shlex.split(self.text) if self.name in ("COPY", "FROM") else []
        pairs = [word[2:].partition("=") for word in words if word.startswith("--")]
        return {name: value for name, _, value in pairs}

    @property
    def words(self) -> list[str]:
        """Its words, of the JSON form too, without options."""
        if self.text.startswith("["):
            return list(json.loads(self.text))
        return [word for word in shlex.split(self.text) if not word.startswith("--")]


@dataclass
class Stage:
    """From one FROM to the next."""

    name: str
    base: str
    instructions: list[Instruction] = field(default_factory=list)
    below: Stage | None = None
    """The stage that it begins with."""

    def all(self, name: str) -> list[Instruction]:
        """List the instructions of a name, those of the stage below first."""
        below = self.below.all(name) if self.below else []
        return below + [one for one in self.instructions if one.name == name]

    def last(self, name: str) -> Instruction:
        """Give the instruction of a name that counts."""
        return self.all(name)[-1]

    @property
    def environ(self) -> dict[str, str]:
        """What ENV sets; the base's own names stay as they are written."""
        found: dict[str, str] = {}
        for one in self.all("ENV"):
            for word in shlex.split(one.text):
                name, equals, value = word.partition("=")
                assert equals, one
                found[name] = value
        return found

    @property
    def ports(self) -> set[int]:
        """What EXPOSE names."""
        return {int(port) for one in self.all("EXPOSE") for port in one.words}

    @property
    def commands(self) -> list[list[str]]:
        """Every command of its own RUNs, `&&` between."""
        runs = [one.text for one in self.instructions if one.name == "RUN"]
        return [shlex.split(command) for run in runs for command in run.split(" && ")]


@dataclass(frozen=True)
class Dockerfile:
    """A whole file."""

    arguments: dict[str, str]
    """ARG before the first FROM."""

    stages: dict[str, Stage]


def read_dockerfile(path: Path) -> Dockerfile:
    """Parse a Dockerfile whose stages all have names."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for one in _instructions(path.read_text(encoding="utf-8")):
        if one.name == "FROM":
            image, word, name = one.words
            assert word.upper() == "AS", one
            base = re.sub(r"\$\{(\w+)\}", lambda match: arguments[match.group(1)], image)
            stage = stages[name] = Stage(name, base, below=stages.get(image))
        elif stage is None:
            assert one.name == "ARG", one
            name, _, value = one.text.partition("=")
            arguments[name] = value
        else:
            stage.instructions.append(one)
    return Dockerfile(arguments, stages)


def _instructions(text: str) -> list[Instruction]:
    found: list[Instruction] = []
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip().startswith("#") or (not line.strip() and not parts):
            continue
        parts.append(line.rstrip().removesuffix("\\").strip())
        if not line.rstrip().endswith("\\"):
            name, _, rest = " ".join(parts).partition(" ")
            found.append(Instruction(name, rest.strip(), number))
            parts = []
    assert not parts
    return found


class Ignored:
    """The rules of a .dockerignore: the last that fits counts."""

    def __init__(self, path: Path) -> None:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        self.rules = [line for line in lines if line and not line.startswith("#")]

    def __call__(self, path: str) -> bool:
        """Tell whether a path of the build context reaches no builder."""
        ignored = False
        for rule in self.rules:
            if _fits(path, rule.removeprefix("!").rstrip("/")):
                ignored = not rule.startswith("!")
        return ignored


def _fits(path: str, pattern: str) -> bool:
    """A pattern fits a path, or a folder above it; `**/` is any folders, none too."""
    heads = [str(head) for head in (PurePosixPath(path), *PurePosixPath(path).parents)][:-1]
    if pattern.startswith("**/"):
        return any(fnmatchcase(PurePosixPath(head).name, pattern[3:]) for head in heads)
    return any(
        head.count("/") == pattern.count("/") and fnmatchcase(head, pattern) for head in heads
    )
