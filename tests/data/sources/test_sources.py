"""Sources read folders as people have them, and refuse damaged ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from scans import ball_and_box, write_folder_pair, write_msd_task, write_nifti

from aunet.data.sources.ct150 import ct150_cohort
from aunet.data.sources.file_patterns import cases_in_folder
from aunet.data.sources.msd import msd_cohort
from aunet.errors import UserError

PAPER = {"pancreas": 1, "spleen": 2, "kidney": [3, 4]}


def ct150(root: Path, **changes: object) -> object:
    arguments = {"classes": PAPER, "other_labels": "error", "num_phantoms": 2} | changes
    return ct150_cohort(str(root), cache="", phantom_spacing=(8, 8, 8), phantom_seed=0, **arguments)


def test_a_decathlon_task_states_its_classes_and_modality(tmp_path: Path) -> None:
    cohort = msd_cohort(str(write_msd_task(tmp_path)))
    assert cohort.labels.names == ("background", "ball", "box")
    assert cohort.modality == "mr"
    assert [case.case_id for case in cohort.cases] == [f"ball_{i:03d}" for i in range(6)]


def edit(root: Path, **changes: object) -> None:
    file = root / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {}}, "'labels'"),
        ({"labels": {"1": "ball"}}, "0 for the background"),
        ({"labels": {"zero": "background"}}, "map integers"),
        ({"labels": {"0": "background", "1": "Ball", "2": "Ball"}}, "appears twice"),
        ({"labels": {"background": 0, "Ball": 1}}, "data=nnunet"),
        ({"modality": None}, "'modality'"),
        ({"training": []}, "'training'"),
        ({"training": [{"image": "a.nii.gz"}]}, "'training'"),
        ({"training": [{"image": "../../etc/passwd", "label": "x"}]}, "lies outside"),
        ({"training": [{"image": "/etc/passwd", "label": "x"}]}, "lies outside"),
        ({"training": [{"image": "imagesTr/none.nii.gz", "label": "x"}]}, "not there"),
        ({"training": [{"image": 7, "label": "x"}]}, "is not a path"),
        ({"training": [{"image": "a\0b", "label": "x"}]}, "is not a path"),
    ],
)
def test_a_damaged_dataset_json_is_refused_by_its_rule(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    edit(write_msd_task(tmp_path, num_cases=1), **changes)
    with pytest.raises(UserError, match=message) as refusal:
        msd_cohort(str(tmp_path))
    assert "dataset.json" in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "no JSON object"),
    ],
    ids=["cut", "binary", "deep", "list"],
)
def test_a_dataset_json_that_is_not_json_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(UserError, match=message):
        msd_cohort(str(tmp_path))


def test_a_case_listed_twice_is_named(tmp_path: Path) -> None:
    entry = {"image": "imagesTr/ball_000.nii.gz", "label": "labelsTr/ball_000.nii.gz"}
    edit(write_msd_task(tmp_path, num_cases=1), training=[entry, entry])
    with pytest.raises(UserError, match="the case id ball_000 appears twice"):
        msd_cohort(str(tmp_path))


def test_a_link_out_of_the_dataset_is_not_followed(tmp_path: Path) -> None:
    task = write_msd_task(tmp_path / "task", num_cases=2)
    image = task / "imagesTr" / "ball_000.nii.gz"
    image.rename(tmp_path / "elsewhere.nii.gz")
    image.symlink_to(tmp_path / "elsewhere.nii.gz")
    with pytest.raises(UserError, match=r"ball_000.nii.gz lies outside"):
        msd_cohort(str(task))


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    task = write_msd_task(tmp_path, num_cases=2)
    image = task / "imagesTr" / "ball_000.nii.gz"
    image.unlink()
    image.symlink_to(image)
    with pytest.raises(UserError, match=r"ball_000.nii.gz is (a link that leads to itself|listed but not there)"):
        msd_cohort(str(task))


def test_a_faulty_case_is_skipped_when_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (write_msd_task(tmp_path, num_cases=3) / "labelsTr" / "ball_001.nii.gz").unlink()
    cohort = msd_cohort(str(tmp_path), on_error="skip")
    assert [case.case_id for case in cohort.cases] == ["ball_000", "ball_002"]
    assert "labelsTr/ball_001.nii.gz is listed but not there" in caplog.text


def test_a_dataset_with_faulty_cases_only_is_refused(tmp_path: Path) -> None:
    for path in (write_msd_task(tmp_path, num_cases=3) / "labelsTr").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="None of the 3 cases can be used"):
        msd_cohort(str(tmp_path), on_error="skip")


def test_a_task_without_a_root_is_refused() -> None:
    with pytest.raises(UserError, match=r"data\.root is not set"):
        msd_cohort(None)


def test_a_root_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=.*no such folder"):
        ct150(tmp_path / "none")


def layouts(root: Path) -> dict[str, list[tuple[str, str]]]:
    return {
        "two folders": [("images/a.nii.gz", "labels/a.nii.gz")],
        "decathlon folders": [("imagesTr/a.nii", "labelsTr/a.nii.gz")],
        "a folder a case": [("a/ct.nii.gz", "a/label.nii.gz")],
        "side by side": [("a_ct.nii.gz", "a_label.nii.gz")],
    }


@pytest.mark.parametrize("layout", layouts(Path()))
def test_each_accepted_layout_is_found(tmp_path: Path, layout: str) -> None:
    for image, label in layouts(tmp_path)[layout]:
        write_nifti(tmp_path / image, np.zeros((2, 2, 2), np.int16))
        write_nifti(tmp_path / label, np.zeros((2, 2, 2), np.uint8))
    (case,) = cases_in_folder(tmp_path)
    assert case.case_id == "a"
    assert case.label is not None


def test_an_image_without_a_label_is_named(tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    (tmp_path / "labels" / "case_2.nii.gz").unlink()
    with pytest.raises(UserError, match="case_2 has no label map"):
        cases_in_folder(tmp_path)


def test_a_folder_without_scans_is_refused_with_the_accepted_layouts(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(UserError, match="Accepted layouts"):
        cases_in_folder(tmp_path)


def test_two_files_of_one_case_are_refused(tmp_path: Path) -> None:
    write_folder_pair(tmp_path)
    write_nifti(tmp_path / "images" / "case_1.nii", np.zeros((2, 2, 2), np.int16))
    with pytest.raises(UserError, match=r"case_1.nii.* are both of case case_1"):
        cases_in_folder(tmp_path)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    image = write_folder_pair(tmp_path) / "images" / "case_1.nii.gz"
    image.unlink()
    image.symlink_to(tmp_path / "unmounted" / "case_1.nii.gz")
    with pytest.raises(UserError, match=r"case_1.nii.gz: case case_1: a link that leads to no file"):
        cases_in_folder(tmp_path)


def test_hidden_files_of_other_systems_are_not_scans(tmp_path: Path) -> None:
    (write_folder_pair(tmp_path) / "images" / "._case_0.nii.gz").write_bytes(b"")
    assert len(cases_in_folder(tmp_path)) == 4


def test_the_phantoms_labels_are_mapped_as_those_of_scans(tmp_path: Path) -> None:
    cohort = ct150_cohort(
        None, str(tmp_path), 1, (16, 16, 16), 0, classes={"kidney": "kidney", "spleen": None}, other_labels="background"
    )
    assert cohort.class_of_value == {0: 0, 1: 0, 2: 0, 3: 1}
    assert cohort.cases[0].annotated == {0, 1}


def test_several_values_become_one_class(tmp_path: Path) -> None:
    cohort = ct150(write_folder_pair(tmp_path))
    assert cohort.labels.names == ("background", "pancreas", "spleen", "kidney")
    assert cohort.class_of_value == {0: 0, 1: 1, 2: 2, 3: 3, 4: 3}
    assert not cohort.is_phantom


def test_a_value_of_two_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="already belongs to liver"):
        ct150(write_folder_pair(tmp_path), classes={"liver": 1, "spleen": [1, 2]})


def test_balls_and_boxes_are_not_empty() -> None:
    assert set(np.unique(ball_and_box((20, 18, 16), 0)[1])) == {0, 1, 2}
