"""Every profile renders, lints, and is what Kubernetes, KEDA and the Gateway API take."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from gateway import __version__
from tests.chart.rendering import CHART, PROFILES, Document, helm, profile

CRDS = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in (Path(__file__).parent / "crds").glob("*.yaml")
}
"""Kind in small letters → JSON schema."""

OLDEST, NEWEST = "1.29", "1.37"
"""Of Kubernetes: that of Chart.yaml, and the newest schemas at hand."""


def check(document: Document, version: str) -> None:
    if (crd := CRDS.get(document["kind"].lower())) is not None:
        jsonschema.Draft7Validator(crd).validate(document)
    else:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_lint(name: str) -> None:
    """`helm lint --strict` has nothing to say."""
    values = [f"--values={CHART / file}" for file in PROFILES[name]]
    done = helm("lint", "--strict", str(CHART), *values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", PROFILES)
def test_documents_are_valid(name: str, version: str) -> None:
    """By the schemas of Kubernetes, unknown fields refused; other kinds by those written down."""
    documents = profile(name)
    assert len(documents) > 15
    for document in documents:
        check(document, version)


def test_the_schemas_refuse() -> None:
    """Neither kind of schema takes a field that it does not know."""
    for document in (d for d in profile("all") if d["kind"] in ("ScaledObject", "Deployment")):
        broken = {**document, "spec": {**document["spec"], "replica": 1}}
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(broken, NEWEST)


def test_the_crds_that_are_written_down_are_used() -> None:
    """The profile with every option on has one of each kind."""
    kinds = {document["kind"].lower() for document in profile("all")}
    assert set(CRDS) <= kinds


@pytest.mark.parametrize("name", PROFILES)
def test_names_are_unique_and_short(name: str) -> None:
    """No object stands twice in a profile, and names fit into labels and DNS."""
    identities = [(d["kind"], d["metadata"]["name"]) for d in profile(name)]
    assert len(identities) == len(set(identities))
    assert all(re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", n) for _, n in identities)


def test_long_release_names_are_cut() -> None:
    """A release name of Helm's 53 characters gives names of 63 at most, but of PriorityClasses."""
    files = [f"--values={CHART / 'ci/all-values.yaml'}", "--set=fullnameOverride="]
    done = helm("template", "a" * 53, str(CHART), *files)
    assert done.returncode == 0, done.stderr
    documents = [d for d in yaml.safe_load_all(done.stdout) if d]
    names = {d["metadata"]["name"] for d in documents if d["kind"] != "PriorityClass"}
    assert max(map(len, names)) <= 63


def test_nothing_renders_trailing_spaces() -> None:
    """Rendered text is as tidy as what is written by hand."""
    done = helm("template", "onescan", str(CHART), f"--values={CHART / 'ci/all-values.yaml'}")
    assert not re.findall(r"[ \t]+$", done.stdout, flags=re.MULTILINE)


def test_versions_are_the_same() -> None:
    """appVersion, which is the images' tag, is that of the package."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == __version__
    assert OLDEST in chart["kubeVersion"]


def test_an_older_kubernetes_is_refused() -> None:
    """Native sidecars are on by default from 1.29."""
    done = helm("template", "onescan", str(CHART), "--kube-version=1.28.0")
    assert done.returncode != 0
    assert "1.29" in done.stderr
