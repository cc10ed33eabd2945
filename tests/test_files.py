"""Files appear whole or not at all, an error names its file, and killed processes leave nothing for ever."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from aunet.errors import UserError, describe_surroundings
from aunet.files import (
    check_writable,
    folder_created_atomically,
    folder_replaced_atomically,
    remove_remainders,
    replaced_atomically,
    write_text,
)

Writer = Callable[[Path], AbstractContextManager[Path]]
WRITERS: list[Writer] = [replaced_atomically, folder_created_atomically, folder_replaced_atomically]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_an_error_of_the_disk_names_the_file_and_leaves_what_was_there(
    writer: Writer, number: int, tmp_path: Path
) -> None:
    """The system names no file in an error of writing to one that is open."""
    path = tmp_path / "wanted"
    with pytest.raises(OSError) as raised, writer(path):
        raise OSError(number, "as write(2) reports it")
    assert str(describe_surroundings(raised.value)).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", WRITERS)
def test_the_name_in_an_error_is_kept(writer: Writer, tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, writer(tmp_path / "wanted"):
        raise OSError(errno.EACCES, "denied", "/another/file")
    assert raised.value.filename == "/another/file"


def test_a_full_device_is_named_by_the_file_that_was_wanted(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised, replaced_atomically(tmp_path / "scan.nii"):  # noqa: SIM117
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"voxels")
    assert raised.value.filename == str(tmp_path / "scan.nii")


@pytest.mark.parametrize("name", ["case.nii.gz", "case [1].nii.gz", "a*b?.csv"])
def test_remainders_of_killed_writers_of_one_file_are_deleted(name: str, tmp_path: Path) -> None:
    path, other = tmp_path / name, tmp_path / "other.nii.gz"
    for file in (path, other):
        write_text(file, "whole")
        write_text(tmp_path / f".0123abcd-{file.name}", "half")
    remove_remainders(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([name, other.name, f".0123abcd-{other.name}"])


def test_a_file_system_that_takes_no_files_is_not_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new", "data.cache")
    assert not list(tmp_path.iterdir())
    if Path("/proc/self").exists():
        with pytest.raises(UserError, match=r"data\.cache: /proc is not writable"):
            check_writable(Path("/proc/new"), "data.cache")
