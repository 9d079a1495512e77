"""The chart as `helm template` renders it, for every test of it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "onescan"
HELM = Path(sys.prefix) / "bin" / "helm"
"""Of the package helm-binary, which the dev dependencies bring."""

PROFILES = {
    "default": (),
    "minimal": ("ci/minimal-values.yaml",),
    "edge": ("values-edge.yaml",),
    "national": ("values-national.yaml",),
    "all": ("ci/all-values.yaml",),
}
"""Name → files of values."""

Document = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm; never against a cluster."""
    return subprocess.run(
        [str(HELM), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def template(*files: str, **values: Any) -> subprocess.CompletedProcess[str]:
    """Run `helm template` with files of the chart and values laid over them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as over:
        yaml.safe_dump(values, over)
        over.flush()
        paths = [*(str(CHART / name) for name in files), over.name]
        return helm(
            "template",
            "onescan",
            str(CHART),
            "--namespace=screening",
            *(f"--values={path}" for path in paths),
        )


def render(*files: str, **values: Any) -> list[Document]:
    """Give the documents of `template`."""
    done = template(*files, **values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@cache
def profile(name: str) -> tuple[Document, ...]:
    """Give the documents of a profile, rendered once; nobody changes them."""
    return tuple(render(*PROFILES[name]))


def of_kind(documents: Iterator[Document] | tuple[Document, ...], *kinds: str) -> list[Document]:
    """Choose documents by kind."""
    return [document for document in documents if document["kind"] in kinds]


def named(documents: tuple[Document, ...] | list[Document], kind: str, name: str) -> Document:
    """Give the one document of a kind and a name."""
    (found,) = [d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name]
    return found


def pods(documents: tuple[Document, ...] | list[Document]) -> Iterator[tuple[str, Document]]:
    """Give what will run: name, and a template of metadata and spec."""
    for document in documents:
        name = f"{document['kind']}/{document['metadata']['name']}"
        if document["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield name, document["spec"]["template"]
        elif document["kind"] == "CronJob":
            yield name, document["spec"]["jobTemplate"]["spec"]["template"]
        elif document["kind"] == "Pod":
            yield name, document


def containers(pod: Document) -> list[Document]:
    """Give all containers of a pod, those that begin first first."""
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def environment(container: Document) -> dict[str, Any]:
    """Give the variables that a container names itself; the value, or where it is from."""
    return {
        item["name"]: item.get("value", item.get("valueFrom")) for item in container.get("env", [])
    }


def matches(selector: Document, labels: Document) -> bool:
    """Say whether a label selector of equalities chooses these labels."""
    assert set(selector) <= {"matchLabels"}
    return all(labels.get(name) == value for name, value in selector.get("matchLabels", {}).items())
