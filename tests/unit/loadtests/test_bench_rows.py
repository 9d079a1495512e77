"""The arithmetic of the benchmarks: what is added up, what is a median, what counts as met."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from gateway.runtime import triton as embedded_triton
from gateway.runtime.backends.onnxruntime import engine
from gateway.screening.manifest_reader import load_manifests
from gateway.triton.repository import verify
from loadtests import bench_inference
from loadtests.bench_growth import COPY, with_copies
from loadtests.bench_profile import spent, stub_model
from loadtests.bench_studies import nearest, resliced
from loadtests.bench_study import GOAL_NOTHING_RUNS_SECONDS, Turn, medians, nothing_runs
from loadtests.network_clock import Ran, by_network, covered_seconds, network_clock
from loadtests.planned import REPOSITORY
from loadtests.server_costs import count_bytes
from tests.small_ct import write_small_ct
from tests.tiny_nets import PANCREAS, write_net


def test_time_that_networks_share_counts_once() -> None:
    """0 to 2 and 1 to 3 and 5 to 6 cover 4 s; one inside another adds nothing."""
    ran = [Ran(1, 3, "b"), Ran(0, 2, "a"), Ran(5, 6, "a"), Ran(1.5, 1.8, "c")]
    assert covered_seconds(ran) == pytest.approx(4)
    assert covered_seconds([]) == 0
    assert by_network(ran) == {
        "a": {"runs": 2, "seconds": 3},
        "b": {"runs": 1, "seconds": 2},
        "c": {"runs": 1, "seconds": 0.3},
    }


def test_a_network_that_runs_in_the_copied_backend_is_noted(tmp_path: Path) -> None:
    """The shipped engine with a clock answers the same, and its runs stand in the file."""
    path = tmp_path / "pancreas_net" / "1" / "model.onnx"
    write_net(PANCREAS, path)
    inputs = engine.probe_inputs(engine.describe(path)[0])
    shipped = embedded_triton.OUR_BACKENDS
    with network_clock() as clock:
        with_clock = load_module(embedded_triton.OUR_BACKENDS / "onnxruntime" / "engine.py")
        run = with_clock.load(path, openvino=False).run
        assert clock.read() == []
        answer = run(inputs)
        [ran] = clock.read()
        assert clock.read(begin=ran.end) == []
        assert clock.read(end=ran.begin) == []
    assert ran.network == "pancreas_net"
    assert ran.end > ran.begin
    expected = engine.load(path, openvino=False).run(inputs)
    assert all(np.array_equal(answer[name], expected[name]) for name in expected)
    assert shipped == embedded_triton.OUR_BACKENDS


def load_module(path: Path) -> Any:
    """Import a file under a name of its own, which its dataclasses look up."""
    spec = importlib.util.spec_from_file_location("engine_with_clock", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, spec.name, module)
        patch.syspath_prepend(path.parent)
        patch.delitem(sys.modules, "rows", raising=False)
        spec.loader.exec_module(module)
    return module


def turn(seconds: float, *ran: Ran) -> Turn:
    """One screening with two stages."""
    answer = {
        "checks": [{"check": "liver", "state": "negative"}],
        "timings": {"decode": {"wall_seconds": seconds / 10, "cpu_seconds": 0.1}},
    }
    return Turn(seconds, answer, ran, {"worker": seconds / 2})


def test_time_without_networks_is_the_rest_of_the_study() -> None:
    """10 s with 9 s of a network leave 1 s, within 1.5 s; the split is by stage and by part."""
    result = nothing_runs([turn(10, Ran(0, 9, "a")), turn(10, Ran(0, 9, "a")), turn(20)])
    assert result["ours"] == pytest.approx(1)
    assert result["ratio"] == pytest.approx(GOAL_NOTHING_RUNS_SECONDS)
    assert result["whole"] == 10
    assert result["stages"]["decode"]["wall_seconds"] == 1
    assert result["core_seconds"] == {"worker": 5}


def test_medians_are_taken_leaf_by_leaf() -> None:
    """Of equally shaped timings."""
    shaped = [{"a": {"b": n}, "name": "x"} for n in (1.0, 9.0, 2.0)]
    assert medians(shaped) == {"a": {"b": 2.0}, "name": "x"}


def test_networks_are_summed_and_gated_by_parity(monkeypatch: pytest.MonkeyPatch) -> None:
    """1 + 1 s against 3 + 1 s is 2×; without parity the goal is missed all the same."""
    monkeypatch.setattr(bench_inference, "has_amx", lambda: False)
    good = {"ours": 1.0, "peer": 3.0, "parity_holds": True}
    other = {"ours": 1.0, "peer": 1.0, "parity_holds": True}
    told = bench_inference.summed({"a": good, "b": other})
    assert (told["ratio"], told["goal"], told["met"]) == (2.0, 1.8, True)
    wrong = bench_inference.summed({"a": good, "b": {**other, "parity_holds": False}})
    assert not wrong["met"]
    monkeypatch.setattr(bench_inference, "has_amx", lambda: True)
    assert not bench_inference.summed({"a": good, "b": other})["met"]


STRACE = """\
100 pread64(33</srv/os/objects/a.seg>, ""..., 528000, 0) = 528000
100 pwritev(34</dev/shm/onescan-vol-1>, [{iov_base=""..., iov_len=99}], 1, 0) = 524288
101 recvmsg(9<socket:[4711]>,  <unfinished ...>
100 sendto(12<socket:[4712]>, ""..., 210, MSG_NOSIGNAL, NULL, 0) = 210
101 <... recvmsg resumed>{msg_name=NULL, msg_iov=[{iov_base=""..., iov_len=8192}]}, 0) = 90
100 read(9<socket:[4711]>, 0x7f, 10) = -1 EAGAIN (Resource temporarily unavailable)
100 write(5<anon_inode:[eventfd]>, ""..., 8) = 8
101 <... futex resumed>) = 0
"""


def test_bytes_are_counted_by_what_they_are_copied_from_and_to() -> None:
    """A call that was interrupted in the file counts once; an error and an eventfd do not."""
    assert count_bytes(iter(STRACE.splitlines())) == {
        "read files": 528000,
        "written shared memory": 524288,
        "read sockets": 90,
        "written sockets": 210,
    }


def test_a_study_grows_over_the_same_stretch_of_the_patient(tmp_path: Path) -> None:
    """6 slices of 3 mm become 12 of 1.5 mm, each with its own UID and the nearest pixels."""
    assert list(nearest(4, 2)) == [1, 3]
    assert list(nearest(2, 4)) == [0, 0, 1, 1]
    source = tmp_path / "source"
    write_small_ct(source, slices=6)
    files = sorted(resliced(source, tmp_path / "target", 12).iterdir())
    made = [pydicom.dcmread(file) for file in files]
    assert [float(ds.ImagePositionPatient[2]) for ds in made] == [1.5 * n for n in range(12)]
    assert len({ds.SOPInstanceUID for ds in made}) == 12
    assert len({ds.StudyInstanceUID for ds in made}) == 1
    assert {float(ds.SliceThickness) for ds in made} == {1.5}
    originals = [pydicom.dcmread(file).PixelData for file in sorted(source.iterdir())]
    assert [ds.PixelData for ds in made] == [originals[n // 2] for n in range(12)]


def test_checks_are_copied_under_other_names(tmp_path: Path) -> None:
    """Eight checks become sixteen whose manifests and ensembles are read as installed ones are."""
    repository, names = with_copies(REPOSITORY, tmp_path / "models")
    manifests = load_manifests(repository)
    assert len(names) == 2 * len([name for name in names if not name.endswith(COPY)])
    for name in names:
        assert manifests[name].ensemble == name
        assert manifests[name].can_run == manifests[name.removesuffix(COPY)].can_run
    assert verify(repository) == {}


def test_triton_s_time_is_told_a_study() -> None:
    """What two statistics differ by, divided by the studies between them; idle models are left."""

    def statistics(count: int, seconds: float) -> dict[str, Any]:
        spent = {"compute_infer": {"ns": str(round(seconds * 1e9))}}
        return {"name": "liver_net", "inference_count": str(count), "inference_stats": spent}

    before = {"model_stats": [statistics(2, 1.0), {"name": "bone_net"}]}
    after = {"model_stats": [statistics(6, 2.0), {"name": "bone_net"}, {"name": "aorta_net"}]}
    told = spent(before, after, studies=4)
    assert list(told) == ["liver_net"]
    assert told["liver_net"]["requests"] == 1.0
    assert told["liver_net"]["compute_infer_seconds"] == 0.25
    assert told["liver_net"]["queue_seconds"] == 0


def test_a_stub_is_known_by_its_model() -> None:
    """The Python backend's own and those of networks alike; other processes are no stubs."""
    stub = "/tmp/h/triton/backends/python/triton_python_backend_stub"
    assert stub_model([stub, "/models/ct_detect/1/model.py", "region"]) == "ct_detect"
    assert stub_model([stub, "/models/bone_net/1/model.onnx", "region"]) == "bone_net"
    assert stub_model(["/usr/bin/python3", "/models/x/1/model.py"]) == ""
    assert stub_model([]) == ""
