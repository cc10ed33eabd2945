"""Scans of one's own: patterns of files, and tables of them."""

from pathlib import Path

import numpy as np
import pytest
from dicom_scans import write_series
from scans import write_folder_pair, write_msd_task, write_nifti, write_table

from aunet.data.cohort.case import Cohort
from aunet.data.io.volume import read_grid
from aunet.data.sources.file_patterns import files_by_case
from aunet.data.sources.folder import folder_cohort
from aunet.data.sources.msd import msd_cohort
from aunet.errors import UserError

CLASSES = {"ball": 1, "box": 2}


def cohort_of(root: Path, **changes: object) -> Cohort:
    settings = {"images": "images", "labels": "labels", "modality": "ct", "classes": CLASSES} | changes
    return folder_cohort(str(root), **settings)  # pyright: ignore[reportArgumentType]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write_nifti(root / name, np.zeros((2, 2, 2), np.int16))
    return root


@pytest.mark.parametrize(
    ("pattern", "file", "case_id"),
    [
        ("images", "images/a.nii.gz", "a"),
        ("images/*.nii.gz", "images/a.nii.gz", "a"),
        ("img/img*", "img/img0001.nii.gz", "0001"),
        ("images/*_0000", "images/FLARE22_Tr_0001_0000.nii.gz", "FLARE22_Tr_0001"),
        ("*/ct", "s0001/ct.nii", "s0001"),
        ("sub-*/anat/sub-*_T1w", "sub-01/anat/sub-01_T1w.nii.gz", "01"),
        ("a[b]/*?c", "a[b]/Größe 1?c.nii.gz", "Größe 1"),
    ],
)
def test_a_star_stands_for_the_case(tmp_path: Path, pattern: str, file: str, case_id: str) -> None:
    touch(tmp_path, file)
    assert files_by_case(tmp_path, pattern) == {case_id: (tmp_path / file,)}


