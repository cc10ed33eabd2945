"""A file is read for its digest once, and again when it changes."""

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from aunet.data.cohort.case import Case
from aunet.data.cohort.content_digest import ContentDigests, dataset_fingerprint
from aunet.errors import UserError

LONG_AGO_NS = 10**18


def write(path: Path, content: bytes, written_ns: int = LONG_AGO_NS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(written_ns, written_ns))
    return path


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case("a", (write(tmp_path / "image.nii", b"image"),), write(tmp_path / "label.nii", b"label"))


@pytest.fixture
def read_files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read for a digest."""
    names: list[str] = []
    plain = hashlib.file_digest

    def digest(file: Any, name: str) -> Any:
        names.append(Path(file.name).name)
        return plain(file, name)

    monkeypatch.setattr(hashlib, "file_digest", digest)
    return names


def test_the_digest_is_that_of_the_files_digests(case: Case) -> None:
    parts = hashlib.sha256(b"image").digest() + hashlib.sha256(b"label").digest()
    assert ContentDigests().of_cases([case]) == [hashlib.sha256(parts).hexdigest()]


def test_a_later_run_reads_nothing_again(case: Case, tmp_path: Path, read_files: list[str]) -> None:
    memory = tmp_path / "cache" / "digests.json"
    first = ContentDigests(memory).of_cases([case])
    assert sorted(read_files) == ["image.nii", "label.nii"]
    assert ContentDigests(memory).of_cases([case]) == first
    assert len(read_files) == 2


@pytest.mark.parametrize(
    ("content", "written_ns"), [(b"imago", LONG_AGO_NS + 1), (b"image!", LONG_AGO_NS), (b"image", LONG_AGO_NS + 1)]
)
def test_a_file_of_another_size_or_time_is_read_again(
    case: Case, tmp_path: Path, read_files: list[str], content: bytes, written_ns: int
) -> None:
    memory = tmp_path / "digests.json"
    before = ContentDigests(memory).of_cases([case])
    read_files.clear()
    write(case.images[0], content, written_ns)
    assert (ContentDigests(memory).of_cases([case]) == before) is (content == b"image")
    assert read_files == ["image.nii"]


def test_another_file_in_its_place_is_read_even_with_the_same_size_and_time(
    case: Case, tmp_path: Path, read_files: list[str]
) -> None:
    memory = tmp_path / "digests.json"
    before = ContentDigests(memory).of_cases([case])
    write(tmp_path / "new", b"imago").replace(case.images[0])
    assert ContentDigests(memory).of_cases([case]) != before


def test_a_file_written_a_moment_ago_is_not_remembered(case: Case, tmp_path: Path, read_files: list[str]) -> None:
    case.images[0].touch()
    memory = tmp_path / "digests.json"
    ContentDigests(memory).of_cases([case])
    read_files.clear()
    ContentDigests(memory).of_cases([case])
    assert read_files == ["image.nii"]


@pytest.mark.parametrize(("days_ahead", "is_read_again"), [(0.01, True), (0.9, True), (1.1, False), (4000, False)])
def test_a_file_from_before_a_clock_was_set_back_is_remembered_unless_it_may_be_new(
    case: Case, tmp_path: Path, read_files: list[str], days_ahead: float, is_read_again: bool
) -> None:
    """Time zones and the clocks of file servers differ by less than a day."""
    ahead = time.time() + days_ahead * 86400
    os.utime(case.images[0], (ahead, ahead))
    memory = tmp_path / "digests.json"
    before = ContentDigests(memory).of_cases([case])
    read_files.clear()
    assert ContentDigests(memory).of_cases([case]) == before
    assert read_files == (["image.nii"] if is_read_again else [])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1, "files": {"x": [1, 2, 3, "zz"]}}'])
def test_a_damaged_memory_is_reported_and_made_again(
    case: Case, tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = tmp_path / "digests.json"
    memory.write_text(content)
    assert ContentDigests(memory).of_cases([case]) == ContentDigests().of_cases([case])
    assert "digests.json is damaged" in caplog.text
    caplog.clear()
    ContentDigests(memory)
    assert not caplog.text


def test_two_processes_lose_nothing_of_each_others_memory(case: Case, tmp_path: Path, read_files: list[str]) -> None:
    other = Case("b", (write(tmp_path / "other.nii", b"other"),), None)
    memory = tmp_path / "digests.json"
    both = [ContentDigests(memory), ContentDigests(memory)]
    for digests, seen in zip(both, (case, other), strict=True):
        digests.of_cases([seen])
    read_files.clear()
    ContentDigests(memory).of_cases([case, other])
    assert not read_files


def test_a_folder_of_slices_has_a_digest_of_its_names_and_contents(tmp_path: Path) -> None:
    series = Case("series", (tmp_path / "series",), None)
    digests: list[str] = []
    for name, content in (("1.dcm", b"one"), ("below/2.dcm", b"two"), ("below/2.dcm", b"too")):
        write(tmp_path / "series" / name, content, LONG_AGO_NS + len(digests))
        digests += ContentDigests().of_cases([series])
    assert len(set(digests)) == 3


def test_two_series_of_one_folder_have_digests_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "study" / "1.dcm", b"one")
    first, second = (Case(name, (tmp_path / f"study#{name}",), None) for name in ("1", "2"))
    assert len(set(ContentDigests().of_cases([first, second]))) == 2


def test_a_file_that_is_gone_is_reported_with_its_case(case: Case) -> None:
    case.images[0].unlink()
    with pytest.raises(UserError, match=r"image\.nii: the file of case a cannot be read"):
        ContentDigests().of_cases([case])


def test_the_fingerprint_follows_the_content_and_not_the_order(case: Case, tmp_path: Path) -> None:
    other = Case("b", (write(tmp_path / "other.nii", b"other"),), None)
    digests = ContentDigests()
    whole = dataset_fingerprint([case, other], digests)
    assert dataset_fingerprint([other, case], digests) == whole
    assert dataset_fingerprint([case], digests) != whole
