"""Two folders of pictures become cases, whose masks say what the settings make of them."""

from pathlib import Path

import numpy as np
import pytest
from pictures import disc, save_picture

from aunet.data.cohort.groups import groups_by_name
from aunet.data.cohort.references import classes_of_values
from aunet.data.io.volume import read_channels, read_label
from aunet.data.preprocessing.steps import Preprocessing
from aunet.data.sources.image_folders import images_cohort
from aunet.errors import UserError


def write_pictures(root: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        image, mask = disc((12, 16), seed)
        save_picture(root / "images" / f"{name}.png", image)
        save_picture(root / "labels" / f"{name}.tif", mask * np.uint8(255))
    return root


def test_images_and_masks_are_matched_by_name_whatever_their_suffix(tmp_path: Path) -> None:
    cohort = images_cohort(str(write_pictures(tmp_path, ["b", "a 1", "ä"])), "images", "labels", {"disc": 255})
    assert [case.case_id for case in cohort.cases] == ["a 1", "b", "ä"]
    assert cohort.labels.names == ("background", "disc")
    assert (cohort.modality, cohort.num_channels) == ("picture", 1)
    for case in cohort.cases:
        assert case.label is not None
        mask = read_label(case.label)
        assert np.array_equal(classes_of_values(mask, cohort, case).array, mask.array // 255)


def test_numbered_objects_are_one_class(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["a"])
    numbers = np.array([[0, 1, 2], [300, 0, 65535]], np.uint16)
    save_picture(root / "labels" / "a.tif", numbers)
    cohort = images_cohort(str(root), "images", "labels", {"nucleus": "any"})
    (case,) = cohort.cases
    assert case.label is not None
    classes = classes_of_values(read_label(case.label), cohort, case).array[..., 0]
    assert classes.tolist() == [[0, 1, 1], [1, 0, 1]]


def test_a_value_without_a_class_is_refused_or_background(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["a"])
    for other in ("error", "background"):
        cohort = images_cohort(str(root), "images", "labels", {"disc": [1, 2]}, other_labels=other)
        (case,) = cohort.cases
        assert case.label is not None
        label = read_label(case.label)
        if other == "background":
            assert not classes_of_values(label, cohort, case).array.any()
        else:
            with pytest.raises(UserError, match=r"a\.tif.*255"):
                classes_of_values(label, cohort, case)


def test_pictures_in_colour_have_three_channels_each_standardised_over_all_its_pixels(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["a"])
    colours = np.random.default_rng(0).integers(0, 3, (12, 16, 3), np.uint8) * np.uint8(100)
    save_picture(root / "images" / "a.png", colours)
    cohort = images_cohort(str(root), "images", "labels", {"disc": 255})
    assert cohort.num_channels == 3
    channels = read_channels(cohort.cases[0].images[0])
    image = Preprocessing((1.0, 1.0, 1.0), cohort.modality, (0.0, 255.0)).image(channels).array
    assert image.shape == (3, 16, 12, 1)
    wanted = (colours - colours.mean((0, 1))) / colours.std((0, 1))
    upright = np.moveaxis(image[:, ::-1, ::-1, 0], (0, 1, 2), (2, 1, 0))
    np.testing.assert_allclose(upright, wanted, atol=1e-5)


def test_the_patient_of_a_cardiac_slice_is_part_of_its_name(repository: Path, tmp_path: Path) -> None:
    line = next(line for line in (repository / "conf/data/cardiac.yaml").read_text().splitlines() if "group:" in line)
    names = ["SC-HF-NI-03-IM-0001-0048", "SC-HF-NI-03-IM-0212-0059", "SC-HF-I-03-IM-0001-0048", "SC-N-40-IM-0001-1"]
    cohort = images_cohort(str(write_pictures(tmp_path, names)), "images", "labels", {"left_ventricle": 255})
    groups = groups_by_name(cohort.cases, line.partition("group:")[2].strip())
    assert [groups[name] for name in names] == ["SC-HF-NI-03", "SC-HF-NI-03", "SC-HF-I-03", "SC-N-40"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    root = write_pictures(tmp_path, ["a", "b"])
    settings = ("images", "labels", {"disc": 255})
    with pytest.raises(UserError, match=r"data\.root"):
        images_cohort(None, *settings)
    with pytest.raises(UserError, match=r"data\.classes is not set"):
        images_cohort(str(root), "images", "labels", {})
    with pytest.raises(UserError, match=r"data\.source\.labels=masks: no picture"):
        images_cohort(str(root), "images", "masks", {"disc": 255})
    with pytest.raises(UserError, match=r"data\.classes\.first.*'any'"):
        images_cohort(str(root), "images", "labels", {"first": "any", "second": 2})
    save_picture(root / "images" / "a.tif", np.zeros((4, 4), np.uint8))
    with pytest.raises(UserError, match="both of case a"):
        images_cohort(str(root), *settings)
    (root / "images" / "a.tif").unlink()
    (root / "labels" / "b.tif").unlink()
    with pytest.raises(UserError, match=r"b\.png: case b has no label map"):
        images_cohort(str(root), *settings)
    assert [case.case_id for case in images_cohort(str(root), *settings, on_error="skip").cases] == ["a"]
