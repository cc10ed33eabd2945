"""Values of voxels without reference, from the configuration or nnU-Net, through the data and into the scores."""

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from scans import write_folder_pair, write_nifti, write_nnunet_dataset

from aunet.classes import IGNORED, Labels
from aunet.data.cohort.case import Cohort
from aunet.data.cohort.references import present_classes, read_reference
from aunet.data.patches.flips import RandomFlip
from aunet.data.sources.folder import folder_cohort
from aunet.data.sources.nnunet import nnunet_cohort
from aunet.data.store.stored_case import class_positions
from aunet.doctor.examination import examine_cohort
from aunet.errors import UserError
from aunet.metrics.label_map_scores import score_case
from aunet.metrics.overlap import dice
from aunet.training import validation_dice

CLASSES = {"ball": 1, "box": 2}


def with_values(root: Path, *values: int) -> Path:
    """Write the values into the first slices of the first label map."""
    path = root / "labels" / "case_0.nii.gz"
    image: Any = nibabel.load(path)
    label = np.asarray(image.dataobj).astype(np.int16)
    for index, value in enumerate(values):
        label[:, :, index] = value
    write_nifti(path, label, image.affine)
    return root


def cohort_in(root: Path, ignore: object) -> Cohort:
    return folder_cohort(str(root), "images", "labels", "ct", {**CLASSES, "ignore": ignore})


@pytest.mark.parametrize(("ignore", "values"), [(255, (255,)), (7, (7,)), ([7, 300, -1], (7, 300, -1))])
def test_annotations_ignored_values_are_kept_apart_from_every_class(
    ignore: object, values: tuple[int, ...], tmp_path: Path
) -> None:
    cohort = cohort_in(with_values(write_folder_pair(tmp_path), *values), ignore)
    assert cohort.labels.names == ("background", "ball", "box")
    label = read_reference(cohort.cases[0], cohort).array
    assert (label[:, :, : len(values)] == IGNORED).all()
    assert set(np.unique(label[:, :, len(values) :])) <= {0, 1, 2}
    assert present_classes(cohort)["case_0"] <= {1, 2}
    assert [len(found) > 0 for found in class_positions(label, 3)] == [True, True, True]
    assert not [found for found in examine_cohort(cohort).findings if found.kind.severity == "error"]


def test_annotations_the_ignore_label_of_nnunet_is_understood(tmp_path: Path) -> None:
    file = write_nnunet_dataset(tmp_path) / "dataset.json"
    content = json.loads(file.read_text())
    content["labels"]["ignore"] = 3
    file.write_text(json.dumps(content))
    cohort = nnunet_cohort(str(tmp_path))
    assert cohort.labels.names == ("background", "ball", "box")
    assert cohort.class_of_value == {0: 0, 1: 1, 2: 2, 3: IGNORED}
    assert nnunet_cohort(str(tmp_path), {"ball": "ball", "box": "box"}).class_of_value[3] == IGNORED


def test_annotations_a_value_is_either_of_a_class_or_ignored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.classes\.ignore: the value 2 already belongs to box"):
        cohort_in(write_folder_pair(tmp_path), 2)


def test_annotations_ignored_voxels_stay_ignored_in_a_mirror_image() -> None:
    import torch

    flip = RandomFlip(0, torch.tensor([0, 2, 1]))
    label = torch.tensor([0, 1, 2, IGNORED], dtype=torch.uint8).reshape(1, 4, 1, 1)
    turned = {"label": label}
    while turned["label"] is label:
        turned = dict(flip({"image": label.float(), "label": label, "annotated": None}))
    assert turned["label"].flatten().tolist() == [IGNORED, 1, 2, 0]


@pytest.mark.parametrize("seed", range(3))
def test_annotations_scores_are_those_of_the_voxels_with_a_reference(seed: int) -> None:
    draw = np.random.default_rng(seed)
    prediction, reference = (draw.integers(0, 3, (8, 9, 6)).astype(np.uint8) for _ in range(2))
    cut = reference.copy()
    cut[:, :, 4:] = IGNORED
    labels = Labels(("background", "ball", "box"))
    scores = score_case("a", prediction, cut, (1.0, 1.0, 1.0), labels)
    expected = [dice(prediction[:, :, :4] == k, reference[:, :, :4] == k) for k in (1, 2)]
    assert scores["dice"].tolist() == pytest.approx(expected)
    validated = validation_dice.score_dice(prediction, cut, [True, True, True], labels)
    assert validated.values == pytest.approx(expected)


def test_more_classes_than_a_byte_holds_beside_the_ignored_value_are_refused(tmp_path: Path) -> None:
    names = [f"class {number}" for number in range(1, 256)]
    assert Labels(("background", *names[:254])).num_classes == IGNORED
    write_folder_pair(tmp_path)
    classes = dict(zip(names, range(1, 256), strict=True))
    with pytest.raises(UserError, match=r"255 classes besides the background: at most 254 are possible\. Merge some"):
        folder_cohort(str(tmp_path), "images/*", "labels/*", "ct", classes)
