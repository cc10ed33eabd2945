"""Disks that are full or read-only while cases are prepared: one sentence that names them, and no half case."""

import errno
import os
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import nibabel as nib
import pytest
from scans import write_msd_task

from aunet.commands.main import main
from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.phantom.cohort import phantom_cases
from aunet.data.store import case_store
from aunet.data.store.case_store import CaseStore
from aunet.errors import NoRoomError, describe_surroundings

Mount = Callable[[str], Path]
SETTINGS = Preprocessing(spacing=None, modality="mr", window=(-160.0, 240.0))
COARSE = (16.0, 16.0, 16.0)


@pytest.fixture
def mounted(tmp_path: Path) -> Generator[Mount]:
    """Mounts a disk in memory with the given options; the test is skipped without the rights of root."""
    folders: list[Path] = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"disk_{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting a disk needs the rights of root")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return write_msd_task(tmp_path / "task", num_cases=3, shape=(40, 40, 40))


def prepare(task: Path, root: Path) -> list[str]:
    cohort = msd_cohort(str(task))
    digests = ContentDigests(root / "digests.json")
    stored = CaseStore(root / "cases", cohort, SETTINGS, digests).prepare(cohort.cases)
    return [case.case_id for case in stored]


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_store_that_fills_up_is_one_sentence_and_continues_when_there_is_room(
    number: int, task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = case_store.write_stored_case

    def write(folder: Path, case_id: str, *parts: object) -> None:
        plain(folder, case_id, *parts)  # pyright: ignore[reportArgumentType]
        if case_id == "ball_001":
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(case_store, "write_stored_case", write)
    with pytest.raises(NoRoomError, match=r"ball_001.*the disk is full\. Free some"):
        prepare(task, tmp_path)
    assert not list(tmp_path.rglob("*ball_001*/*.chunks"))
    monkeypatch.undo()
    assert prepare(task, tmp_path) == ["ball_000", "ball_001", "ball_002"]


def test_a_store_on_a_small_disk_is_one_sentence(task: Path, mounted: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = mounted("size=128k")
    monkeypatch.setattr(case_store, "check_room", lambda *arguments: None)  # which would foresee it
    with pytest.raises(NoRoomError, match=f"{disk}.*the disk is full"):
        prepare(task, disk)
    assert not list(disk.rglob(".????????-*/*.chunks"))
    remount(disk, "size=8m")
    assert len(prepare(task, disk)) == 3


def test_a_store_on_a_read_only_disk_serves_and_names_the_disk_for_what_it_lacks(task: Path, mounted: Mount) -> None:
    disk = mounted("size=8m")
    cohort = msd_cohort(str(task))
    CaseStore(disk / "cases", cohort, SETTINGS, ContentDigests()).prepare(cohort.cases[:2])
    remount(disk, "ro")
    store = CaseStore(disk / "cases", cohort, SETTINGS, ContentDigests(disk / "digests.json"))
    assert [case.case_id for case in store.prepare(cohort.cases[:2])] == ["ball_000", "ball_001"]
    with pytest.raises(OSError, match=r"Read-only") as raised:
        store.prepare(cohort.cases)
    sentence = describe_surroundings(raised.value)
    assert sentence is not None
    assert str(disk) in sentence


@pytest.mark.parametrize("options", ["size=128k", "size=4m,ro"])
def test_prepare_on_a_disk_that_takes_nothing_is_status_2(
    options: str, task: Path, mounted: Mount, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = mounted(options)
    words = ["data=msd", f"data.root={task}", f"data.cache={disk}", "data.patch_size=[16,16,16]"]
    assert main(["prepare", *words]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert str(disk) in message


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_phantoms_on_a_small_disk_are_one_sentence_and_no_half_file(processes: int, mounted: Mount) -> None:
    disk = mounted("size=48k")
    with pytest.raises(OSError, match="No space left") as raised:
        phantom_cases(disk, 8, COARSE, seed=0, processes=processes)
    assert str(describe_surroundings(raised.value)).startswith(f"{disk}/")
    remount(disk, "size=8m")
    for case in phantom_cases(disk, 8, COARSE, seed=0, processes=1):
        for file in case.files:
            nib.load(file).get_fdata()
    assert not list(disk.rglob(".????????-*.nii.gz"))


def test_phantoms_on_a_read_only_disk_are_one_sentence(mounted: Mount) -> None:
    disk = mounted("size=1m,ro")
    with pytest.raises(OSError, match="Read-only") as raised:
        phantom_cases(disk / "phantoms", 1, COARSE, seed=0, processes=1)
    assert str(describe_surroundings(raised.value)).startswith(f"{disk}")


def test_digests_that_cannot_be_kept_cost_one_warning(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: Path, text: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("aunet.data.cohort.content_digest.write_text", fail)
    case: Case = msd_cohort(str(task)).cases[0]
    for file in case.files:
        os.utime(file, (1e9, 1e9))
    assert ContentDigests(tmp_path / "digests.json").of_cases([case]) == ContentDigests().of_cases([case])
    assert caplog.text.count("digests.json cannot be written (No space left on device)") == 1