def test_all_stars_stand_for_the_same_case(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-02_T1w.nii.gz", "._sub-01/anat/x.nii.gz")
    assert files_by_case(tmp_path, "sub-*/anat/sub-*_T1w") == {}


def test_two_folders_may_lie_anywhere(tmp_path: Path) -> None:
    touch(tmp_path, "here/a.nii.gz", "there/deep/a.nii.gz")
    cohort = cohort_of(tmp_path, images=str(tmp_path / "here"), labels=str(tmp_path / "there" / "deep" / "*"))
    assert cohort.cases[0].files == (tmp_path / "here/a.nii.gz", tmp_path / "there/deep/a.nii.gz")


def test_several_patterns_are_several_channels(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_0000.nii.gz", "images/a_0001.nii.gz", "labels/a.nii.gz")
    cohort = cohort_of(tmp_path, images=["images/*_0000", "images/*_0001"])
    assert cohort.num_channels == 2
    assert [path.name for path in cohort.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]


def test_a_case_without_a_channel_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_0000.nii.gz", "images/b_0000.nii.gz", "images/a_0001.nii.gz", "labels/a.nii.gz")
    with pytest.raises(UserError, match=r"b_0000.nii.gz: case b lacks channel 1 of 2"):
        cohort_of(tmp_path, images=["images/*_0000", "images/*_0001"])


@pytest.mark.parametrize("key", ["images", "labels"])
def test_a_pattern_that_nothing_fits_is_named(tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=rf"data\.source\.{key}=none: no NIfTI file"):
        cohort_of(write_folder_pair(tmp_path), **{key: "none"})


def test_an_image_without_a_label_is_refused_with_the_patterns(tmp_path: Path) -> None:
    touch(tmp_path, "images/a_0000.nii.gz", "labels/a.nii.gz")
    with pytest.raises(UserError, match=r"case a_0000 has no label map.*data\.source\.images=\['images'\]"):
        cohort_of(tmp_path)


def test_a_folder_needs_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.classes is not set"):
        cohort_of(write_folder_pair(tmp_path), classes=None)


def test_a_modality_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.modality=xray: xray is not one of ct, mr, pet, picture"):
        cohort_of(write_folder_pair(tmp_path), modality="xray")


def test_a_table_lists_channels_and_patients(tmp_path: Path) -> None:
    cohort = cohort_of(write_table(tmp_path))
    assert cohort.num_channels == 2
    assert [case.case_id for case in cohort.cases] == [f"Fall {number}" for number in range(4)]
    assert [case.patient for case in cohort.cases] == ["patient 0", "patient 0", "patient 1", "patient 1"]
    assert cohort.cases[0].images[1] == tmp_path / "Größe 0" / "t2.nii.gz"


def test_a_table_may_name_files_anywhere_by_absolute_paths(tmp_path: Path) -> None:
    touch(tmp_path, "far/a.nii.gz", "far/b.nii.gz")
    (tmp_path / "near").mkdir()
    table = tmp_path / "near" / "cases.csv"
    table.write_text(f"\ufeffcase_id, image ,label\na,{tmp_path}/far/a.nii.gz,{tmp_path}/far/b.nii.gz\n", "utf-8")
    assert cohort_of(table).cases[0].images == (tmp_path / "far" / "a.nii.gz",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the columns case_id, image, label; it has none"),
        ("case_id image label\na b c\n", "with commas"),
        ("case_id,image\na,b\n", "lacks the columns label"),
        ("case_id,image,label\n", "lists no case"),
        ("case_id,image,label\na,,labels/a.nii.gz\n", "line 2: the column image is empty"),
        ("case_id,image,label\na,images/a.nii.gz\n", "line 2: the column label is empty"),
        ("case_id,image,image_2,label\na,images/a.nii.gz,,labels/a.nii.gz\n", "line 2: the column image_2 is empty"),
        ("case_id,image,label\na,../a.nii.gz,labels/a.nii.gz\n", "line 2: ../a.nii.gz lies outside"),
        ("case_id,image,label\na,images/b.nii.gz,labels/a.nii.gz\n", "b.nii.gz: case a: no file"),
        ("case_id,image,label\n../a,images/a.nii.gz,labels/a.nii.gz\n", "not a plain file name"),
        ("case_id,image,label\n" + "a,images/a.nii.gz,labels/a.nii.gz\n" * 2, "case id a appears twice"),
        ('case_id,image,label\n"a,images/a.nii.gz', "not a readable CSV file"),
    ],
)
def test_a_damaged_table_is_refused_with_its_row(tmp_path: Path, text: str, message: str) -> None:
    touch(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    (tmp_path / "cases.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        cohort_of(tmp_path / "cases.csv")


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_bytes("case_id,image,label\nGröße,a,b\n".encode("latin-1"))
    with pytest.raises(UserError, match="in UTF-8"):
        cohort_of(tmp_path / "cases.csv")


def test_rows_that_cannot_be_used_are_skipped_when_asked(tmp_path: Path) -> None:
    table = write_table(tmp_path)
    (tmp_path / "Größe 1" / "t2.nii.gz").unlink()
    assert [case.case_id for case in cohort_of(table, on_error="skip").cases] == ["Fall 0", "Fall 2", "Fall 3"]


@pytest.mark.parametrize("place", ["", "own/images"])
def test_a_root_one_folder_off_is_answered_with_the_right_one(place: str, tmp_path: Path) -> None:
    write_folder_pair(tmp_path / "own", num_cases=2)
    with pytest.raises(UserError, match=f"Did you mean data.root={tmp_path}/own[?]"):
        folder_cohort(str(tmp_path / place), "images", "labels", "ct", {"ball": 1, "box": 2})


@pytest.mark.parametrize("place", ["", "task/imagesTr"])
def test_a_root_one_folder_off_a_dataset_json_is_answered_with_the_right_one(place: str, tmp_path: Path) -> None:
    write_msd_task(tmp_path / "task", num_cases=2)
    with pytest.raises(UserError, match=f"Did you mean data.root={tmp_path}/task[?]"):
        msd_cohort(str(tmp_path / place))


def test_several_series_of_each_folder_are_chosen_by_a_pattern(tmp_path: Path) -> None:
    for name in "ab":
        write_series(tmp_path / "img" / name, np.zeros((3, 3, 2), np.int16), np.eye(4))
        write_series(
            tmp_path / "img" / name,
            np.ones((3, 3, 4), np.int16),
            np.eye(4),
            names="B{}".format,
            SeriesInstanceUID="1.2.3",
            SeriesNumber=7,
        )
    touch(tmp_path, "lab/a.nii", "lab/b.nii", "odd/p#1.nii", "img/c.nii")
    found = files_by_case(tmp_path, "img/*#7")
    assert found == {**{name: (tmp_path / "img" / f"{name}#7",) for name in "ab"}, "c": (tmp_path / "img/c.nii",)}
    assert read_grid(found["a"][0])[0] == (3, 3, 4)
    assert files_by_case(tmp_path, "odd/*#1") == {"p": (tmp_path / "odd/p#1.nii",)}
