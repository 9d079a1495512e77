"""docs/cluster.md: as many commands as it promises, with values and files that are there."""

from __future__ import annotations

import itertools
import re
import shlex

import pytest
import yaml

from gateway.cli import make_parser
from tests.chart.rendering import CHART, ROOT, helm

TEXT = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")

SECTIONS = {
    "From an empty GPU cluster to the first finding": 10,
    "From a bare CPU machine to an edge site": 5,
}
"""Heading → commands that the issue allows."""


def commands(heading: str) -> list[str]:
    """Give the commands of the first block below a heading."""
    section = TEXT.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    block = section.split("```console\n", 1)[1].split("```", 1)[0]
    return [line.removeprefix("$ ") for line in block.splitlines()]


@pytest.mark.parametrize("heading", SECTIONS)
def test_there_are_as_many_commands_as_promised(heading: str) -> None:
    """One a line, no more."""
    lines = commands(heading)
    assert len(lines) == SECTIONS[heading]
    for line in lines:
        shlex.split(line.replace("<<<", " "))


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_install_renders(heading: str) -> None:
    """With the values that its command sets."""
    (install,) = [line for line in commands(heading) if re.search(r"install onescan ", line)]
    words = shlex.split(install)
    given = []
    for option, value in itertools.pairwise(words):
        if option == "--set":
            given += ["--set", value]
        if option == "--values":
            given += ["--values", str(CHART.parent / value)]
    assert given
    done = helm("template", "onescan", str(CHART), "--namespace=onescan", *given)
    assert done.returncode == 0, done.stderr


def test_the_secrets_are_those_that_pods_read() -> None:
    """What the ten commands make is what the chart of the tenth-but-one asks for."""
    made: dict[str, set[str]] = {}
    for line in commands("From an empty GPU cluster to the first finding"):
        if match := re.search(r"create secret generic (\S+)", line):
            made[match[1]] = set(re.findall(r"--from-(?:literal|file)=([a-z-]+)=", line))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert made == {
        values["database"]["existingSecret"]: {values["database"]["urlKey"]},
        values["database"]["scaler"]["existingSecret"]: {values["database"]["scaler"]["urlKey"]},
        values["keys"]["existingSecret"]: {"api-key", "webhook-key", "log-key"},
        "onescan-s3": {"credentials"},
    }


@pytest.mark.parametrize("heading", SECTIONS)
def test_the_first_finding_is_asked_for_rightly(heading: str) -> None:
    """`onescan phantom` and `onescan screen` take what they are given."""
    script = shlex.split(commands(heading)[-1])[-1]
    parts = [part.strip() for part in re.split(r"&&|;", script)]
    ours = [shlex.split(part)[1:] for part in parts if part.startswith("onescan ")]
    assert [words[0] for words in ours] == ["phantom", "screen"]
    for words in ours:
        make_parser().parse_args(words)


def test_values_that_the_page_names_exist() -> None:
    """Every value in backticks is one of values.yaml, or of a pool."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    tops = set(values) | set(values["poolDefaults"])
    for path in re.findall(r"`([a-z][A-Za-z0-9]*(?:\.[a-zA-Z0-9*]+)+)`", TEXT):
        first, *rest = path.split(".")
        if first not in tops or path.endswith((".sh", ".tar", ".md")):
            continue
        at = values.get(first, values["poolDefaults"].get(first))
        candidates = [at, values["poolDefaults"].get(first)]
        assert any(reaches(candidate, rest) for candidate in candidates), path


def reaches(values: object, path: list[str]) -> bool:
    for name in path:
        if name == "*":
            return True
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return True
