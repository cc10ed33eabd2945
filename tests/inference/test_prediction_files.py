"""Which scans a command line names, and reading them one ahead."""

import re
import shlex
import threading
from pathlib import Path

import numpy as np
import pytest
from dicom_scans import write_series

from aunet.config.overrides import parse_values
from aunet.config.words import names_dataset
from aunet.data.cohort.case import Case
from aunet.data.io.dicom_slices import DicomFile, read_dicom_file
from aunet.data.io.volume import Volume
from aunet.errors import UserError
from aunet.inference.output_format import OutputFormat
from aunet.inference.prediction_files import ScanFile, read_ahead, scan_files, scan_files_of_cases


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_files_and_folders_become_label_maps_of_their_names_in_order(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "b.nii.gz", "a.nii", "._a.nii", "notes.txt")
    single = touch(tmp_path / "one", "c.v2.nii.gz") / "c.v2.nii.gz"
    files = scan_files([single, folder, folder / "a.nii"], tmp_path / "out")
    assert [file.scan.name for file in files] == ["c.v2.nii.gz", "a.nii", "b.nii.gz"]
    assert [file.label_map for file in files] == [tmp_path / "out" / f"{name}.nii.gz" for name in ("c.v2", "a", "b")]


def test_a_scan_that_is_given_by_several_paths_counts_once_and_a_link_of_another_name_is_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = touch(tmp_path / "scans", "Größe 1.nii.gz", "b.nii.gz") / "Größe 1.nii.gz"
    (tmp_path / "linked").symlink_to(tmp_path / "scans")
    (tmp_path / "scans" / "c.nii.gz").symlink_to(scan)
    monkeypatch.chdir(tmp_path / "scans")
    relative = Path("Größe 1.nii.gz")
    files = scan_files([relative, scan, tmp_path / "linked" / scan.name, tmp_path / "scans"], tmp_path / "out")
    assert [file.scan for file in files] == [relative, tmp_path / "scans" / "b.nii.gz", tmp_path / "scans" / "c.nii.gz"]


def write_slices(folder: Path) -> Path:
    return write_series(folder, np.zeros((3, 3, 2), np.int16), np.eye(4))


def test_a_folder_of_dicom_is_a_scan_named_as_the_folder(tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "Scan 1.5")
    assert scan_files([folder], tmp_path / "out") == [ScanFile(folder, tmp_path / "out" / "Scan 1.5.nii.gz")]


def test_a_folder_asked_for_from_inside_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_slices(tmp_path / "inside"))
    [file] = scan_files([Path()], tmp_path / "out")
    assert file.label_map.name == "inside.nii.gz"


def test_each_of_several_folders_with_dicom_below_is_a_scan(tmp_path: Path) -> None:
    root = tmp_path / "patients"
    for patient in ("P2", "P1"):
        write_slices(root / patient / "study" / "series")
    touch(root / "notes", "readme.txt")
    assert [file.scan for file in scan_files([root], tmp_path / "out")] == [root / "P1", root / "P2"]
    assert [file.scan for file in scan_files([root / "P1"], tmp_path / "out")] == [root / "P1"]


def test_a_chosen_series_names_its_label_map(tmp_path: Path) -> None:
    write_slices(tmp_path / "study")
    [file] = scan_files([tmp_path / "study#2"], tmp_path / "out")
    assert file == ScanFile(tmp_path / "study#2", tmp_path / "out" / "study_2.nii.gz")


def test_an_input_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such file or folder"):
        scan_files([tmp_path / "nowhere"], tmp_path / "out")


def test_all_inputs_that_are_not_there_are_named_a_line_each(tmp_path: Path) -> None:
    with pytest.raises(UserError) as told:
        scan_files([tmp_path / "a.nii", tmp_path / "b.nii.gz"], tmp_path / "out")
    first, second = str(told.value).splitlines()
    assert first.startswith(f"{tmp_path / 'a.nii'}: no such file or folder; give ")
    assert second.startswith(f"{tmp_path / 'b.nii.gz'}: no such file or folder; give ")


def test_a_folder_without_scans_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"empty: the folder holds no file of a known format \(.*\)\. Give the folder"):
        scan_files([touch(tmp_path / "empty", "readme.txt")], tmp_path / "out")


def test_a_folder_of_folders_is_refused_with_where_the_scans_are_and_how_to_list_them(tmp_path: Path) -> None:
    study = tmp_path / "a study"
    for subject in ("sub-01", "sub-02"):
        touch(study / subject / "anat", f"{subject}_T1w.nii", f"{subject}_T1w.json")
    with pytest.raises(UserError, match=r"some in sub-01/anat, sub-02/anat\. Those .* listed: ") as told:
        scan_files([study], tmp_path / "out")
    found = re.search(r"listed: (find .*) \| aunet predict RUN -", str(told.value))
    assert found is not None
    assert shlex.split(found[1]) == ["find", str(study), "-name", "*.nii"]


