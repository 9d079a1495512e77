"""compose.yaml keeps to the specification, to the Dockerfile, to the settings, and to no secret."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gateway import __version__
from gateway.cli import make_parser
from gateway.settings import Settings
from tests.dockerfile import read_dockerfile

ROOT = Path(__file__).resolve().parents[2]

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

STAGES = read_dockerfile(ROOT / "Dockerfile").stages

OURS = sorted(name for name, service in SERVICES.items() if "build" in service)

THEIRS = sorted(set(SERVICES) - set(OURS))

VARIABLE = re.compile(r"\$\{(\w+)(:?[-?])?([^}]*)\}")

STRINGS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}

DURATION = {"type": "string", "pattern": r"^(\d+(us|ms|s|m|h))+$"}

SIZE = {"type": "string", "pattern": r"^\d+[bkmg]$"}


def closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def mapped(schema: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": schema}


DEPENDENCY = closed(
    {
        "condition": {
            "enum": ["service_started", "service_healthy", "service_completed_successfully"]
        },
        "required": {"type": "boolean"},
        "restart": {"type": "boolean"},
    },
    "condition",
)

SERVICE = closed(
    {
        "image": {"type": "string"},
        "build": closed({"context": {"type": "string"}, "target": {"type": "string"}}, "context"),
        "profiles": STRINGS,
        "init": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "cap_drop": STRINGS,
        "security_opt": STRINGS,
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "env_file": {
            "type": "array",
            "items": closed({"path": {"type": "string"}, "required": {"type": "boolean"}}, "path"),
        },
        "environment": mapped({"type": "string"}),
        "entrypoint": {"type": "array", "items": {"type": "string"}},
        "command": {"type": "array", "items": {"type": "string"}},
        "tmpfs": STRINGS,
        "volumes": STRINGS,
        "shm_size": SIZE,
        "ports": STRINGS,
        "secrets": STRINGS,
        "networks": {
            "anyOf": [STRINGS, mapped({"anyOf": [{"type": "null"}, closed({"aliases": STRINGS})]})]
        },
        "depends_on": {"anyOf": [STRINGS, mapped(DEPENDENCY)]},
        "healthcheck": closed(
            {
                "test": {"type": "array", "items": {"type": "string"}},
                "interval": DURATION,
                "timeout": DURATION,
                "start_period": DURATION,
                "retries": {"type": "integer"},
            },
            "test",
        ),
        "stop_grace_period": DURATION,
        "deploy": closed(
            {
                "resources": closed(
                    {
                        "reservations": closed(
                            {
                                "devices": {
                                    "type": "array",
                                    "items": closed(
                                        {
                                            "driver": {"type": "string"},
                                            "count": {"type": ["integer", "string"]},
                                            "capabilities": STRINGS,
                                        },
                                        "capabilities",
                                    ),
                                }
                            }
                        )
                    }
                )
            }
        ),
    },
    "image",
)

FILE = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": mapped(SERVICE),
        "networks": mapped(closed({"internal": {"type": "boolean"}})),
        "volumes": mapped(
            closed({"driver": {"type": "string"}, "driver_opts": mapped({"type": "string"})})
        ),
        "secrets": mapped(closed({"environment": {"type": "string"}}, "environment")),
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}
"""What of the Compose Specification this file uses, and nothing that it does not know."""


def environ_of(name: str) -> dict[str, str]:
    """What the service's process sees: the image's ENV below the service's own."""
    service = SERVICES[name]
    return {
        **STAGES[service["build"]["target"]].environ,
        **{key: VARIABLE.sub("x", value) for key, value in service.get("environment", {}).items()},
    }


def mounts(name: str) -> dict[str, tuple[str, bool]]:
    """Where the service has what; and whether it may write there."""
    found: dict[str, tuple[str, bool]] = {}
    for text in SERVICES[name].get("volumes", []):
        source, target, *mode = text.split(":")
        found[target] = (source, mode != ["ro"])
    return found | {text.split(":")[0]: ("", True) for text in SERVICES[name].get("tmpfs", [])}


def seconds(text: str) -> float:
    return int(text.removesuffix("s"))


def test_it_keeps_to_the_specification() -> None:
    """Names and types are those of the Compose Specification."""
    problems = Draft202012Validator(FILE).iter_errors(COMPOSE)
    assert [f"{list(one.path)}: {one.message}" for one in problems] == []


