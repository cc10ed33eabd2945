"""Raw folders of nnU-Net, whole and damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scans import write_msd_task, write_nifti, write_nnunet_dataset

from aunet.data.cohort.case import Cohort
from aunet.data.cohort.references import read_scan_and_reference
from aunet.data.sources.msd import msd_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.errors import UserError


def edit(root: Path, **changes: object) -> None:
    file = root / "dataset.json"
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_classes_channels_and_cases_are_reported(tmp_path: Path) -> None:
    cohort = nnunet_cohort(str(write_nnunet_dataset(tmp_path / "Dataset001_Balls", num_channels=2)))
    assert cohort.labels.names == ("background", "ball", "box")
    assert (cohort.name, cohort.num_channels, cohort.modality) == ("Dataset001_Balls", 2, "mr")
    assert cohort.root == tmp_path / "Dataset001_Balls"
    first = cohort.cases[0]
    assert first.case_id == "ball 000"
    assert [path.name for path in first.images] == ["ball 000_0000.nii.gz", "ball 000_0001.nii.gz"]
    assert first.label == tmp_path / "Dataset001_Balls" / "labelsTr" / "ball 000.nii.gz"


def test_ct_is_known_by_its_channel_name(tmp_path: Path) -> None:
    edit(write_nnunet_dataset(tmp_path), channel_names={"0": "CT"})
    assert nnunet_cohort(str(tmp_path)).modality == "ct"


def test_regions_that_do_not_overlap_are_classes(tmp_path: Path) -> None:
    edit(write_nnunet_dataset(tmp_path), labels={"background": 0, "both": [1, 2]})
    assert nnunet_cohort(str(tmp_path)).class_of_value == {0: 0, 1: 1, 2: 1}


def test_files_listed_by_dataset_json_lie_where_it_says(tmp_path: Path) -> None:
    write_nnunet_dataset(tmp_path)
    entry = {"images": ["imagesTr/ball 001_0000.nii.gz"], "label": "labelsTr/ball 001.nii.gz"}
    edit(tmp_path, dataset={"one": entry})
    (case,) = nnunet_cohort(str(tmp_path)).cases
    assert (case.case_id, case.images[0].name) == ("one", "ball 001_0000.nii.gz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "'labels' is None"),
        ({"labels": {"0": "background"}}, "data=msd"),
        ({"labels": {"1": "ball", "2": "box"}}, "data=msd"),
        ({"labels": {"background": 0, "ball": "one"}}, "whole number"),
        ({"labels": {"background": 1, "ball": 2}}, "background 0"),
        ({"labels": {"background": 0, "ball": 1, "box": 2, "ignore": 2}}, "ignore: the value 2 already belongs to box"),
        ({"labels": {"background": 0, "whole": [1, 2], "box": 2}}, "overlap"),
        ({"channel_names": None}, "'channel_names' is None"),
        ({"channel_names": {"1": "T1"}}, "'channel_names'"),
        ({"channel_names": {"0": "T1", "1": "T2"}}, r"ball 000 has the channels 0000; .* names 2"),
        ({"file_ending": ".npz"}, r"'file_ending' is '.npz'"),
        ({"dataset": {}}, "'dataset' is"),
        ({"dataset": {"a": {"images": "x"}}}, "case a must hold"),
        ({"dataset": {"a": {"images": ["../x.nii.gz"], "label": "y"}}}, "lies outside"),
        (
            {"dataset": {"../a": {"images": ["imagesTr/ball 000_0000.nii.gz"], "label": "labelsTr/ball 000.nii.gz"}}},
            "not a plain",
        ),
    ],
)
def test_a_damaged_dataset_json_is_refused_by_its_rule(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    edit(write_nnunet_dataset(tmp_path), **changes)
    with pytest.raises(UserError, match=message):
        nnunet_cohort(str(tmp_path))


def test_a_missing_label_names_its_case_and_the_others_stay_usable(tmp_path: Path) -> None:
    (write_nnunet_dataset(tmp_path) / "labelsTr" / "ball 002.nii.gz").unlink()
    with pytest.raises(UserError, match=r"labelsTr/ball 002.nii.gz: case ball 002: no file"):
        nnunet_cohort(str(tmp_path))
    assert len(nnunet_cohort(str(tmp_path), on_error="skip").cases) == 3


def test_an_image_without_a_channel_number_is_named(tmp_path: Path) -> None:
    write_nifti(write_nnunet_dataset(tmp_path) / "imagesTr" / "ball 009.nii.gz", np.zeros((2, 2, 2)))
    with pytest.raises(UserError, match=r"ball 009.nii.gz: has no channel number"):
        nnunet_cohort(str(tmp_path))


def test_a_task_of_the_decathlon_is_sent_to_its_own_option(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a task of the Medical Segmentation Decathlon.*Read it with data=msd"):
        nnunet_cohort(str(write_msd_task(tmp_path)))


def test_an_empty_folder_of_images_is_named(tmp_path: Path) -> None:
    for path in (write_nnunet_dataset(tmp_path) / "imagesTr").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="imagesTr: holds no images named NAME_0000"):
        nnunet_cohort(str(tmp_path))


@pytest.mark.parametrize("name", ["imagesTr", "labelsTr"])
def test_a_dataset_without_labelled_cases_is_named_with_the_folder_that_it_lacks(name: str, tmp_path: Path) -> None:
    folder = write_nnunet_dataset(tmp_path)
    (folder / name).rename(folder / "imagesTs")
    with pytest.raises(UserError, match=rf"data\.root={folder}: has no {name}\. Give the folder .* raw"):
        nnunet_cohort(str(folder))


def test_folders_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root is not set"):
        nnunet_cohort(None)
    with pytest.raises(UserError, match=r"dataset\.json: not found"):
        nnunet_cohort(str(tmp_path))


@pytest.mark.parametrize("num_channels", [1, 2])
@pytest.mark.parametrize("read", [nnunet_cohort, msd_cohort])
def test_remedies_a_folder_of_version_1_is_read_by_either_name(
    read: Callable[..., Cohort], num_channels: int, tmp_path: Path
) -> None:
    write_nnunet_dataset(tmp_path, num_channels=num_channels)
    names = [f"ball {number:03d}.nii.gz" for number in range(4)]
    content = {
        "name": "Balls",
        "modality": {str(channel): "CT" for channel in range(num_channels)},
        "labels": {"0": "background", "1": "ball", "2": "box"},
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    cohort = read(str(tmp_path))
    assert cohort.labels.names == ("background", "ball", "box")
    assert cohort.class_of_value == {0: 0, 1: 1, 2: 2}
    assert [case.case_id for case in cohort.cases] == ["ball 000", "ball 001", "ball 002", "ball 003"]
    assert all(len(case.images) == num_channels for case in cohort.cases)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_formats_of_nnunet_are_those_of_its_file_ending(ending: str, tmp_path: Path) -> None:
    itk = pytest.importorskip("SimpleITK")
    edit(write_nnunet_dataset(tmp_path), file_ending=ending)
    for path in sorted(tmp_path.glob("*Tr/*.nii.gz")):
        itk.WriteImage(itk.ReadImage(str(path)), str(path).removesuffix(".nii.gz") + ending)
        path.unlink()
    cohort = nnunet_cohort(str(tmp_path))
    assert len(cohort.cases) == 4
    channels, label = read_scan_and_reference(cohort.cases[0], cohort)
    assert channels[0].shape == label.shape == (20, 18, 16)


@pytest.mark.parametrize("values", [("0", "1", "2"), (0, 1.0, 2.0)])
def test_formats_of_numbers_and_of_endings_that_people_write_are_understood(
    values: tuple[object, ...], tmp_path: Path
) -> None:
    root = write_nnunet_dataset(tmp_path)
    for path in list(root.rglob("*.nii.gz")):
        path.rename(path.with_name(path.name.replace(".nii.gz", ".NII.GZ")))
    content = json.loads((root / "dataset.json").read_text())
    labels = dict(zip(("background", "Ball", "Box"), values, strict=True))
    (root / "dataset.json").write_text(json.dumps({**content, "labels": labels, "file_ending": "nii.gz"}))
    cohort = nnunet_cohort(str(root))
    assert len(cohort.cases) == 4
    assert dict(cohort.class_of_value) == {0: 0, 1: 1, 2: 2}


def test_names_of_label_maps_with_a_channel_number_are_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_nnunet_dataset(tmp_path)
    for path in sorted(root.glob("labelsTr/*.nii.gz"))[1:]:
        path.rename(path.with_name(path.name.replace(".nii.gz", "_0000.nii.gz")))
    labels = [case.label.name for case in nnunet_cohort(str(root)).cases if case.label]
    assert labels == ["ball 000.nii.gz", *(f"ball 00{number}_0000.nii.gz" for number in (1, 2, 3))]
    (record,) = caplog.records
    assert "nnU-Net itself would need the name ball 001.nii.gz" in record.getMessage()