def test_an_input_without_a_scan_does_not_stop_the_others(tmp_path: Path) -> None:
    scan, empty = touch(tmp_path / "scans", "b.nii.gz") / "b.nii.gz", touch(tmp_path / "empty")
    files = scan_files([tmp_path / "a.nii.gz", scan, tmp_path / "nowhere", empty], tmp_path / "out")
    assert [file.scan.name for file in files] == ["a.nii.gz", "b.nii.gz", "nowhere", "empty"]
    words = [file.fault.partition(": ")[2][:30] for file in files]
    assert words == [
        "no such file or folder; give N",
        "",
        "no such file or folder; give N",
        "the folder holds no file of a ",
    ]


def test_a_missing_folder_before_the_first_scan_may_be_a_run_and_is_refused(tmp_path: Path) -> None:
    scans = touch(tmp_path / "scans", "b.nii.gz")
    with pytest.raises(UserError, match="gatd: no such file or folder"):
        scan_files([tmp_path / "runs" / "gatd", scans], tmp_path / "out")


def test_dicom_beside_other_scans_is_named_as_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = touch(tmp_path / "scans", "a.nrrd", "1.dcm", "2.dcm")
    assert [file.scan.name for file in scan_files([folder], tmp_path / "out")] == ["a.nrrd"]
    assert "2 DICOM files beside other scans are left out: 1.dcm, 2.dcm" in caplog.text


def test_two_scans_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [touch(tmp_path / name, "scan.nii.gz") for name in ("first", "second")]
    with pytest.raises(UserError, match=r"first/scan\.nii\.gz and .*second/scan\.nii\.gz would both"):
        scan_files(folders, tmp_path / "out")


def test_existing_label_maps_are_kept_unless_asked(tmp_path: Path) -> None:
    folder, output = touch(tmp_path / "scans", "a.nii.gz", "b.nii.gz"), touch(tmp_path / "out", "b.nii.gz")
    with pytest.raises(UserError, match=r"1 of 2 label maps are there already, b\.nii\.gz .*--overwrite"):
        scan_files([folder], output)
    assert len(scan_files([folder], output, is_overwriting=True)) == 2


def test_a_scan_is_never_replaced_by_its_label_map(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "a.nii.gz")
    with pytest.raises(UserError, match="would replace this scan"):
        scan_files([folder], folder, is_overwriting=True)


def test_a_scan_beside_its_preview_picture_is_one_scan_and_pictures_alone_are_scans(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "a.nii.gz", "a.png")
    assert [file.scan.name for file in scan_files([folder], tmp_path / "out")] == ["a.nii.gz"]
    pictures = touch(tmp_path / "pictures", "b.png", "a.jpg")
    assert [file.label_map.name for file in scan_files([pictures], tmp_path / "out")] == ["a.png", "b.png"]


def test_two_scans_whose_label_maps_differ_in_the_suffix_alone_are_refused(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "a.nii.gz", "a.png")
    with pytest.raises(UserError, match="would both become a; predict them into two folders"):
        scan_files([folder / "a.nii.gz", folder / "a.png"], tmp_path / "out")


def test_a_name_of_more_bytes_than_a_file_system_takes_is_refused(tmp_path: Path) -> None:
    longest = "ä" * 116 + "b"  # 233 bytes, and 7 of .nii.gz
    assert len(scan_files([touch(tmp_path, f"{longest}.nii.gz") / f"{longest}.nii.gz"], tmp_path / "out")) == 1
    scan = touch(tmp_path, f"{longest}b.nii.gz") / f"{longest}b.nii.gz"
    with pytest.raises(UserError, match="would be named by 241 bytes, at most 240 are possible; rename the scan"):
        scan_files([scan], tmp_path / "out")


def test_cases_name_their_label_maps_and_bring_all_their_channels(tmp_path: Path) -> None:
    t1, t2, single = (Path(name) for name in ("p_t1.nii.gz", "p_t2.nii.gz", "q.nii"))
    cases = [Case("p", (t1, t2), None), Case("q", (single,), None)]
    files = scan_files_of_cases(cases, tmp_path)
    assert files == [ScanFile(t1, tmp_path / "p.nii.gz", (t2,)), ScanFile(single, tmp_path / "q.nii.gz")]
    assert [(file.name, file.files) for file in files] == [("p", (t1, t2)), ("q", single)]
    named = scan_files_of_cases(cases, tmp_path, label_format=OutputFormat(".nrrd"))
    assert [file.label_map.name for file in named] == ["p.nrrd", "q.nrrd"]
    touch(tmp_path, "q.nii.gz")
    with pytest.raises(UserError, match=rf"{tmp_path}: 1 of 2 label maps are there already, q\.nii\.gz for one"):
        scan_files_of_cases(cases, tmp_path)
    assert scan_files_of_cases(cases, tmp_path, is_overwriting=True) == files