def test_the_schema_refuses_what_it_does_not_know() -> None:
    """A key in the wrong place is seen."""
    for wrong in ({"port": ["1"]}, {"ports": [80]}, {"restart": False}, {"stop_grace_period": 5}):
        broken = {"services": {"api": {"image": "x", **wrong}}}
        assert list(Draft202012Validator(FILE).iter_errors(broken)), wrong


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_our_commands(name: str) -> None:
    """Target, tag and command fit the Dockerfile, the version and the command line."""
    service = SERVICES[name]
    target = service["build"]["target"]
    assert service["image"] == f"ghcr.io/example/onescan-{target}:{__version__}"
    entry = STAGES[target].last("ENTRYPOINT").words
    words = service.get("entrypoint", entry)[-1:] + service["command"]
    assert words[0] == "onescan"
    make_parser().parse_args(words[1:])
    if "entrypoint" in service:
        program, file, *rest = service["entrypoint"]
        assert rest == entry
        copied = [one.words for one in STAGES[target].all("COPY")]
        assert [f"docker/{program}.sh", f"/usr/local/bin/{program}"] in copied
        assert file == environ_of(name)["ONESCAN_TRITON__RESTART_FILE"]


@pytest.mark.parametrize("name", OURS)
def test_our_services_have_settings(name: str) -> None:
    """Each name is read and each value is taken; ports and probes are those that are served."""
    service, environ = SERVICES[name], environ_of(name)
    settings = Settings.from_environ(environ)
    served = {
        "api": {settings.api.port},
        "worker": {settings.worker.metrics_port},
        "dimse": {settings.dimse.port, settings.dimse.metrics_port},
    }.get(name, set())
    assert served <= STAGES[service["build"]["target"]].ports
    inside = {int(text.rpartition(":")[2]) for text in service.get("ports", [])}
    assert inside <= served
    probed = re.findall(r"127\.0\.0\.1:(\d+)", str(service.get("healthcheck", "")))
    assert {int(port) for port in probed} <= served
    assert bool(probed) == bool(served)
    drain = {
        "api": settings.api.drain_seconds,
        "worker": settings.worker.drain_seconds,
        "dimse": settings.dimse.drain_seconds,
        "triton-gpu": settings.triton.exit_timeout_seconds,
        "triton-cpu": settings.triton.exit_timeout_seconds,
    }.get(name)
    if drain is None:
        assert service["restart"] == "no"
    else:
        assert seconds(service["stop_grace_period"]) >= drain + 5


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_only_where_something_is_mounted(name: str) -> None:
    """Their root is read-only, they drop every capability, and their state is in a volume."""
    service, environ, mounted = SERVICES[name], environ_of(name), mounts(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if name == "compile":
        assert not any(source == "home" for source, _ in mounted.values())
    elif name.startswith("triton"):
        assert not any(source == "home" for source, _ in mounted.values())  # keys and studies
        assert mounted[f"{environ['ONESCAN_HOME']}/banks"] == ("banks", False)
    else:
        assert mounted[environ["ONESCAN_HOME"]] == ("home", True)
    assert "/tmp" in mounted
    if name != "migrate":
        assert environ.get("TMPDIR", "/tmp") in mounted
    if name == "worker" or name.startswith("triton"):
        socket = environ.get("ONESCAN_TRITON__RESTART_FILE", "")
        assert mounted[str(Path(socket).parent)] == ("run", True)
        assert mounted["/dev/shm"] == ("shm", True)


def test_shared_folders_are_large_enough_and_private() -> None:
    """/dev/shm holds a worker's studies twice over; the socket's folder is our user's alone."""
    sizes = {name: volume.get("driver_opts", {}) for name, volume in COMPOSE["volumes"].items()}
    size = re.search(r"size=(\d+)g", sizes["shm"]["o"])
    assert size is not None
    assert int(size[1]) * 1024**3 >= 2 * Settings.from_environ({}).worker.shm_bytes
    assert {"mode=0700", "uid=10001", "gid=10001"} <= set(sizes["run"]["o"].split(","))


@pytest.mark.parametrize("profile", ["gpu", "cpu"])
def test_a_profile_is_whole(profile: str) -> None:
    """Each has one of everything, one Triton among it, and depends on nothing outside."""
    chosen = {name for name, one in SERVICES.items() if profile in one.get("profiles", [profile])}
    tritons = [name for name in chosen if name.startswith("triton")]
    assert tritons == [f"triton-{profile}"]
    assert SERVICES[tritons[0]]["networks"]["metrics"]["aliases"] == ["triton"]
    assert ("deploy" in SERVICES[tritons[0]]) == (profile == "gpu")
    assert {"postgres", "migrate", "api", "worker", "dimse", "prometheus", "grafana"} <= chosen
    for name in chosen:
        asked = SERVICES[name].get("depends_on", {})
        for other in asked:
            needed = isinstance(asked, list) or asked[other].get("required", True)
            assert other in chosen or not needed, (name, other)


def test_dependencies_wait_for_what_can_be_waited_for() -> None:
    """Healthy means that there is a probe; completed means that it ends."""
    for name, service in SERVICES.items():
        asked = service.get("depends_on", {})
        for other, how in asked.items() if isinstance(asked, dict) else ():
            assert other in SERVICES, name
            if how["condition"] == "service_healthy":
                target = SERVICES[other].get("build", {}).get("target", "")
                inherited = target and STAGES[target].all("HEALTHCHECK")
                assert "healthcheck" in SERVICES[other] or inherited, (name, other)
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no"


@pytest.mark.parametrize("name", THEIRS)
def test_others_images_are_pinned(name: str) -> None:
    """By version and digest."""
    assert re.search(r":v?\d+\.\d[\w.-]*@sha256:[0-9a-f]{64}$", SERVICES[name]["image"])


def test_what_is_mounted_is_there() -> None:
    """Named volumes, networks and secrets are declared and used; folders are in the repository."""
    used = {source for name in SERVICES for source, _ in mounts(name).values() if source}
    folders = {source for source in used if source.startswith(".")}
    assert used - folders == set(COMPOSE["volumes"])
    assert [folder for folder in sorted(folders) if not (ROOT / folder).is_dir()] == []
    secrets = {secret for one in SERVICES.values() for secret in one.get("secrets", [])}
    assert secrets == set(COMPOSE["secrets"])
    joined = {name for one in SERVICES.values() for name in one.get("networks", [])}
    assert joined <= set(COMPOSE["networks"])


def test_prometheus_and_grafana_find_what_they_name() -> None:
    """Targets are services at ports that are served; files lie where something is mounted."""
    config = yaml.safe_load((ROOT / "compose" / "prometheus" / "prometheus.yml").read_text())
    served = {("api", 8042), ("worker", 9090), ("dimse", 9090), ("triton", 8002)}
    targets = set()
    for job in config["scrape_configs"]:
        for group in job["static_configs"]:
            for name, _, port in (text.partition(":") for text in group["targets"]):
                targets.add((name, int(port)))
        credentials = job.get("authorization", {}).get("credentials_file")
        assert credentials in (None, *(f"/run/secrets/{name}" for name in COMPOSE["secrets"]))
        assert bool(credentials) == (job["job_name"] == "api")
    assert targets == served
    mounted = mounts("prometheus")
    for pattern in config["rule_files"]:
        source, _ = mounted[str(Path(pattern).parent)]
        assert list((ROOT / source).glob(Path(pattern).name))
    storage = SERVICES["prometheus"]["command"][1].partition("=")[2]
    assert mounted[storage] == ("prometheus", True)
    provisioning = ROOT / "compose" / "grafana" / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    [folder] = yaml.safe_load((provisioning / "dashboards" / "onescan.yaml").read_text())[
        "providers"
    ]
    assert list((ROOT / mounts("grafana")[folder["options"]["path"]][0]).glob("*.json"))


def test_published_ports_are_loopback_unless_asked() -> None:
    """Nothing is open to the network by default, and no two services want the same port."""
    outside = []
    for service in SERVICES.values():
        for text in service.get("ports", []):
            address, port, _ = re.fullmatch(r"(.+):(\d+):(\d+)", text).groups()  # type: ignore[union-attr]
            assert address in ("127.0.0.1", "${BIND_ADDRESS:-127.0.0.1}")
            outside.append(port)
    assert len(outside) == len(set(outside))
    assert "ports" not in SERVICES["postgres"]
    assert COMPOSE["networks"]["metrics"]["internal"] is True
    for name in ("triton-gpu", "triton-cpu"):
        assert set(SERVICES[name]["networks"]) == {"metrics"}


def test_no_secret_works_by_accident() -> None:
    """A secret has no default and is refused when empty; .env.example names each, without value."""
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(example.values()) == {""}
    variables = {(name, how) for name, how, _ in VARIABLE.findall(text)}
    secrets = {one["environment"] for one in COMPOSE["secrets"].values()}
    assert {name for name, _ in variables} | secrets == set(example)
    for name, how in variables:
        assert how == (":-" if name == "BIND_ADDRESS" else ":?"), name
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|(^|_)KEY", key):
                assert VARIABLE.fullmatch(value), (name, key)
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "onescan.env"} <= set(ignored)
