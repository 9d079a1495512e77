"""Each alert has its runbook, and a runbook asks for nothing that is not there."""

from __future__ import annotations

import re
import shlex

import pytest

from gateway.api import screening_lists, webhooks
from gateway.cli import make_parser
from gateway.settings import environment_names
from tests.monitoring.alerts import NAMES, RUNBOOKS, rule

HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]

KUBECTL = {"annotate", "cordon", "delete", "describe", "drain", "exec", "get", "logs"}
KUBECTL |= {"rollout", "top"}

CLUSTER_WIDE = {"cordon", "drain"}
"""Verbs on nodes, which lie in no namespace."""

HELM = {"history", "rollback", "upgrade"}

CONTAINERS = {"api", "worker", "triton", "dimse"}


def text_of(name: str) -> str:
    return (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")


def commands_of(name: str) -> list[list[str]]:
    """Give the commands of a runbook, split into words."""
    blocks = re.findall(r"^```console\n(.*?)^```$", text_of(name), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("$ ") for line in lines), name
    return [shlex.split(line[2:]) for line in lines]


def test_every_runbook_belongs_to_an_alert() -> None:
    """None is missing and none is left over."""
    assert sorted(path.name for path in RUNBOOKS.iterdir()) == [f"{name}.md" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_every_runbook_has_its_four_parts(name: str) -> None:
    """Title, the alert's own summary, and the headings in their order, none of them empty."""
    lines = text_of(name).splitlines()
    assert lines[0] == f"# {name}"
    assert lines[2] == rule(name)["annotations"]["summary"]
    parts = re.split(r"^## (.*)\n", text_of(name), flags=re.MULTILINE)
    assert parts[1::2] == HEADINGS
    assert all(part.strip() for part in parts[2::2])


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_one(name: str) -> None:
    """Our own are parsed by our own parser; kubectl and helm are asked for verbs that they have."""
    assert commands_of(name) or name in ("OneScanBackfillLaneLate",)
    for words in commands_of(name):
        if words[0] == "kubectl":
            check_kubectl(words)
        elif words[0] == "helm":
            assert words[1:3] == ["-n", "onescan"], words
            assert words[3] in HELM, words
        else:
            check_onescan(words)


def check_kubectl(words: list[str]) -> None:
    own, _, inside = " ".join(words[1:]).partition(" -- ")
    arguments = own.split()
    namespace = None
    if arguments[0] == "-n":
        namespace, arguments = arguments[1], arguments[2:]
    assert arguments[0] in KUBECTL, words
    if arguments[0] not in CLUSTER_WIDE and not {"node", "nodes", "-A"} & set(arguments):
        assert namespace in ("onescan", "keda"), words
    if "-c" in arguments:
        assert arguments[arguments.index("-c") + 1] in CONTAINERS, words
    for selector in re.findall(r"-l app\.kubernetes\.io/component=(\S+)", own):
        assert selector in ("api", "pool", "dimse"), words
    if inside.startswith("onescan "):
        check_onescan(shlex.split(shlex.join(words).partition(" -- ")[2]))


def check_onescan(words: list[str]) -> None:
    assert words[0] == "onescan", words
    try:
        make_parser().parse_args([word if word != "WHAT" else "intake" for word in words[1:]])
    except SystemExit:
        pytest.fail(f"{shlex.join(words)} is no command")


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_and_link_is_there(name: str) -> None:
    """Environment variables are read by somebody, and links lead somewhere."""
    text = text_of(name)
    assert set(re.findall(r"ONESCAN_[A-Z]+__[A-Z_]+", text)) <= set(environment_names())
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (RUNBOOKS / target).is_file(), target


def test_every_route_is_there() -> None:
    """Paths of the api that runbooks name are served."""
    named = {
        (method, path)
        for name in NAMES
        for method, path in re.findall(r"`(GET|POST) (/v1/[^`?]+)", text_of(name))
    }
    assert named
    served = {
        (route.method, re.sub(r"\{\w+\}", "{}", route.path))  # type: ignore[attr-defined]
        for table in (webhooks.routes, screening_lists.routes)
        for route in table
    }
    assert {(method, re.sub(r"\{\w+\}", "{}", path)) for method, path in named} <= served
