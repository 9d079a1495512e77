"""A model repository in a bucket becomes one in a folder, whole, or says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.exceptions import StoreUnavailableError, UsageError
from gateway.settings import StoreSettings
from gateway.store.model_copy import PART, copy_models
from gateway.store.s3_client import connect
from tests.s3_server import S3Server

MODEL = {
    "echo/config.pbtxt": b'name: "echo"\nbackend: "python"\n',
    "echo/1/model.py": b"class TritonPythonModel: ...\n" * 10_000,
    "README.md": b"",
}
"""Key → bytes; one file of more than one chunk, and an empty one."""


@pytest.fixture
def store(s3: S3Server) -> StoreSettings:
    return StoreSettings(s3_endpoint=s3.endpoint, s3_region=s3.region)


@pytest.fixture
def environ(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESCAN_STORE__S3_ENDPOINT", s3.endpoint)
    monkeypatch.setenv("ONESCAN_STORE__S3_REGION", s3.region)


def put(s3: S3Server, files: dict[str, bytes]) -> None:
    client = connect(StoreSettings(objects=s3.url, s3_endpoint=s3.endpoint, s3_region=s3.region))
    for name, data in files.items():
        client.put(name, data)


def read(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_repository_is_copied(s3: S3Server, store: StoreSettings, tmp_path: Path) -> None:
    """Byte by byte, what lies below the prefix and nothing else; a second time changes nothing."""
    put(s3, {f"models/{name}": data for name, data in MODEL.items()} | {"other/x": b"x"})
    target = tmp_path / "models"
    for _ in range(2):
        assert copy_models(store, f"{s3.url}/models", target) == len(MODEL)
        assert read(target) == MODEL


def test_an_object_that_stands_for_a_folder_is_no_file(
    s3: S3Server, store: StoreSettings, tmp_path: Path
) -> None:
    """Consoles make empty objects of the names of folders."""
    put(s3, MODEL)
    with_folder = MODEL | {"echo": b""}
    put(s3, {"echo": b""})
    assert copy_models(store, s3.url, tmp_path) == len(with_folder) - 1
    assert read(tmp_path) == MODEL


def test_what_is_half_there_is_made_whole(
    s3: S3Server, store: StoreSettings, tmp_path: Path
) -> None:
    """A pod that was killed while copying begins again, over what it left."""
    put(s3, MODEL)
    (tmp_path / "echo").mkdir()
    (tmp_path / "echo" / "config.pbtxt").write_bytes(b"name: ")
    (tmp_path / "echo" / f"config.pbtxt{PART}").write_bytes(b"na")
    copy_models(store, s3.url, tmp_path)
    assert read(tmp_path) == MODEL


def test_an_empty_bucket_is_refused(s3: S3Server, store: StoreSettings, tmp_path: Path) -> None:
    """Triton would start over nothing and be ready."""
    with pytest.raises(UsageError, match=r"holds no model\.$"):
        copy_models(store, f"{s3.url}/models", tmp_path)


def test_a_bucket_that_cannot_be_read_is_told(
    s3: S3Server, store: StoreSettings, tmp_path: Path
) -> None:
    """As with objects, by one error, and nothing is left behind."""
    with pytest.raises(StoreUnavailableError):
        copy_models(store, "s3://elsewhere", tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_the_command_copies_and_verifies(
    s3: S3Server, environ: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It exits with 1 when what it copied is no repository."""
    put(s3, MODEL)
    arguments = ["models", "fetch", "--json", "--from", s3.url, "--to", str(tmp_path)]
    assert main(arguments) == 0
    out = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in out["models"]] == ["echo"]
    assert not out["problems"]
    put(s3, {"echo/config.pbtxt": b'name: "other"\nbackend: "python"\n'})
    assert main(arguments) == 1
    assert "echo" in json.loads(capsys.readouterr().out)["problems"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--to", "x"], "needs --from s3://bucket/prefix and --to FOLDER"),
        (["--from", "s3://b"], "needs --from s3://bucket/prefix and --to FOLDER"),
        (["--from", "/models", "--to", "x"], "'/models' is not s3://bucket or s3://bucket/prefix"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With one sentence, before anything is asked."""
    assert main(["models", "fetch", *arguments]) == 2
    assert sentence in capsys.readouterr().err
