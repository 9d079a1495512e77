"""A folder of objects serves one node."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.exceptions import FolderOfAnotherNodeError
from gateway.settings import Settings, StoreSettings
from gateway.store import node
from gateway.store.node import MARK, claim_folder, node_name
from gateway.store.open_objects import open_objects


def test_processes_of_one_node_share_a_folder(tmp_path: Path) -> None:
    """The api and the workers beside it; the mark is written once and nothing else left."""
    claim_folder(tmp_path / "objects")
    claim_folder(tmp_path / "objects")
    assert [path.name for path in (tmp_path / "objects").iterdir()] == [MARK]


def test_another_node_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """It names the folder, both nodes, and what to do when the disk has moved."""
    claim_folder(tmp_path, "node-a")
    with pytest.raises(FolderOfAnotherNodeError) as told:
        claim_folder(tmp_path, "node-b")
    for word in (str(tmp_path), "node-a", "node-b", str(tmp_path / MARK)):
        assert word in str(told.value)
    assert "\n" not in str(told.value)
    (tmp_path / MARK).unlink()  # the disk has moved
    claim_folder(tmp_path, "node-b")


def test_a_process_does_not_start_on_the_folder_of_another_node(tmp_path: Path) -> None:
    """Api and worker open their objects through one function."""
    settings = Settings(home=tmp_path, store=StoreSettings(node="node-a"))
    open_objects(settings)
    with pytest.raises(FolderOfAnotherNodeError):
        open_objects(Settings(home=tmp_path))


def test_a_node_is_known_by_its_machine_id_else_by_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id itself is confidential, so a digest stands for it."""
    machine = tmp_path / "machine-id"
    monkeypatch.setattr(node, "MACHINE_ID", machine)
    by_host = node_name()
    machine.write_text("")
    assert node_name() == by_host
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    assert node_name() not in (by_host, "0123456789abcdef0123456789abcdef")
    assert node_name("named") == "named"