def test_a_format_that_is_asked_for_names_the_label_maps_of_scans(tmp_path: Path) -> None:
    folder = touch(tmp_path / "scans", "a.nii.gz")
    [file] = scan_files([folder], tmp_path / "out", label_format=OutputFormat(".nrrd"))
    assert file.label_map == tmp_path / "out" / "a.nrrd"


def test_the_next_scan_is_read_while_the_one_before_is_worked_on() -> None:
    started = {name: threading.Event() for name in ("a", "b", "c")}

    def read(file: ScanFile) -> list[Volume]:
        started[file.scan.name].set()
        return [Volume(np.zeros((1, 1, 1)), np.eye(4), file.scan)]

    files = [ScanFile(Path(name), Path("out") / name) for name in started]
    reading = read_ahead(read, files)
    file, channels = next(reading)
    assert channels.result()[0].path == file.scan == Path("a")
    assert started["b"].wait(5)
    assert not started["c"].is_set()
    assert [file.scan.name for file, _ in reading] == ["b", "c"]


def test_an_error_of_reading_belongs_to_its_scan_alone() -> None:
    def read(file: ScanFile) -> list[Volume]:
        if file.scan.name == "bad":
            raise UserError("bad: truncated")
        return []

    files = [ScanFile(Path(name), Path("out") / name) for name in ("good", "bad", "last")]
    errors = [channels.exception() for _, channels in read_ahead(read, files)]
    assert [str(error) for error in errors] == ["None", "bad: truncated", "None"]


def test_several_series_given_slice_by_slice_are_named_with_the_folder_to_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    series, lone = write_slices(tmp_path / "series"), write_slices(tmp_path / "lone")
    (lone / "IM0001.dcm").unlink()
    touch(lone, "0.dcm", "notes.txt")
    assert len(scan_files(sorted(series.iterdir()), tmp_path / "out")) == 2
    assert "IM0000.dcm: 2 slices of one series given as files" in caplog.text
    caplog.clear()
    scan_files([series / "IM0001.dcm", lone / "IM0000.dcm", lone / "0.dcm", series], tmp_path / "out")
    (record,) = caplog.records
    assert "IM0001.dcm: 1 slice of one series" in record.getMessage()
    assert f"give its folder: {series}" in record.getMessage()


def test_many_files_of_one_slice_each_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a folder of radiographs, given as X*.dcm."""
    for number in range(6):
        plane, name = np.zeros((3, 3, 1), np.int16), f"X{number}.dcm"
        write_series(tmp_path, plane, np.eye(4), names=lambda _, name=name: name, SeriesInstanceUID=f"1.2.{number}")
    looked_at: list[str] = []

    def look(path: Path) -> DicomFile:
        looked_at.append(path.name)
        return read_dicom_file(path)

    monkeypatch.setattr("aunet.inference.prediction_files.read_dicom_file", look)
    touch(tmp_path, "notes.txt")
    assert len(scan_files(sorted(tmp_path.glob("X*.dcm")), tmp_path / "out")) == 6
    assert len(looked_at) == 6


def test_names_that_differ_only_in_case_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = touch(tmp_path, "a.nii.gz", "A.nii.gz", "b.nii.gz")
    assert len(scan_files([folder], tmp_path / "out")) == 3
    assert "The label maps A, a differ only in upper and lower case" in caplog.text


@pytest.mark.parametrize("name", ["list.txt", "cases.CSV"])
def test_tables_and_lists_given_as_scans_are_refused_with_how_to_give_them(name: str, tmp_path: Path) -> None:
    touch(tmp_path, name, "a.nii.gz")
    with pytest.raises(UserError, match=rf"{name}: a list, not a scan.*RUN - < {tmp_path}/{name};") as told:
        scan_files([tmp_path / name], tmp_path / "out")
    words = shlex.split(str(told.value).partition("is a dataset: ")[2].removesuffix("."))
    assert names_dataset(words)
    assert parse_values(words) == {
        "data": "folder",
        "data.root": str(tmp_path / name),
        "data.classes": {"spleen": 1, "liver": 2},
    }
    files = scan_files([tmp_path / "a.nii.gz", tmp_path / name], tmp_path / "out")
    assert [bool(file.fault) for file in files] == [False, True]


@pytest.mark.parametrize(("header", "voxels"), [("a.mhd", "a.raw"), ("a.nhdr", "a.raw.gz"), ("a.hdr", "a.img")])
def test_formats_of_two_files_given_with_both_are_one_scan(header: str, voxels: str, tmp_path: Path) -> None:
    touch(tmp_path, voxels)
    (tmp_path / header).write_text(f"data file: {voxels}\nElementDataFile = {voxels}\n")
    files = scan_files([tmp_path / voxels, tmp_path / header], tmp_path / "out")
    assert [file.scan for file in files] == [tmp_path / header]
