"""What `lrbench doctor` finds wrong with a machine."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lrbench.errors import UsageError
from lrbench.training import check_machine, doctor, in_bytes

Cli = Callable[..., tuple[int, str, str]]
Disk = namedtuple("Disk", "total used free")


@pytest.fixture(autouse=True)
def no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", ())


def texts(**more: object) -> str:
    return "\n".join(problem.text for problem in check_machine(quick=True, **more).problems)  # type: ignore[arg-type]


def test_json_has_every_section_and_nothing_is_left_behind(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("doctor", "--quick", "--json")
    told = json.loads(out)
    assert code == 0 and told["works"] is True
    assert [*told] == ["works", "versions", "extras", "devices", "cpu", "runs", "data", "problems"]
    assert told["runs"] | {"free": 0, "file_system": ""} == {
        "folder": "runs", "exists": False, "writable": True, "locks": True, "free": 0, "file_system": "",
    }  # fmt: skip
    assert not [*tmp_path.iterdir()]


def test_the_speed_is_of_a_step_and_of_a_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BATCH", 4)
    monkeypatch.setattr(doctor, "REPEATS", 1)
    speed = check_machine().facts["speed"]
    assert {*speed} == {"cnn_step_ms", "images_per_second", "gemm_gflops"}
    assert all(value > 0 for value in speed.values())


def test_a_folder_without_links_stops(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    code, out, _ = cli("doctor", "--quick")
    assert code == 1
    assert "Will not work:" in out and "does not support hard links" in out
    assert out.splitlines()[-1].endswith("training will not work here.")


def test_little_space_and_a_network_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(64 * 2**20, 0, 10**8))
    monkeypatch.setattr(doctor, "_file_system", lambda folder: "nfs4")
    said = texts()
    for fragment in ("has 100 MB of free space", "network file system (nfs4)", "/dev/shm has 67.1 MB"):
        assert fragment in said


def test_the_file_system_is_that_of_the_nearest_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Mount = namedtuple("Mount", "mountpoint fstype")
    mounts = [Mount("/", "ext4"), Mount(str(tmp_path), "nfs"), Mount(f"{tmp_path}/other", "xfs")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all: mounts)
    assert doctor._file_system(tmp_path / "runs") == "nfs"


@pytest.mark.parametrize(("text", "cores"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("torn", None)])
def test_the_quota_of_a_container(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert doctor._quota(tmp_path) == cores


def test_a_quota_and_too_many_threads_are_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_quota", lambda: 0.5)
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    said = texts()
    assert "may use 0.5 of" in said and "--jobs 1 at most" in said and "OMP_NUM_THREADS is 4096" in said


def test_an_extra_that_can_t_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError("its own reason")

    found = doctor.Checkup()
    monkeypatch.setattr(importlib, "import_module", broken)
    assert doctor._extra("yaml", False, found) == "can't be imported"
    assert [one.text for one in found.problems] == [
        "yaml is installed but can't be imported: ImportError: its own reason"
    ]
    assert doctor._extra("no_such_package_anywhere", False, found) is None
    assert found.works


def test_a_data_folder_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path))
    assert "LRBENCH_DATA" not in texts()
    monkeypatch.setenv("LRBENCH_DATA", str(tmp_path / "gone"))
    assert f"LRBENCH_DATA names {tmp_path / 'gone'}, which is not a folder" in texts()


def test_a_file_is_no_folder_of_runs(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_machine(tmp_path / "runs", quick=True)


def test_sizes_in_words() -> None:
    assert [in_bytes(n) for n in (0, 999, 1500, 67108864, 25e9, 2e13)] == [
        "0 B", "999 B", "1.5 kB", "67.1 MB", "25 GB", "20 TB",
    ]  # fmt: skip
